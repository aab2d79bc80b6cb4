"""The worklist's own process: it reads orders, renders their items and writes their files.

A child of the process that runs the jobs. Rendering an item costs more than taking the order in did; here it costs the
event loop that answers senders nothing, while what changes the database, the end of the jobs, stays with the parent.
The child looks into the database (SQLite: mode=ro) and is told what to do by lines of JSON on its standard input. It
ends when that closes, so a parent's death ends it, by kill -9 too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from interop.errors import InteropError, UnavailableError
from interop.jobs import Made, Wanted, WorklistItems
from interop.parts import open_worklist, settle_collector, site, worklist_render
from interop.settings import Settings
from interop.store import open_reader

log = logging.getLogger(__name__)

LONGEST_LINE = 1 << 22
STOP_SECONDS = 5.0
_WRITE, _LOOK = "write", "look"
# What the child needs to know beside its environment; no secret is among it, but for a database's password, which no
# command line shows. That of a private Orthanc it reads where the parent wrote it.
_TOLD = frozenset(
    {
        "data_dir",
        "database_url",
        "database_password_file",
        "worklist_dir",
        "worklist_driver",
        "orthanc_url",
        "orthanc_username",
        "orthanc_password_file",
        "orthanc_http_port",
        "time_zone",
        "facility",
        "modalities_file",
        "peers_file",
        "public_url",
        "http_host",
        "http_port",
    }
)


class WorklistProcess:
    """The child as its parent knows it; started at need, and again when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._told = settings.model_dump(mode="json", include=set(_TOLD), exclude_none=True)
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start the child; what it is asked then waits until it is ready."""
        async with self._turn:
            await self._running()

    async def write(self, wanted: Sequence[Wanted]) -> list[Made]:
        """See ``WorklistItems.write``; UnavailableError where the child has ended."""
        return await self._ask(_WRITE, wanted)

    async def look(self, wanted: Sequence[Wanted]) -> list[Made]:
        """What ``write`` would come to; nothing is changed."""
        return await self._ask(_LOOK, wanted)

    async def _ask(self, what: str, wanted: Sequence[Wanted]) -> list[Made]:
        async with self._turn:
            process = await self._running()
            try:
                answer = await _asked(process, [what, [list(one) for one in wanted]])
            except BaseException:
                await _ended(process, at_once=True)  # what it would answer later belongs to no question any more
                raise
        return [Made(*one) for one in answer]

    async def stop(self) -> None:
        """Let the child end what it is at, and wait for it."""
        async with self._turn:
            if self._process is not None:
                await _ended(self._process, at_once=False)
                self._process = None

    @property
    def pid(self) -> int | None:
        """The child, while it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                stdin=PIPE,
                stdout=PIPE,
                limit=LONGEST_LINE,
                start_new_session=True,  # Ctrl-C is the parent's to pass on
            )
            assert self._process.stdin is not None
            self._process.stdin.write(_line(self._told))
        return self._process


async def _asked(process: Process, question: Any) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(_line(question))
        await process.stdin.drain()
        line = await process.stdout.readline()
    except (ConnectionError, ValueError) as error:
        raise UnavailableError("the worklist's process does not answer") from error
    if not line:
        raise UnavailableError("the worklist's process has ended")
    return json.loads(line)


async def _ended(process: Process, *, at_once: bool) -> None:
    assert process.stdin is not None
    process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(0 if at_once else STOP_SECONDS):
            await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    told = await asked.readline()
    if not told:
        return
    settings = Settings(**json.loads(told))
    reader, worklist = await open_reader(settings.database, zone=settings.zone), open_worklist(settings)
    try:
        of_site, render = site(settings), worklist_render(settings)
        items = {
            _WRITE: WorklistItems(reader, of_site, worklist, render),
            _LOOK: WorklistItems(reader, of_site, worklist.looked_at(), render),
        }
        settle_collector()
        while line := await asked.readline():
            what, wanted = json.loads(line)
            made = await items[what].write([Wanted(*one) for one in wanted])
            sys.stdout.buffer.write(_line([list(one) for one in made]))
            sys.stdout.buffer.flush()
    finally:
        worklist.close()
        await reader.close()


def main() -> None:
    """Run until standard input closes."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # sent to a whole group, by systemd too:
        signal.signal(number, signal.SIG_IGN)  # it ends with its parent, after what it is at
    try:
        asyncio.run(_serve())
    except BrokenPipeError:
        log.warning("the process that asked is gone")
    except InteropError as error:
        log.error("the worklist's process ends: %s", error.text)
        sys.exit(1)


if __name__ == "__main__":
    main()
