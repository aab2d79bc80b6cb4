"""The archives of this server, opened: how each is asked, watched and checked, by its driver."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from interop.archive_entries import ArchiveEntry
from interop.archive_feed import ArchiveFeed, Feed, Kept, QidoFeed
from interop.dicomweb.archive import NamedArchive
from interop.dicomweb_relay import Dialect, PlainArchive, Relay
from interop.errors import InvalidContentError
from interop.orthanc.client import OrthancClient
from interop.orthanc.storage import Storage
from interop.parts import archive_credentials, archive_entries, archive_storage, archive_url
from interop.settings import Settings, named_secret
from interop.store import Store
from interop.workflow import studies
from interop.workflow.site import Site


@dataclass(frozen=True, slots=True)
class Opened:
    """One archive: its entry, and the wires to it."""

    entry: ArchiveEntry
    relay: Relay
    plain: PlainArchive | None
    client: OrthancClient | None
    storage: Storage | None = None  # where its files can be read

    async def ping(self) -> None:
        """UnavailableError unless it answers."""
        if self.client is not None:
            await self.client.ping()
        elif self.plain is not None:
            await self.plain.ping()

    async def close(self) -> None:
        """Gives the connections back."""
        if self.client is not None:
            await self.client.close()
        await self.relay.close()


class OpenArchives:
    """All of them, the default one first."""

    def __init__(self, settings: Settings) -> None:
        self.all = tuple(open_archive(entry, settings) for entry in archive_entries(settings))
        self._several = settings.pacs is not None

    async def close(self) -> None:
        """Gives all connections back."""
        for each in self.all:
            await each.close()

    def checks(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        """What readiness asks, by the names it shows."""
        if not self._several:
            return {"orthanc": self.all[0].ping}
        return {f"archive {each.entry.name}": each.ping for each in self.all}

    def links(self) -> Sequence[NamedArchive]:
        """What the DICOMweb door relays from."""
        return [_link(each) for each in self.all]

    def feeds(self, store: Store, site: Site) -> Sequence[Feed]:
        """What notices studies, one for each archive."""
        names = frozenset(each.entry.name for each in self.all)
        return [feed_of(each, store, site, names) for each in self.all]

    def rewritable(self) -> Mapping[str, OrthancClient]:
        """Those whose files can be fetched and stored anew, by name."""
        return {each.entry.name: each.client for each in self.all if each.client is not None}

    def described(self) -> Sequence[tuple[str, str]]:
        """Name and driver of each."""
        return [(each.entry.name, each.entry.driver) for each in self.all]


def _link(opened: Opened) -> NamedArchive:
    entry = opened.entry
    if opened.plain is None:
        path_of = opened.storage.path if opened.storage is not None else None
        return NamedArchive(entry.name, opened.relay, path_of=path_of)
    return NamedArchive(entry.name, opened.plain, plain=True, thumbnails=entry.thumbnails, page=entry.page)


def feed_of(opened: Opened, store: Store, site: Site, names: frozenset[str]) -> Feed:
    """The feed of an archive beside those of the other names."""
    entry = opened.entry
    kept = Kept(entry.name, names - {entry.name})
    if opened.client is not None:
        heads = opened.storage.heads if opened.storage is not None else None
        return ArchiveFeed(store, site, opened.client, studies.register, kept=kept, heads=heads)
    assert opened.plain is not None
    return QidoFeed(
        store,
        site,
        opened.plain,
        studies.register,
        kept=kept,
        poll_key=entry.poll_key,
        poll_days=entry.poll_days,
        poll_seconds=entry.poll_seconds,
        compare_seconds=entry.compare_hours * 3600,
        page=entry.page,
        named=entry.include_field != "none",
    )


def open_archive(entry: ArchiveEntry, settings: Settings, *, timeout: float = 10.0) -> Opened:
    """The wires to one archive; nothing is asked yet. InvalidContentError where a secret is not where it should be."""
    if not entry.url:
        username, password = archive_credentials(settings)
        url = archive_url(settings)
        client = OrthancClient(url, username, password or "", timeout=timeout)
        folder = archive_storage(settings)
        return Opened(entry, Relay(url, username, password), None, client, Storage(folder) if folder else None)
    tls = _tls(entry)
    password = _secret(entry, "password")
    bearer = _bearer(entry)
    relay = Relay(entry.url, entry.username, password, bearer=bearer, tls=tls)
    if entry.driver == "orthanc":
        client = OrthancClient(entry.url, entry.username, password or "", tls=tls, timeout=timeout)
        return Opened(entry, relay, None, client)
    qido, wado, stow = entry.paths()
    dialect = Dialect(qido, wado, stow, entry.include_field, entry.fuzzy_matching, entry.any_syntax)
    return Opened(entry, relay, PlainArchive(relay, dialect), None)


def _tls(entry: ArchiveEntry) -> ssl.SSLContext | None:
    if entry.ca_file is None:
        return None
    return ssl.create_default_context(cafile=str(entry.ca_file))


def _secret(entry: ArchiveEntry, kind: str) -> str | None:
    file, variable = getattr(entry, f"{kind}_file"), getattr(entry, f"{kind}_env")
    if file is not None:
        return str(file.read_text(encoding="utf-8").strip())
    if variable is None:
        return None
    found = named_secret(variable)
    if found is None:
        raise InvalidContentError(f"archive {entry.name}: the environment has no {variable}")
    return found


def _bearer(entry: ArchiveEntry) -> Callable[[], str] | None:
    if entry.token_file is None and entry.token_env is None:
        return None
    return lambda: _secret(entry, "token") or ""
