"""One archive, asked as an examiner asks: what came back, whatever it was."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson

from interop.cli.installed import Finding
from interop.errors import UnavailableError

if TYPE_CHECKING:
    from interop.archives import Opened
    from interop.dicom.test_object import TestObject

JSON = "application/dicom+json"
_LARGEST = 64 * 1024 * 1024
_BOUNDARY = re.compile(rb'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read to its end."""

    status: int
    content_type: bytes
    body: bytes

    @property
    def kind(self) -> str:
        """The media type alone."""
        return self.content_type.partition(b";")[0].strip().lower().decode("latin-1")

    @property
    def rows(self) -> list[Row] | None:
        """The rows, where it is DICOM JSON or empty; else None."""
        if self.status == 204 or (self.status == 200 and not self.body):
            return []
        try:
            found = orjson.loads(self.body) if self.status == 200 else None
        except orjson.JSONDecodeError:
            return None
        return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None

    @property
    def parts(self) -> list[bytes] | None:
        """The contents of the parts, where it is multipart (RFC 2046 5.1); else None."""
        mark = _BOUNDARY.search(self.content_type)
        if self.status != 200 or mark is None or self.kind != "multipart/related":
            return None
        pieces = (b"\r\n" + self.body).split(b"\r\n--" + mark.group(1))
        return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:] if not piece.startswith(b"--")]

    def __str__(self) -> str:
        return f"{self.status} {self.kind}".rstrip()


@dataclass
class Probe:
    """The archive, and the instance of it that is looked at."""

    opened: Opened
    sent: TestObject | None = None  # where one was stored for this examination
    study: Row = field(default_factory=dict)
    series: Row = field(default_factory=dict)
    instance: Row = field(default_factory=dict)
    metadata: Row = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of the instance, below a root."""
        study, series, instance = (
            value(row, tag)
            for row, tag in ((self.study, "0020000D"), (self.series, "0020000E"), (self.instance, "00080018"))
        )
        return f"/studies/{study}/series/{series}/instances/{instance}"

    async def search(self, path: str, *parameters: tuple[str, str], raw: str = "") -> Said:
        """QIDO-RS, below its root; ``raw`` goes into the query as it is."""
        query = "&".join(part for part in (urlencode(parameters, safe=",*?:-", quote_via=quote), raw) if part)
        return await self._get(0, f"{path}?{query}" if query else path, JSON)

    async def retrieve(self, path: str, accept: str) -> Said:
        """WADO-RS, below its root."""
        return await self._get(1, path, accept)

    async def store(self, study: str, part10: bytes) -> Said:
        """STOW-RS of one file."""
        mark = b"interop-doctor-" + study[-20:].encode("ascii")
        body = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--%b--\r\n" % (mark, part10, mark)

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        headers = [
            (b"Content-Type", b'multipart/related; type="application/dicom"; boundary=' + mark),
            (b"Accept", JSON.encode("ascii")),
        ]
        target = f"{self.opened.entry.paths()[2]}/studies/{study}".encode("ascii")
        answer = await self.opened.relay.post(target, len(body), pieces, headers)
        try:
            return Said(answer.status, answer.header(b"content-type") or b"", await answer.body(_LARGEST))
        finally:
            answer.close()

    async def _get(self, root: int, path: str, accept: str) -> Said:
        target = f"{self.opened.entry.paths()[root]}{path}".encode("ascii")
        answer = await self.opened.relay.get(target, [(b"Accept", accept.encode("ascii"))])
        try:
            return Said(answer.status, answer.header(b"content-type") or b"", await answer.body(_LARGEST))
        finally:
            answer.close()


def value(row: Row, tag: str) -> Any:
    """The first value of an attribute; None where there is none."""
    entry = row.get(tag)
    values = entry.get("Value") if isinstance(entry, dict) else None
    return values[0] if isinstance(values, list) and values else None


def unreached(error: UnavailableError, where: str) -> Finding:
    """Why it was not reached, from what the connection failed with."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        remedy = "set ca_file to the authority that signed its certificate; url has to have the name in it"
        return Finding("fault", "reachable", f"{where}: its certificate is not trusted: {cause.verify_message}", remedy)
    if isinstance(cause, ssl.SSLError):
        return Finding("fault", "reachable", f"{where}: no TLS there ({cause.reason})", "is it http, or another port?")
    if isinstance(cause, ConnectionRefusedError):
        return Finding("fault", "reachable", f"{where}: nothing listens there", "start it, or correct the port in url")
    if isinstance(cause, TimeoutError):
        return Finding("fault", "reachable", f"{where}: no answer in time", "a firewall, or a wrong address in url")
    if isinstance(cause, OSError) and cause.strerror:
        return Finding(
            "fault", "reachable", f"{where}: {cause.strerror}", "correct the host in url, or have it resolved"
        )
    return Finding("fault", "reachable", f"{where}: {error.text}", "is it http or https? start it, or correct url")
