"""What the composition root and the commands share: the settings and the shipped folders, as values."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interop.access.endpoints import parse_prefix
from interop.archive_entries import ArchiveEntry, read_archives
from interop.auth.keys import read_secret
from interop.dicom.stations import Station, parse_stations
from interop.dicom.worklist import worklist_bytes
from interop.dicom.worklist_tags import worklist_json
from interop.errors import InteropError
from interop.mapping.peers import Receiver, check_receivers, load_receivers
from interop.mapping.tables import Tables, compile_tables
from interop.orthanc.child import PrivateOrthanc
from interop.orthanc.configuration import (
    Credentials,
    docker_configuration,
    read_overlay,
    read_template,
    write_configuration,
)
from interop.orthanc.worklists import OrthancWorklists
from interop.settings import Settings
from interop.shipped import shipped
from interop.workflow.site import Site
from interop.worklist_folder import WorklistFolder

if TYPE_CHECKING:
    from interop.viewer import Assets

log = logging.getLogger(__name__)

TEMPLATE = "orthanc.json"
STATIONS = "modalities.toml"
RECEIVERS = "peers.toml"


def mapping_tables() -> Tables:
    """The shipped mapping tables, compiled; an unknown name in them is an error that names file and row."""
    return compile_tables(shipped("mappings"))


def stations(settings: Settings) -> tuple[Station, ...]:
    """The one list of modalities."""
    if settings.modalities_file is not None:
        return parse_stations(settings.modalities_file.read_text(encoding="utf-8"))
    return parse_stations((shipped("orthanc") / STATIONS).read_text(encoding="utf-8"))


def receivers(settings: Settings) -> tuple[Receiver, ...]:
    """Whom messages are sent to."""
    if settings.peers_file is not None:
        return load_receivers(settings.peers_file.read_text(encoding="utf-8"), str(settings.peers_file))
    return load_receivers((shipped("mappings") / RECEIVERS).read_text(encoding="utf-8"))


def checked_receivers(settings: Settings, tables: Tables) -> tuple[Receiver, ...]:
    """The same, held against the messages that there are; ValueError names what is wrong with which."""
    found = receivers(settings)
    check_receivers(found, tables.segments_out, str(settings.peers_file or RECEIVERS))
    return found


def site(settings: Settings) -> Site:
    """What the rules need to know of this site."""
    tables, archives = mapping_tables(), archive_entries(settings)
    return Site(
        facility=settings.facility,
        zone=settings.zone,
        stations=stations(settings),
        receivers=checked_receivers(settings, tables),
        tables=tables,
        public_url=settings.base_url,
        early=timedelta(hours=settings.match_hours_before),
        late=timedelta(hours=settings.match_hours_after),
        worklist_days=settings.worklist_days,
        endpoints=tuple(map(parse_prefix, settings.subscription_endpoints)),
        archive=archives[0].name,
        archive_reports=settings.archive_reports,
        rewritable=frozenset(one.name for one in archives if one.driver == "orthanc"),
    )


def subscription_secret(settings: Settings) -> bytes:
    """What the keys of subscriptions are made from; replicas with the worker role share the file."""
    return read_secret(settings.subscription_key_file or settings.data_dir / "subscription.key")


def ohif_folder(settings: Settings) -> Path:
    """OHIF's dist: the setting, else where ``make setup`` puts it beside the package."""
    return settings.ohif_dir or Path(__file__).resolve().parent.parent / "build" / "ohif" / "dist"


def viewer_configuration(settings: Settings) -> bytes:
    """OHIF's configuration: ours and the site's over it; ViewerConfigurationError where that cannot be."""
    from interop.viewer import configuration  # here: most commands and processes show no images

    site = settings.ohif_config
    text = None if site is None else site.read_text(encoding="utf-8")
    ours = (shipped("ohif") / "app-config.js").read_bytes()
    return configuration(ours, settings.base_path, site=text, name=str(site))


def viewer_assets(settings: Settings) -> Assets:
    """OHIF's files as they are served; MissingViewerError or ViewerConfigurationError where they cannot be."""
    from interop.viewer import Assets

    return Assets(ohif_folder(settings), viewer_configuration(settings), settings.base_path)


def archive_credentials(settings: Settings) -> tuple[str, str | None]:
    """User and password for Orthanc: of the settings, else of the private Orthanc in this data directory."""
    if settings.orthanc_secret is not None:
        return settings.orthanc_username, settings.orthanc_secret
    private = private_configuration(settings)
    if private.is_file():
        users = json.loads(private.read_text()).get("RegisteredUsers", {})
        for username, password in users.items():
            return str(username), str(password)
    return settings.orthanc_username, None


def private_configuration(settings: Settings) -> Path:
    """Where `up` keeps the configuration of its Orthanc."""
    return settings.data_dir / "orthanc" / "orthanc.json"


def archive_url(settings: Settings) -> str:
    """Orthanc's address: the setting, else where the private Orthanc of this data directory is, or would be."""
    if settings.orthanc_url:
        return settings.orthanc_url
    port, private = settings.orthanc_http_port, private_configuration(settings)
    if not port and private.is_file():  # any free one was asked for: it was written down
        port = int(json.loads(private.read_text())["HttpPort"])
    return f"http://127.0.0.1:{port}"


def archive_storage(settings: Settings) -> Path | None:
    """Where Orthanc keeps its files: the setting, else the folder of the private Orthanc of this data directory."""
    if settings.orthanc_storage is not None or settings.orthanc_url:
        return settings.orthanc_storage
    private = private_configuration(settings)
    return Path(json.loads(private.read_text())["StorageDirectory"]) if private.is_file() else None


def archive_entries(settings: Settings) -> tuple[ArchiveEntry, ...]:
    """The archives, the default one first: those of the file, else the one Orthanc."""
    if settings.pacs is None:
        return (ArchiveEntry(name="orthanc", driver="orthanc"),)
    return read_archives(settings.pacs.read_text(encoding="utf-8"), str(settings.pacs))


def open_worklist(settings: Settings) -> WorklistFolder | OrthancWorklists:
    """Where the worklist's items are put; nothing is asked yet."""
    if settings.worklist_driver == "folder":
        return WorklistFolder(settings.worklist)
    username, password = archive_credentials(settings)
    return OrthancWorklists(archive_url(settings), username, password or "")


def worklist_render(settings: Settings) -> Callable[[Mapping[str, Any]], bytes]:
    """An item's content as that place wants it."""
    return worklist_bytes if settings.worklist_driver == "folder" else worklist_json


def overlay(settings: Settings) -> dict[str, Any] | None:
    """What the site lays over the generated configuration of Orthanc, if anything."""
    if settings.orthanc_config is None:
        return None
    return read_overlay(settings.orthanc_config.read_text(encoding="utf-8"))


@asynccontextmanager
async def private_archive(settings: Settings) -> AsyncIterator[Settings]:
    """A private Orthanc as this process's child while the context lasts; gives the settings that lead to it."""
    WorklistFolder(settings.worklist)  # which makes it
    own = settings.model_copy(update={"orthanc_url": ""})
    orthanc = PrivateOrthanc(
        settings.data_dir / "orthanc",
        template=read_template((shipped("orthanc") / TEMPLATE).read_text(encoding="utf-8")),
        stations=stations(settings),
        worklist=settings.worklist,
        http_port=settings.orthanc_http_port,
        dicom_port=settings.orthanc_dicom_port,
        aet=settings.orthanc_aet,
        overlay=overlay(settings),
    )
    await orthanc.start()
    log.warning(
        "Orthanc listens on all addresses (ports %d and %d) whatever it is told: HTTP is refused to other machines, "
        "DICOM to unlisted modalities; a firewall should keep both ports closed",
        orthanc.http_port,
        orthanc.dicom_port,
    )
    watch = asyncio.create_task(orthanc.watch(), name="orthanc")  # one that ends by itself is started again
    try:
        yield settings.model_copy(
            update={
                "orthanc_url": orthanc.url,
                "orthanc_username": orthanc.credentials.username,
                "orthanc_password": _secret(orthanc.credentials.password),
                "orthanc_password_file": None,
                "orthanc_storage": archive_storage(own),
            }
        )
    finally:
        watch.cancel()  # first: it may be about to start another
        await asyncio.gather(watch, return_exceptions=True)
        await orthanc.stop()


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def write_orthanc_configuration(settings: Settings, output: Path) -> None:
    """The configuration for the container image of docker-compose.yml, mode 0600.

    Orthanc's index database is named by the image's own environment. InteropError without Orthanc's password.
    """
    password = settings.orthanc_secret
    if password is None:
        raise InteropError("Orthanc's configuration needs INTEROP_ORTHANC_PASSWORD or INTEROP_ORTHANC_PASSWORD_FILE")
    text = docker_configuration(
        read_template((shipped("orthanc") / TEMPLATE).read_text(encoding="utf-8")),
        stations(settings),
        aet=settings.orthanc_aet,
        credentials=Credentials(settings.orthanc_username, password),
        worklist=str(settings.worklist) if settings.worklist_driver == "folder" else None,
        overlay=overlay(settings),
    )
    write_configuration(output, text)


def settle_collector() -> None:
    """Leave what was loaded at start out of every collection, and collect less often: a tenth of an intake's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
