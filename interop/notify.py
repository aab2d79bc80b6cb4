"""The wire to subscribers: one HTTP request, to an address that was looked at, and the status of its answer.

The name is resolved here and the connection made to the address that was judged, so that what a name points to cannot
change between the look and the request. TLS still asks for a certificate of the name. No redirect is followed, no
proxy of the environment is used, no cookie is kept, and an answer's body is read only so far.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx

from interop.errors import ForbiddenError, UnavailableError

CONNECT_SECONDS = 5.0
LONGEST_ANSWER = 64 * 1024  # bytes of a body that are read before the connection is closed


class HttpNotifier:
    """Sends notifications. Connections are not shared: two subscribers of one host have nothing of each other."""

    def __init__(self, *, verify: bool | str = True) -> None:
        self._verify = httpx.create_ssl_context(verify=verify)

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        may_connect: Callable[[str], bool],
        seconds: float,
    ) -> int:
        """The status of the answer; UnavailableError where none came in time, ForbiddenError for no allowed address."""
        try:
            async with asyncio.timeout(seconds):
                addresses = await _resolved(url, may_connect)
                return await self._sent(method, url, headers, body, addresses, seconds)
        except TimeoutError as error:
            raise UnavailableError(f"the endpoint did not answer within {seconds:g} s") from error

    async def _sent(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        addresses: list[str],
        seconds: float,
    ) -> int:
        parts = httpx.URL(url)
        named = [("Host", parts.netloc.decode("ascii")), ("Accept-Encoding", "identity"), *headers]
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            async with httpx.AsyncClient(
                verify=self._verify,
                timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
                trust_env=False,
                follow_redirects=False,
                headers={"User-Agent": "interop"},
            ) as client:
                request = client.build_request(
                    method,
                    parts.copy_with(host=address),
                    headers=named,
                    content=body,
                    extensions={"sni_hostname": parts.host},
                )
                try:
                    return await _status(client, request)
                except httpx.ConnectError as error:  # nothing was sent: the next address may be tried
                    if not left:
                        raise UnavailableError("no connection to the endpoint") from error
                except httpx.HTTPError as error:  # its text may hold the URL, which may hold a secret
                    raise UnavailableError(f"no answer from the endpoint ({type(error).__name__})") from error
        raise UnavailableError("no connection to the endpoint")


async def _status(client: httpx.AsyncClient, request: httpx.Request) -> int:
    answer = await client.send(request, stream=True)
    try:
        read = 0
        async for chunk in answer.aiter_raw():
            read += len(chunk)
            if read > LONGEST_ANSWER:
                break
    finally:
        await answer.aclose()
    return answer.status_code


async def _resolved(url: str, may_connect: Callable[[str], bool]) -> list[str]:
    """The addresses of the URL's host; ForbiddenError unless every one of them may be connected to."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnavailableError("the endpoint's name is not known") from error
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not all(map(may_connect, addresses)):
        raise ForbiddenError(f"{parts.hostname} leads to an address that is not allowed for it")
    return addresses
