"""What all tests may ask for: a store on either engine, its database fresh and migrated."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from interop.store import Store, open_store
from tests.databases import Databases
from tests.postgres import Cluster


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """The PostgreSQL server of this run."""
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: Cluster) -> str:
    """A migrated, empty database to copy."""
    name = postgres_cluster.create_database()
    asyncio.run(_migrate(postgres_cluster.url(name)))
    return name


@pytest.fixture(scope="session")
def postgres_databases(postgres_cluster: Cluster, postgres_template: str) -> Databases:
    """Databases that equal the template, to take and to give back."""
    return Databases(postgres_cluster, postgres_template)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file to copy."""
    path = tmp_path_factory.mktemp("template") / "interop.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both engines, one after the other."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty, migrated database of this test's own, on either engine."""
    if backend == "sqlite":
        path = tmp_path / "interop.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    databases: Databases = request.getfixturevalue("postgres_databases")
    name = databases.take()
    yield cluster.url(name)
    databases.give_back(name)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open store on either engine."""
    opened = await open_store(database_url)
    yield opened
    await opened.close()


async def _migrate(url: str) -> None:
    await (await open_store(url)).close()
