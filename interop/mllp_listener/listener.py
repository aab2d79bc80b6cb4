"""The listening socket, and the counts of what went over it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from logging import getLogger

from interop.mllp_listener.connection import Connection, Limits
from interop.mllp_listener.intake import Intake
from interop.mllp_listener.peers import AllowList
from interop.mllp_listener.secured import TlsServer
from interop.mllp_listener.strangers import StrangerLimits, Strangers
from interop.mllp_listener.tallies import KEEP_SECONDS, Tallies
from interop.store import Store
from interop.tls import TlsContext
from interop.workflow.site import Site

logger = getLogger(__name__)


class MllpListener:
    """Accepts MLLP connections and answers every message on them, in order.

    ``release``: MLLP release 1 or 2 (commit blocks). ``batch_answers``: a batch is answered by a batch instead of an
    acknowledgement for each of its messages.
    """

    def __init__(
        self,
        store: Store,
        site: Site,
        host: str,
        port: int,
        allow: Iterable[str] | AllowList = (),
        *,
        limits: Limits | None = None,
        stranger_limits: StrangerLimits | None = None,
        release: int = 1,
        batch_answers: bool = False,
        tls: TlsContext | None = None,
    ) -> None:
        """``tls``: every connection begins with a handshake, and its certificate counts."""
        self._host, self._port = host, port
        self.allow = allow if isinstance(allow, AllowList) else AllowList.of(allow)
        self.limits = limits or Limits()
        self.tallies = Tallies(store)
        self.counts = self.tallies.counts
        self.intake = Intake(store, site, self.allow, self.tallies, batch_answers=batch_answers)
        self._strangers = Strangers(stranger_limits or StrangerLimits(), release)
        self._release = release
        self._server: asyncio.Server | TlsServer | None = None
        self._connections: set[Connection] = set()
        self._tls = tls
        self._keeping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the one that was found where 0 was asked for."""
        if self._server is None:
            return self._port
        if isinstance(self._server, TlsServer):
            return self._server.port
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def start(self) -> None:
        """Listen; OSError if the port is taken."""
        if self._tls is not None:
            self._server = TlsServer(self.intake, self._tls, self._opened, self._strangers)
            await self._server.start(self._host, self._port)
        else:
            plain = self.intake.for_peer(None)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: self._opened(plain), self._host, self._port, backlog=512)
        self._keeping = asyncio.create_task(self._keep(), name="mllp-counts")
        logger.info("MLLP listener on %s:%d%s", self._host, self.port, " (TLS)" if self._tls else "")

    def _opened(self, intake: Intake) -> Connection:
        return Connection(intake, self.limits, self._connections, self._strangers, self._release)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                await self.tallies.keep()
            except Exception:  # counting goes on, whatever keeping fails with
                logger.exception("the counts of the listener were not kept")

    async def stop(self) -> None:
        """Listen no more, answer what was received whole, close."""
        if self._server is None:
            return
        if isinstance(self._server, TlsServer):
            await self._server.close()
        else:
            self._server.close()
        await asyncio.gather(*(connection.finish() for connection in tuple(self._connections)))
        await self._strangers.close()
        await self.intake.settle()
        if not isinstance(self._server, TlsServer):
            await self._server.wait_closed()
        self._server = None
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        await self.tallies.keep()

    def ready(self) -> bool:
        """Whether messages are accepted."""
        return self._server is not None and self._server.is_serving()
