"""A provider on a free port over a store on either engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset

from interop.dimse import DimseProvider
from interop.store import Store
from tests.dimse_door import MWL, STATIONS, asked, associated
from tests.hospital import Hospital
from tests.sites import a_site


@pytest.fixture
def hospital(store: Store) -> Hospital:
    return Hospital(store, replace(a_site(), stations=STATIONS))


@pytest.fixture
async def provider(hospital: Hospital) -> AsyncIterator[DimseProvider]:
    started = DimseProvider(hospital.store, hospital.site, "127.0.0.1", 0, "INTEROP")
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
def find(provider: DimseProvider) -> Callable[..., Any]:
    """The items and the final status of a C-FIND."""

    def ask(calling: str, query: Dataset) -> tuple[list[Dataset], Dataset]:
        with associated(provider.port, calling) as association:
            answers = list(association.send_c_find(query, MWL))
        return [item for _, item in answers if item is not None], answers[-1][0]

    async def work(calling: str = "CT1", **keys: Any) -> tuple[list[Dataset], Dataset]:
        return await asyncio.to_thread(ask, calling, asked(**keys))

    return work
