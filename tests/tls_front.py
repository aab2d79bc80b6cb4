"""What stands before an archive in a hospital: TLS with a certificate of the house's own authority, and a bearer."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.certificates import Authority

Quirk = Callable[[str, str], int | None]  # the target and the Accept header; a status to refuse with
_OWN = (b"host", b"authorization", b"connection")
_PLAIN = {"Accept-Encoding": "identity"}  # as the server asks, which httpx would not
_HOP = (b"connection", b"keep-alive")


class TlsFront:
    """Passes requests on to the archive if they carry ``token``, with the archive's own credentials."""

    def __init__(self, folder: Path, archive: str, auth: tuple[str, str], token: str = "first-token") -> None:
        authority = Authority(folder / "authority")
        self.ca, self.token = authority.ca, token
        self.quirk: Quirk = lambda target, accept: None
        self.refused = 0
        self.tags = False  # whether it has thumbnails; they and metadata then have an ETag, and are 304 to who has them
        self._archive, self._auth = archive, auth
        config = uvicorn.Config(
            self._answer,
            port=0,
            ssl_certfile=authority.issue("front"),
            log_level="warning",
            lifespan="off",
            interface="asgi3",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Returns when it listens."""
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        """Ends it."""
        self._server.should_exit = True
        self._thread.join(30)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://localhost:{self._port}"

    def _run(self) -> None:
        async def serve() -> None:
            options = {"base_url": self._archive, "auth": self._auth, "timeout": 30, "headers": _PLAIN}
            async with httpx.AsyncClient(trust_env=False, **options) as self._client:
                running = asyncio.create_task(self._server._serve())
                while not self._server.started:
                    await asyncio.sleep(0.01)
                self._port = self._server.servers[0].sockets[0].getsockname()[1]
                self._ready.set()
                await running

        asyncio.run(serve())

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        given = dict(scope["headers"])
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        status = None
        if given.get(b"authorization") != f"Bearer {self.token}".encode():
            status = 401
        elif (refusal := self.quirk(target, given.get(b"accept", b"").decode())) is not None:
            status = refusal
        if status is not None:
            self.refused += 1
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return
        headers = [pair for pair in scope["headers"] if pair[0] not in _OWN]
        request = self._client.build_request(
            scope["method"],
            target.replace("/thumbnail", "/rendered") if self.tags else target,
            content=body or None,
            headers=[*headers, (b"host", given[b"host"])],
        )
        answer = await self._client.send(request, stream=True)
        kept = [pair for pair in answer.headers.raw if pair[0].lower() not in _HOP]
        if self.tags and target.partition("?")[0].endswith(("/metadata", "/thumbnail")):
            tag = b'"%s"' % hashlib.sha256(await answer.aread()).hexdigest()[:16].encode()
            if given.get(b"if-none-match") == tag:
                await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", tag)]})
                await send({"type": "http.response.body"})
                return
            kept.append((b"etag", tag))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        async for piece in answer.aiter_bytes() if answer.is_stream_consumed else answer.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await answer.aclose()
        await send({"type": "http.response.body"})
