"""An archive that speaks DICOMweb and nothing else: where its services are, and the habits to allow for.

It is asked in the paths of this server and answers in them: requests go to the roots that the settings name, and the
URLs in its JSON come back with this server's address. What an archive is not to be asked is left out on the way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson

from interop.dicomweb_relay.answer import Answer
from interop.dicomweb_relay.connection import Sink
from interop.dicomweb_relay.located import LocatedAnswer, is_xml, with_own_locations, xml_led_here
from interop.dicomweb_relay.relay import Body, Relay
from interop.errors import NotFoundError, UnavailableError

OURS = "/dicom-web"
_JSON = b"application/dicom+json"
_LARGEST = 64 * 1024 * 1024  # of a JSON answer, which is read whole
_SEARCH = re.compile(
    r"/dicom-web/(?:studies|series|instances|studies/[0-9.]+/(?:series(?:/[0-9.]+/instances)?|instances))"
)
_FORWARDED = re.compile(rb"host=([^;,\s]+);proto=([a-z]+)")
_URL = re.compile(rb'"https?:(?:\\?/){2}[^"\s]*?\\?/studies(\\?/[0-9.]+[^"\s]*)"')
_ANY_SYNTAX = re.compile(rb";\s*transfer-syntax=\*")

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """The roots, and what may be asked."""

    qido: str  # path of the root, e.g. /dcm4chee-arc/aets/DCM4CHEE/rs
    wado: str
    stow: str
    include_field: str = "names"  # names: one or several attributes; all: nothing but "all"; none
    fuzzy_matching: bool = True
    any_syntax: bool = True  # whether transfer-syntax=* is understood


class WholeAnswer:
    """An answer that was read to its end."""

    ends_with_connection = False

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        length = (b"content-length", b"%d" % len(body))
        self.status = status
        self.headers = [pair for pair in headers if pair[0] not in (b"content-length", b"transfer-encoding")]
        self.headers.append(length)
        self._left = body

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower case) name."""
        return next((value for key, value in self.headers if key == name), None)

    async def chunk(self) -> bytes:
        """All of it, once."""
        body, self._left = self._left, b""
        return body

    async def ahead(self, size: int) -> bytes:
        """All of it, which stays to be taken."""
        return self._left

    async def body(self, limit: int) -> bytes:
        """All of it; UnavailableError beyond the limit."""
        if len(self._left) > limit:
            raise UnavailableError("the archive's answer is longer than this server keeps in memory")
        return await self.chunk()

    async def pour(self, sink: Sink, patience: float) -> bool:
        """Gives it to the sink; whether that was there to take it."""
        sink.write(await self.chunk())
        return not sink.gone

    def close(self) -> None:
        """There is nothing to give back."""


class PlainArchive:
    """Speaks to it: for the door in the door's own paths, for the feed by search and metadata."""

    def __init__(self, relay: Relay, dialect: Dialect) -> None:
        self._relay, self._dialect = relay, dialect

    async def get(self, target: bytes, headers: Headers = ()) -> Answer | WholeAnswer | LocatedAnswer:
        """The answer to one of this server's own targets; UnavailableError as for any archive."""
        address = b""
        sent = []
        for name, value in headers:
            if name == b"Forwarded":
                found = _FORWARDED.search(value)
                address = found.group(2) + b"://" + found.group(1) if found else b""
            elif name == b"Accept" and not self._dialect.any_syntax:
                sent.append((name, _ANY_SYNTAX.sub(b"", value)))
            else:
                sent.append((name, value))
        answer = await self._relay.get(self._translated(target.decode("ascii")), sent)
        given = answer.header(b"content-type") or b""
        kind = given.partition(b";")[0].strip().lower()
        xml = is_xml(answer)
        if answer.status != 200 or not (xml or kind in (_JSON, b"application/json")):
            return await _with_own_locations(answer, root_of(address))
        try:
            body = await answer.body(_LARGEST)
        finally:
            answer.close()
        if xml:
            return WholeAnswer(200, answer.headers, xml_led_here(body, given, root_of(address)))
        kept = [pair for pair in answer.headers if pair[0] != b"content-type"]
        return WholeAnswer(200, [*kept, (b"content-type", _JSON)], _led_here(body, address))

    async def post(
        self, target: bytes, length: int, pieces: Body, headers: Headers = (), *, again: bool = False
    ) -> Answer:
        """The answer to a STOW-RS request."""
        path = f"{self._dialect.stow}{target.decode('ascii').removeprefix(OURS)}"
        return await self._relay.post(path.encode("ascii"), length, pieces, headers, again=again)

    async def search(self, level: str, parameters: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Rows of ``studies`` or of another search; UnavailableError where the answer is none."""
        query = urlencode(parameters, safe=",*?:^-", quote_via=quote)
        found = await self._json(f"{OURS}/{level}?{query}" if query else f"{OURS}/{level}")
        return found or []

    async def metadata(self, study: str) -> list[dict[str, Any]]:
        """Every instance of a study, as DICOM JSON; empty where there is no such study."""
        try:
            return await self._json(f"{OURS}/studies/{study}/metadata") or []
        except NotFoundError:
            return []

    async def ping(self) -> None:
        """UnavailableError unless it answers a search."""
        await self.search("studies", [("limit", "1")])

    async def close(self) -> None:
        """Closes every connection."""
        await self._relay.close()

    async def _json(self, target: str) -> list[dict[str, Any]] | None:
        answer = await self.get(target.encode("ascii"), [(b"Accept", _JSON)])
        try:
            if answer.status == 204:
                return None
            if answer.status == 404:
                raise NotFoundError("the archive has no such resource")
            if answer.status in (401, 403):
                raise UnavailableError("the archive refuses this server's credentials", retry_after=60)
            if answer.status != 200:
                raise UnavailableError(f"the archive answered {answer.status}", retry_after=10)
            found = orjson.loads(await answer.body(_LARGEST))
        except orjson.JSONDecodeError as error:
            raise UnavailableError("the archive's answer is not JSON", retry_after=10) from error
        finally:
            answer.close()
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise UnavailableError("the archive's answer is not DICOM JSON", retry_after=10)
        return found

    def _translated(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        rest = path.removeprefix(OURS)
        if _SEARCH.fullmatch(path) is None:
            return f"{self._dialect.wado}{rest}{'?' if query else ''}{query}".encode("ascii")
        query = self._asked(query)
        return f"{self._dialect.qido}{rest}{'?' if query else ''}{query}".encode("ascii")

    def _asked(self, query: str) -> str:
        """The search without what the archive does not understand."""
        wanted = self._dialect.include_field
        if (wanted == "names" or "includefield" not in query) and (
            self._dialect.fuzzy_matching or "fuzzy" not in query
        ):
            return query
        kept = []
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name == "includefield" and wanted != "names":
                if wanted == "all" and ("includefield", "all") not in kept:
                    kept.append(("includefield", "all"))
            elif name != "fuzzymatching" or self._dialect.fuzzy_matching:
                kept.append((name, value))
        return urlencode(kept, safe=",*?:^-", quote_via=quote)


def root_of(address: bytes) -> bytes:
    """The path by which clients reach this door: an address may have one, where a proxy shows the server below it."""
    return urlsplit(address).path.rstrip(b"/") + OURS.encode("ascii")


async def _with_own_locations(answer: Answer, root: bytes) -> Answer | LocatedAnswer:
    try:
        return await with_own_locations(answer, root)
    except BaseException:
        answer.close()
        raise


def _led_here(body: bytes, address: bytes) -> bytes:
    """The archive's own URLs of studies, as this server's; relative ones are right as they are."""
    if not address:
        return body
    return _URL.sub(lambda found: b'"%s%s/studies%s"' % (address, OURS.encode(), found.group(1)), body)
