"""Orthanc's REST interface: what is there, what has come, and what an instance says.

Answers are JSON as Orthanc gives it. Everything that keeps an answer from coming is one error, so that callers know
one thing: the archive is not available now.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any, BinaryIO, Self

import httpx
import orjson

from interop.errors import NotFoundError, UnavailableError

logger = logging.getLogger(__name__)

Resource = dict[str, Any]

_ANY = {"Accept": "*/*"}
_LONG = 120.0  # seconds for what takes time in proportion to a file or a study


class ArchiveUnavailableError(UnavailableError):
    """The image archive does not answer."""


class OrthancClient:
    """One archive. The connection pool is kept until close()."""

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            auth=httpx.BasicAuth(username, password),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 2.0)),
            headers={"Accept-Encoding": "identity", "Accept": "application/json"},
            trust_env=False,  # a proxy of the environment is no way to a loopback archive
            verify=tls or True,
            follow_redirects=False,  # credentials go to this address and nowhere else
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_details: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def ping(self) -> str:
        """Orthanc's version; ArchiveUnavailableError when it does not answer or does not know us."""
        return str((await self.system()).get("Version", "unknown"))

    async def system(self) -> Resource:
        """``/system``: version, AE title, ports, plugins."""
        return _object(await self._get("/system"))

    async def statistics(self) -> Resource:
        """``/statistics``: CountStudies, CountSeries, CountInstances, sizes."""
        return _object(await self._get("/statistics"))

    async def changes(self, since: int, limit: int = 1000) -> Resource:
        """``/changes``: up to limit Changes after since, whether these were the last ones (Done), and the last Seq."""
        return _object(await self._get("/changes", since=since, limit=limit))

    async def last_change(self) -> int:
        """The sequence number of the newest change; 0 where nothing ever came."""
        return int(_object(await self._get("/changes?last")).get("Last", 0))

    async def resources(self, ids: Sequence[str], level: str | None = None) -> list[Resource]:
        """Many resources at once (``/tools/bulk-content``), with short tags and metadata; those gone are left out.

        A level (Study, Series, Instance) gives the resources of that level that belong to the ones named.
        """
        wanted: Resource = {"Resources": list(ids), "Metadata": True, "Short": True}
        if level is not None:
            wanted["Level"] = level
        return _list(await self._send("POST", "/tools/bulk-content", content=orjson.dumps(wanted)))

    async def tags(self, instance: str) -> Resource | None:
        """All tags of one instance under ``gggg,eeee`` keys; None where it is gone."""
        try:
            return _object(await self._get(f"/instances/{_id(instance)}/tags?short"))
        except NotFoundError:
            return None

    async def find_studies(self, study_uid: str) -> list[str]:
        """Orthanc's ids of a StudyInstanceUID: several where its instances name several patients."""
        return await self._found(study_uid, "Study")

    async def find_series(self, series_uid: str) -> list[str]:
        """Orthanc's ids of a SeriesInstanceUID."""
        return await self._found(series_uid, "Series")

    async def list_resources(self, level: str, since: int, limit: int) -> list[Resource]:
        """A page of all ``studies`` or ``series``, each with its children's ids."""
        return _list(await self._send("GET", f"/{_id(level)}?expand&since={int(since)}&limit={int(limit)}"))

    async def delete_study(self, study: str) -> None:
        """Remove a study by Orthanc's id."""
        await self._send("DELETE", f"/studies/{_id(study)}")

    async def store(self, part10: bytes) -> Resource:
        """Store one DICOM file."""
        return _object(await self._send("POST", "/instances", content=part10))

    async def fetch(self, instance: str, into: BinaryIO) -> None:
        """The DICOM file of an instance, written into a file as it comes; NotFoundError where it is gone."""
        try:
            async with self._http.stream("GET", f"/instances/{_id(instance)}/file", headers=_ANY) as answer:
                _refuse(answer.status_code, "GET")
                async for part in answer.aiter_bytes(1 << 20):
                    into.write(part)
        except httpx.TransportError as error:
            raise ArchiveUnavailableError(f"Orthanc does not answer ({type(error).__name__})", retry_after=5) from error

    async def store_file(self, file: BinaryIO, size: int) -> Resource:
        """Store the DICOM file that a file holds from its beginning, so many bytes."""
        file.seek(0)
        return _object(await self._send("POST", "/instances", content=_parts(file), length=size, patience=_LONG))

    async def delete_instances(self, ids: Sequence[str]) -> None:
        """Remove instances at one stroke; those gone already are no error."""
        wanted = orjson.dumps({"Resources": [_id(id) for id in ids]})
        await self._request("POST", "/tools/bulk-delete", content=wanted, patience=_LONG)

    async def reconstruct(self, study: str) -> None:
        """Note the tags of a study anew from its files: what Orthanc answers searches from."""
        await self._request("POST", f"/studies/{_id(study)}/reconstruct", patience=_LONG)

    async def _found(self, uid: str, level: str) -> list[str]:
        found = _list(await self._send("POST", "/tools/lookup", content=uid.encode("ascii")))
        return [str(entry["ID"]) for entry in found if entry.get("Type") == level]

    async def _get(self, path: str, **query: int) -> Any:
        return await self._send("GET", path, params=query or None)

    async def _send(self, method: str, path: str, **more: Any) -> Any:
        try:
            return orjson.loads(await self._request(method, path, **more))
        except orjson.JSONDecodeError as error:
            raise ArchiveUnavailableError("Orthanc's answer is not JSON", retry_after=5) from error

    async def _request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | AsyncIterator[bytes] | None = None,
        params: dict[str, int] | None = None,
        length: int | None = None,
        patience: float | None = None,
    ) -> bytes:
        headers = {} if length is None else {"Content-Length": str(length)}  # Orthanc takes no chunked bodies
        more: Resource = {} if patience is None else {"timeout": patience}
        try:
            answer = await self._http.request(method, path, content=content, params=params, headers=headers, **more)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ArchiveUnavailableError(f"Orthanc does not answer ({type(error).__name__})", retry_after=5) from error
        _refuse(answer.status_code, method)
        return answer.content


def _refuse(status: int, method: str) -> None:
    if status == 404:
        raise NotFoundError("the archive has no such resource")
    if status in (401, 403):
        raise ArchiveUnavailableError("Orthanc refuses the configured user or password", retry_after=60)
    if not 200 <= status < 300:
        raise ArchiveUnavailableError(f"Orthanc answered {status} to {method}", retry_after=5)


async def _parts(file: BinaryIO) -> AsyncIterator[bytes]:
    while part := file.read(1 << 20):
        yield part


def _id(part: str) -> str:
    """A part of a path that came from Orthanc itself; nothing that would change the path."""
    if not part.replace("-", "").isalnum():
        raise ValueError("not an id of Orthanc")
    return part


def _object(value: Any) -> Resource:
    if not isinstance(value, dict):
        raise ArchiveUnavailableError("Orthanc's answer is not an object", retry_after=5)
    return value


def _list(value: Any) -> list[Resource]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ArchiveUnavailableError("Orthanc's answer is not a list of objects", retry_after=5)
    return value
