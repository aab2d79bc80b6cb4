"""All archives as one, for who only asks which studies are there."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from interop.dicomweb import search
from interop.dicomweb.archive import ArchiveAnswer
from interop.dicomweb.archives import Archives
from interop.dicomweb.paths import parse
from interop.errors import UnavailableError


class Everywhere:
    """Answers searches by StudyInstanceUID."""

    def __init__(self, archives: Archives) -> None:
        self._archives = archives

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> ArchiveAnswer | JoinedAnswer:
        """The answer to a search; UnavailableError if an archive that may have one of the studies does not answer."""
        if len(self._archives.all) == 1:
            return await self._archives.default.archive.get(target, headers)
        path, _, query = target.decode("ascii").partition("?")
        question = search.parse_question(query)
        found = await search.rows(self._archives, parse(path), question, question.studies, headers)
        if found.warnings and not question.studies <= {search.study_of(row) for row in found.rows}:
            raise UnavailableError(found.warnings[0], retry_after=10)
        return JoinedAnswer(orjson.dumps(found.rows))


class JoinedAnswer:
    """Rows of several archives."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def body(self, limit: int) -> bytes:
        """All of them."""
        return self._body

    def close(self) -> None:
        """There is nothing to give back."""
