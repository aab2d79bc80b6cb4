"""TLS before MLLP: the handshake, who the other side is, and then an ordinary connection.

Connections are accepted here and not by the loop's own server, so that each gets the certificates of its day, and a
handshake that fails is seen, with the bytes that were none where somebody speaks without TLS.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Callable, Coroutine
from logging import getLogger
from typing import Any

from interop.hl7.framing import HEAD
from interop.mllp_listener.intake import Intake
from interop.mllp_listener.strangers import Strangers
from interop.tls import Certificate, TlsContext, certificate_of, reason_of

logger = getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
_HANDSHAKE = b"\x16"  # the content type of a ClientHello (RFC 8446 5.1)
_BACKLOG = 512
_PAUSE = 0.1  # where the process has no descriptor left

Opened = Callable[[Intake], asyncio.Protocol]


class TlsServer:
    """A listening socket whose connections begin with a handshake."""

    def __init__(self, intake: Intake, tls: TlsContext, opened: Opened, strangers: Strangers) -> None:
        self._intake = intake
        self._strangers = strangers
        self._strange = 0  # handshakes under way with those whose address is not listed
        self._tls = tls
        self._opened = opened
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen; OSError if the port is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._listening.setblocking(False)
        self._run(self._accept(self._listening))

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return 0 if self._listening is None else int(self._listening.getsockname()[1])

    def is_serving(self) -> bool:
        """Whether connections are taken."""
        return self._listening is not None and bool(self._tasks)

    async def close(self) -> None:
        """Take no more connections, and give up the handshakes that are under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                logger.error("no MLLP connection taken: %s", error.strerror)
                await asyncio.sleep(_PAUSE)
                continue
            accepted.setblocking(False)
            self._run(self._secure(accepted, str(peer[0])))

    async def _secure(self, accepted: socket.socket, address: str) -> None:
        strange = not self._intake.allow.admits(address)
        self._strange += strange
        try:
            if strange:
                await self._intake.refuse_connection(address)
                if self._strangers.full or self._strange > self._strangers.limits.at_once:
                    return
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                first = await _peek(accepted)
            if not first:
                return  # a probe that looks whether we are there
            if not first.startswith(_HANDSHAKE):
                await self._failed("these bytes begin no TLS handshake", address, first)
                return
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Secured(self._intake, self._opened),
                accepted,
                ssl=self._tls.current(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            accepted = None  # type: ignore[assignment]  # the transport's now
        except TimeoutError:
            await self._failed("it did not come in time", address)
        except OSError as error:
            await self._failed(reason_of(error), address)
        finally:
            self._strange -= strange
            if accepted is not None:
                accepted.close()

    async def _failed(self, reason: str, address: str, raw: bytes = b"") -> None:
        self._intake.counts["fault tls"] += 1
        logger.warning("MLLP TLS handshake failed: %s", reason)
        await self._intake.keep_fault("tls", f"the TLS handshake failed: {reason}", address, raw)


async def _peek(accepted: socket.socket) -> bytes:
    """What came first, left where it is."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(accepted.fileno(), readable.set)
    try:
        await readable.wait()
        return accepted.recv(HEAD, socket.MSG_PEEK)
    finally:
        loop.remove_reader(accepted.fileno())


class _Secured(asyncio.Protocol):
    """Sees who is there once the handshake is done, and makes way for the connection."""

    def __init__(self, intake: Intake, opened: Opened) -> None:
        self._intake = intake
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = self._opened(self._intake.for_peer(_certificate(transport)))
        transport.set_protocol(connection)
        connection.connection_made(transport)


def _certificate(transport: asyncio.BaseTransport) -> Certificate:
    session: Any = transport.get_extra_info("ssl_object")
    exact = session.getpeercert(True)
    return certificate_of(session.getpeercert(), hashlib.sha256(exact).hexdigest() if exact else "")
