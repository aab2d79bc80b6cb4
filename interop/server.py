"""The composition root: reads the settings, builds the rooms, hands the wires to the doors, and runs the chosen roles.

Roles: http (FHIR, DICOMweb, viewer, start page), mllp (HL7 v2 listener), worker (jobs and the archive feed), and, where
it is asked for, dimse (worklist and performed steps for modalities).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvloop

from interop.archives import OpenArchives
from interop.audit.resource import Observer, to_resource
from interop.auth import Bindings, Keys, Tokens
from interop.errors import InteropError, UnavailableError
from interop.fhir.search import index_rows
from interop.fhir_api import fhir_routes
from interop.hl7_api import hl7_routes
from interop.http_app import HttpApp, http_app
from interop.http_server import HttpServer
from interop.imaging_api import match_routes, pacs_routes
from interop.jobs import (
    BatchLane,
    Handler,
    JobRunner,
    Lane,
    UnaskedAnswers,
    WorklistJobs,
    keep_expired,
    keep_indexed,
    keep_pruned,
    notifying_lanes,
    report_pdf_lane,
    sending_lanes,
    tags_lane,
    watching,
    worklist_answers,
    worklist_kept,
)
from interop.jobs import reindex as jobs_reindex
from interop.mllp_listener import AllowList, Limits, MllpListener
from interop.mllp_sender import MllpSender
from interop.notify import HttpNotifier
from interop.orthanc.holders import holder_of
from interop.parts import (
    open_worklist,
    private_archive,
    settle_collector,
    site,
    subscription_secret,
    viewer_assets,
)
from interop.settings import Settings
from interop.store import SCHEMA, Progress, Store, open_store
from interop.tls import TlsContext, TlsFiles
from interop.viewer import ViewerPages
from interop.workflow import resources
from interop.workflow.site import Site
from interop.worklist_process import WorklistProcess

log = logging.getLogger(__name__)

USUAL_ROLES = ("http", "mllp", "worker")
ROLES = (*USUAL_ROLES, "dimse")
STOP_SECONDS = 10  # what a request or a delivery under way gets to finish


class StartError(InteropError):
    """The server cannot start with these settings."""


def parse_roles(names: Sequence[str] | None) -> frozenset[str]:
    """The chosen roles; the usual ones when none is named. StartError for an unknown one."""
    chosen = frozenset(names or USUAL_ROLES)
    if unknown := chosen - set(ROLES):
        raise StartError(f"unknown role {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}")
    return chosen


def with_dimse(settings: Settings, roles: frozenset[str]) -> frozenset[str]:
    """The roles with dimse where INTEROP_DIMSE says so: on SQLite it has to be in the process that writes."""
    writes = settings.database.startswith("sqlite") or roles >= set(USUAL_ROLES)
    return roles | {"dimse"} if settings.dimse and writes else roles


def check_bindings(settings: Settings, roles: frozenset[str]) -> None:
    """Refuse to listen beyond loopback unless the settings say that it is meant and who may come (fail closed)."""
    refusals = settings.binding_refusals()
    for role in ("http", "mllp", "dimse"):
        if role in roles and (refusal := refusals.get(f"INTEROP_{role.upper()}_HOST")):
            raise StartError(refusal)


def run(settings: Settings, *, roles: frozenset[str], private_orthanc: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("httpx", "alembic", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    roles = with_dimse(settings, roles)
    settings = settings.model_copy(update={"dimse": "dimse" in roles})
    check_bindings(settings, roles)
    if settings.time_zone == "UTC":
        log.warning("INTEROP_TIME_ZONE is UTC: DICOM and HL7 times that state no zone are taken as UTC")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(_run(settings, roles, private_orthanc)))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Run the work and end it in order at SIGTERM or SIGINT, while it is still starting, too."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    stop, running = asyncio.create_task(stopping.wait()), asyncio.create_task(work)
    await asyncio.wait({stop, running}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if stopping.is_set():
        log.info("stopping")
        running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _run(settings: Settings, roles: frozenset[str], private_orthanc: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if private_orthanc:
            settings = await stack.enter_async_context(private_archive(settings))
        running = await stack.enter_async_context(serving(settings, roles))
        settle_collector()
        log.info("ready: %s", ", ".join(sorted(roles)))
        if not running:
            await asyncio.Event().wait()  # the MLLP listener alone: it has no task that could end
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a part that ended by itself has failed: say why, and end
        raise StartError(f"{', '.join(sorted(task.get_name() for task in done))} ended by itself")


@asynccontextmanager
async def serving(settings: Settings, roles: frozenset[str]) -> AsyncIterator[set[asyncio.Task[None]]]:
    """The chosen roles, up while the context lasts; gives the tasks that must not end."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            rules = site(settings)
        except ValueError as error:  # a table, the receivers: the text names file and row
            raise StartError(str(error)) from error
        store = await _opened(settings)
        stack.push_async_callback(store.close)
        archives = OpenArchives(settings)
        stack.push_async_callback(archives.close)
        rooms = Rooms(settings, rules, store, archives)
        running = {await stack.enter_async_context(watching(store))}
        if "worker" in roles:
            running |= await stack.enter_async_context(working(rooms))
        if "mllp" in roles:
            await _listen(rooms, stack)
        if "dimse" in roles:
            await _provide(rooms, stack)
        if "http" in roles:
            running |= await stack.enter_async_context(answering(rooms))
        yield running


async def _listen(rooms: Rooms, stack: contextlib.AsyncExitStack) -> None:
    """The mllp role: a plain port, a TLS port, or both; with one list of peers."""
    settings = rooms.settings
    allow = AllowList.of(settings.mllp_peers)
    limits = Limits(message_bytes=settings.mllp_max_bytes)
    for protocol, port, tls in _mllp_ports(settings):
        listener = MllpListener(
            rooms.store,
            rooms.site,
            settings.mllp_host,
            port,
            allow,
            limits=limits,
            release=(tls and settings.mllp_tls_release) or settings.mllp_release,
            batch_answers=settings.mllp_batch_answer == "batch",
            tls=tls,
        )
        with _listening(protocol, settings.mllp_host, port):
            await listener.start()
        stack.push_async_callback(listener.stop)
        rooms.listeners.append(listener)


async def _provide(rooms: Rooms, stack: contextlib.AsyncExitStack) -> None:
    """The dimse role: the library is loaded only where somebody wants it."""
    from interop.dimse import DimseProvider

    settings = rooms.settings
    provider = DimseProvider(
        rooms.store,
        rooms.site,
        settings.dimse_host,
        settings.dimse_port,
        settings.dimse_aet,
        fold=settings.dimse_fold_accents,
    )
    with _listening("DIMSE", settings.dimse_host, settings.dimse_port):
        await provider.start()
    stack.push_async_callback(provider.stop)
    rooms.dimse_ready = provider.ready


def _mllp_ports(settings: Settings) -> list[tuple[str, int, TlsContext | None]]:
    ports: list[tuple[str, int, TlsContext | None]] = []
    if settings.mllp_plain:
        ports.append(("MLLP", settings.mllp_port, None))
    if settings.mllp_tls_cert is not None:
        files = TlsFiles(settings.mllp_tls_cert, settings.mllp_tls_key, settings.mllp_tls_client_ca)
        ports.append(("MLLP_TLS", settings.mllp_tls_port, TlsContext(files, server=True)))
    return ports


@dataclass
class Rooms:
    """What the doors of one process are given."""

    settings: Settings
    site: Site
    store: Store
    archives: OpenArchives
    listeners: list[MllpListener] = field(default_factory=list)
    dimse_ready: Callable[[], bool] | None = None

    async def dimse_answers(self) -> None:
        """UnavailableError unless this process, or the one with the dimse role, listens."""
        if self.dimse_ready is None or not self.dimse_ready():
            await _answers(self.settings.dimse_host, self.settings.dimse_port, "the DIMSE provider")

    async def mllp_answers(self) -> None:
        """UnavailableError unless this process, or the one with the mllp role, listens."""
        if self.listeners and all(listener.ready() for listener in self.listeners):
            return
        settings = self.settings
        port = settings.mllp_port if settings.mllp_plain else settings.mllp_tls_port
        await _answers(settings.mllp_host, port, "the MLLP listener")


async def _answers(host: str, port: int, part: str) -> None:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise UnavailableError(f"{part} does not answer") from error
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def working(rooms: Rooms) -> AsyncIterator[set[asyncio.Task[None]]]:
    """The worker role: jobs, and the feed of what changes in the archive."""
    worklist = open_worklist(rooms.settings)
    unasked = UnaskedAnswers(rooms.store, rooms.site)
    sender = MllpSender(unasked=unasked)
    writer = WorklistProcess(rooms.settings)
    await writer.start()
    handlers: dict[str, Handler | Lane | BatchLane] = {
        "worklist": WorklistJobs(rooms.store, rooms.site, writer).lane(),
        "tags": tags_lane(rooms.store, rooms.archives.rewritable()),
        "report-pdf": report_pdf_lane(rooms.store, rooms.site, rooms.archives.rewritable()),
        **sending_lanes(rooms.store, sender, rooms.site.receivers),
        **notifying_lanes(rooms.store, rooms.site, index_rows, HttpNotifier(), subscription_secret(rooms.settings)),
    }
    files = writer if rooms.settings.worklist_driver == "folder" else None
    kept = await worklist_kept(rooms.store, rooms.site, worklist, files)
    feeds = rooms.archives.feeds(rooms.store, rooms.site)
    tasks = {
        asyncio.create_task(JobRunner(rooms.store, handlers).run(), name="jobs"),
        *(asyncio.create_task(feed.run(), name="archive-feed") for feed in feeds),
        asyncio.create_task(keep_indexed(rooms.store), name="search-index"),
        asyncio.create_task(kept, name="worklist"),
    }
    if days := rooms.settings.message_days:
        tasks.add(asyncio.create_task(keep_pruned(rooms.store, days), name="retention"))
    if rooms.settings.worklist_days:
        tasks.add(asyncio.create_task(keep_expired(rooms.store, rooms.site), name="past-orders"))
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await writer.stop()
        worklist.close()
        await sender.close()
        await unasked.close()


@asynccontextmanager
async def answering(rooms: Rooms) -> AsyncIterator[set[asyncio.Task[None]]]:
    """The http role: uvicorn on its own socket, without its signal handlers, and what is read ahead for it."""
    settings = rooms.settings
    with _listening("HTTP", settings.http_host, settings.http_port):
        listening = socket.create_server((settings.http_host, settings.http_port), backlog=1024)
    http = application(rooms)
    server = HttpServer.serving(http.app, STOP_SECONDS)
    task = asyncio.create_task(server.serve([listening]), name="http")
    ahead = {asyncio.create_task(http.ahead.run(), name="read-ahead")} if http.ahead is not None else set()
    log.info("HTTP on %s:%d", settings.http_host, listening.getsockname()[1])
    try:
        yield {task, *ahead}
    finally:
        server.should_exit = True
        for each in ahead:
            each.cancel()
        await asyncio.gather(task, *ahead, return_exceptions=True)
        listening.close()


def application(rooms: Rooms) -> HttpApp:
    """All HTTP doors behind the one gate."""
    settings, store = rooms.settings, rooms.store
    assets = viewer_assets(settings)
    keys = Keys.load(settings.data_dir)
    bindings = Bindings(Tokens(keys), settings.base_url)
    fhir = fhir_routes(
        store,
        rooms.site,
        writer=resources,
        base_url=f"{settings.base_url}/fhir",
        max_bytes=settings.fhir_max_bytes,
        delete_multiple=settings.fhir_delete_multiple,
        bindings=bindings,
    )
    routes = {"fhir": fhir, "hl7": hl7_routes(store, rooms.site), "matching": match_routes(store, rooms.site)}
    checks = {"mllp": rooms.mllp_answers, "database": store.ping, **rooms.archives.checks()}
    checks["worklist"] = partial(worklist_answers, store)
    if settings.dimse:
        checks["dimse"] = rooms.dimse_answers
    return http_app(
        store,
        rooms.archives.links(),
        keys,
        urls=settings,
        assets=assets,
        checks=checks,
        metadata_bytes=settings.metadata_cache_bytes,
        ahead_series=settings.read_ahead_series,
        stow_bytes=settings.stow_max_bytes,
        share_minutes=settings.share_max_minutes,
        bindings=bindings,
        spare=frozenset(rooms.archives.checks()),
        lesser=frozenset({"worklist"}),
        pacs=pacs_routes(store, rooms.archives.described()),
        pages=ViewerPages(settings.frame_ancestors, settings.base_path),
        **routes,
    )


@contextlib.contextmanager
def _listening(protocol: str, host: str, port: int) -> Iterator[None]:
    """Say in whose way a listener is, and which setting is to be changed."""
    try:
        yield
    except OSError as error:
        setting = f"INTEROP_{protocol}_PORT"
        if error.errno == errno.EADDRINUSE:
            holder = holder_of(port)
            held = f" by {holder}" if holder else ""
            raise StartError(f"port {port} is in use{held}: stop that, or set {setting}") from error
        if error.errno == errno.EACCES:
            raise StartError(f"port {port} needs rights that this user lacks: set {setting} to 1024 or more") from error
        raise StartError(f"INTEROP_{protocol}_HOST={host} is no address of this machine") from error


async def _opened(settings: Settings) -> Store:
    trail = partial(to_resource, observer=Observer(url=f"{settings.base_url}/fhir"))
    try:
        return await open_store(settings.database, zone=settings.zone, audit_resource=trail)
    except ValueError as error:
        raise StartError(f"INTEROP_DATABASE_URL: {error}") from error


async def migrate(settings: Settings) -> str:
    """Bring the database to this version's schema; the revision that it is at then."""
    store = await _opened(settings)
    await store.close()
    return SCHEMA


async def reindex(settings: Settings, *, anew: bool, told: Callable[[Progress], None]) -> int:
    """Bring the search index up to date while the server is down; how many resources were gone through."""
    store = await _opened(settings)
    try:
        return await jobs_reindex(store, anew=anew, told=told)
    finally:
        await store.close()
