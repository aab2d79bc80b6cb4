"""The composition root: reads the settings, builds the rooms, hands the wires to the doors, and runs the chosen roles.

Roles: http (FHIR, DICOMweb, viewer, start page), mllp (HL7 v2 listener), worker (jobs and the archive feed).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop

from interop.errors import InteropError
from interop.settings import Settings

log = logging.getLogger(__name__)

ROLES = ("http", "mllp", "worker")
STOP_SECONDS = 10  # what a request or a delivery under way gets to finish


class StartError(InteropError):
    """The server cannot start with these settings."""


def parse_roles(names: Sequence[str] | None) -> frozenset[str]:
    """The chosen roles; all of them when none is named. StartError for an unknown one."""
    chosen = frozenset(names or ROLES)
    if unknown := chosen - set(ROLES):
        raise StartError(f"unknown role {', '.join(sorted(unknown))}; there are {', '.join(ROLES)}")
    return chosen


def check_bindings(settings: Settings, roles: frozenset[str]) -> None:
    """Refuse to listen beyond loopback unless the settings say that it is meant and who may come (fail closed)."""
    remote = settings.remote_bindings()
    if "http" in roles and "INTEROP_HTTP_HOST" in remote and not settings.allow_remote:
        raise StartError(
            f"INTEROP_HTTP_HOST={settings.http_host} is reachable from other machines: set INTEROP_ALLOW_REMOTE=true "
            "to say that it is meant, and INTEROP_PUBLIC_URL to the https address that clients use"
        )
    if "mllp" in roles and "INTEROP_MLLP_HOST" in remote and not (settings.allow_remote and settings.mllp_peers):
        raise StartError(
            f"INTEROP_MLLP_HOST={settings.mllp_host} is reachable from other machines: set INTEROP_ALLOW_REMOTE=true "
            "and name the senders in INTEROP_MLLP_PEERS"
        )


def run(settings: Settings, *, roles: frozenset[str], private_orthanc: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    check_bindings(settings, roles)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, roles, private_orthanc))


async def _run(settings: Settings, roles: frozenset[str], private_orthanc: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        if private_orthanc:
            from interop.parts import private_archive

            settings = await stack.enter_async_context(private_archive(settings))
        await stack.enter_async_context(serving(settings, roles, stopping.set))
        log.info("ready: roles %s", ", ".join(sorted(roles)))
        await stopping.wait()
        log.info("stopping")
