"""Imaging studies, which grow: the resource without its series in one place, the series in parts beside it.

A burst of images adds a chunk of instances and a new header to each series that it touched, so what it costs is in
proportion to what is new. A part knows the versions that have it; any version is put together from its parts as bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interop.fhir.json import dumps, loads
from interop.fhir.names import STUDY_UID
from interop.store import instants, search_index
from interop.store import statements as sql
from interop.store.bodies import make_body, same_content
from interop.store.resources import Resources, Row
from interop.store.rows import SeriesPart, Stored
from interop.store.session import Session

STUDY = "ImagingStudy"
_AT_ONCE = 400  # values in one IN (…)


@dataclass(frozen=True, slots=True)
class _Growth:
    """What a part changes: nothing where both are None."""

    part: SeriesPart
    header: bytes | None
    chunk: bytes | None
    instances: Sequence[dict[str, Any]]
    position: int


def put_together(body: bytes, parts: Iterable[tuple[str, int, bytes]]) -> bytes:
    """The whole study: its body with the series spliced in, each a header and its chunks of instances."""
    series: list[tuple[bytes, list[bytes]]] = []
    for _, is_header, part in parts:
        if is_header:
            series.append((part, []))
        else:
            series[-1][1].append(part)
    if not series:
        return body
    elements = [
        b"".join((header[:-1], b',"instance":[', b",".join(chunks), b"]}")) if chunks else header
        for header, chunks in series
    ]
    return b"".join((body[:-1], b',"series":[', b",".join(elements), b"]}"))


class Studies(Resources):
    """The studies of a transaction."""

    def put_study(
        self, resource_without_series: dict[str, Any], parts: Sequence[SeriesPart], removed: Sequence[str] = ()
    ) -> Stored:
        """The next version of a study: its own elements, what came to its series, and the series that are gone.

        Instances that the study has already are left out. The present version where nothing is new. The body that
        is returned is without the series; read() has them.
        """
        kept = {name: value for name, value in resource_without_series.items() if name != "series"}
        current = self._current(STUDY, kept["id"]) if "id" in kept else None
        if current is None:
            made = self._insert(kept, kept.get("id") or self.new_id())
            self._grow(made, self._growth(made.id, parts), {})
            return made
        growth = self._growth(current[2], parts)
        leaving = [uid for uid in removed if uid in self._headers(current[2])]
        if not growth and not leaving and not current[5] and same_content(kept, loads(current[6])):
            return Stored(STUDY, current[2], current[3], self._moment(current), False, current[6])
        return self._next_study(current, kept, growth, leaving)

    def create(self, resource: dict[str, Any], *, id: str | None = None) -> Stored:
        """As for any resource; the series of a study go into their parts."""
        if resource["resourceType"] != STUDY:
            return super().create(resource, id=id)
        made = super().create(_without_series(resource), id=id)
        if resource.get("series"):
            self._grow(made, self._growth(made.id, _whole_parts(resource)), {})
        return Stored(STUDY, made.id, made.version, made.last_updated, False, self._whole_study(made))

    def update(self, resource: dict[str, Any]) -> Stored:
        """As for any resource; the series given are all that a study has."""
        if resource["resourceType"] != STUDY:
            return super().update(resource)
        there = self._headers(resource["id"])
        parts = _whole_parts(resource)
        removed = there.keys() - {part.series_uid for part in parts}
        put = self.put_study(resource, parts, sorted(removed))
        return Stored(STUDY, put.id, put.version, put.last_updated, False, self._whole_study(put))

    def delete(self, type: str, id: str) -> Stored:
        """As for any resource; the parts end with it."""
        deleted = super().delete(type, id)
        if type == STUDY:
            self.session.put(sql.STUDY_CLOSE, (deleted.version, id))
        return deleted

    def study_instances(self, study_id: str) -> dict[str, set[str]]:
        """The SOP instance UIDs of each series, as they stand."""
        found: dict[str, set[str]] = {uid: set() for uid in self._headers(study_id)}
        for series_uid, chunk in self.session.rows(sql.PARTS_NOW, (study_id,)):
            found[series_uid].update(instance["uid"] for instance in loads(b"[" + chunk + b"]"))
        return found

    def study(self, study_uid: str) -> Stored | None:
        """The study of this StudyInstanceUID, without its series: costs the same however large it is."""
        found = self.session.row(sql.BY_IDENTIFIER, (STUDY, f"urn:oid:{study_uid}", STUDY_UID))
        if found is None:
            return None
        type, id, version, updated, deleted, body = found
        return Stored(type, id, version, instants.instant(updated), bool(deleted), body)

    def recent_studies(self, since: datetime, limit: int) -> list[Stored]:
        """The studies of which a version was made since then, the last first, without their series."""
        rows = self.session.rows(sql.STUDIES_SINCE, (instants.micros(since), limit))
        return [Stored(type, id, version, instants.instant(at), False, body) for type, id, version, at, body in rows]

    def study_series(self, study_id: str) -> dict[str, dict[str, Any]]:
        """The series of a study by their UID, without their instances."""
        return {uid: loads(body) for uid, (_, body) in self._headers(study_id).items()}

    def known_instances(self, study_id: str, sop_uids: Iterable[str]) -> set[str]:
        """Which of these instances the study has already; costs in proportion to the question."""
        wanted = list(sop_uids)
        known: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            statement = sql.INSTANCE_KNOWN.format(marks=", ".join("?" for _ in some))
            known.update(row[0] for row in self.session.rows(statement, (*some, study_id)))
        return known

    # how a study grows

    def _next_study(self, current: Row, kept: dict[str, Any], growth: list[_Growth], leaving: list[str]) -> Stored:
        pk, _, id, version = current[:4]
        body = make_body(kept, id, version + 1, self._moment_after(current))
        before = None if current[5] else loads(current[6])
        made = self._next_version(current, body)
        for uid in leaving:
            self.session.put(sql.SERIES_CLOSE, (made.version, id, uid))
        rebuilt = before is None or leaving or any(each.part.replace for each in growth)
        self._write_parts(made, growth)
        if rebuilt:
            self._index_whole(made, pk)
        else:
            assert before is not None
            self._index_growth(made, pk, growth, before)
        return made

    def _grow(self, made: Stored, growth: list[_Growth], before: dict[str, Any]) -> None:
        """The first parts of a study that was just made."""
        if growth:
            self._write_parts(made, growth)
            current = self._current(STUDY, made.id)
            assert current is not None
            self._index_growth(made, current[0], growth, before)

    def _growth(self, study_id: str, parts: Sequence[SeriesPart]) -> list[_Growth]:
        headers = self._headers(study_id)
        chunks = self._chunks(study_id) if any(part.replace for part in parts) else {}
        known = self.known_instances(
            study_id, (instance["uid"] for part in parts if not part.replace for instance in part.instances)
        )
        last = max((position for position, _ in headers.values()), default=0)
        growth: list[_Growth] = []
        for part in parts:
            there = headers.get(part.series_uid)
            header = dumps({name: value for name, value in part.header.items() if name != "instance"})
            fresh = [each for each in part.instances if part.replace or each["uid"] not in known]
            chunk = dumps(fresh)[1:-1]
            unchanged = chunks.get(part.series_uid, b"") == chunk if part.replace else not fresh
            if there is not None and there[1] == header and unchanged:
                continue
            last += there is None
            growth.append(
                _Growth(
                    part,
                    None if there is not None and there[1] == header else header,
                    None if unchanged else chunk,
                    fresh,
                    last if there is None else there[0],
                )
            )
        return growth

    def _headers(self, study_id: str) -> dict[str, tuple[int, bytes]]:
        return {row[0]: (row[1], row[2]) for row in self.session.rows(sql.HEADERS_NOW, (study_id,))}

    def _chunks(self, study_id: str) -> dict[str, bytes]:
        chunks: dict[str, list[bytes]] = {}
        for series_uid, chunk in self.session.rows(sql.PARTS_NOW, (study_id,)):
            chunks.setdefault(series_uid, []).append(chunk)
        return {uid: b",".join(each) for uid, each in chunks.items()}

    def _write_parts(self, made: Stored, growth: list[_Growth]) -> None:
        for each in growth:
            uid = each.part.series_uid
            if each.header is not None:
                self.session.put(sql.HEADER_CLOSE, (made.version, made.id, uid))
                self.session.put(sql.PART_INSERT, (made.id, uid, 1, each.position, made.version, each.header))
            if each.chunk is not None and each.part.replace:
                self.session.put(sql.CHUNKS_CLOSE, (made.version, made.id, uid))
            if each.chunk:
                self.session.put(sql.PART_INSERT, (made.id, uid, 0, each.position, made.version, each.chunk))

    def _index_growth(self, made: Stored, pk: int, growth: list[_Growth], before: dict[str, Any]) -> None:
        """Add the rows of what is new; take away what the study's own elements no longer say."""
        own = loads(made.body)
        series = [each.part.header | {"instance": list(each.instances)} for each in growth]
        new = self._entries(own | {"series": series}, pk)
        if before:
            gone = search_index.difference(self._entries(before, pk), new)
            if gone:
                headers = [loads(body) for _, body in self._headers(made.id).values()]
                gone = search_index.difference(gone, self._entries(own | {"series": headers}, pk))
            search_index.remove(self.session, gone)
        search_index.write(self.session, new)

    def _index_whole(self, made: Stored, pk: int) -> None:
        search_index.rewrite(self.session, STUDY, made.id, pk, self._entries(loads(self._whole_study(made)), pk))

    def _entries(self, resource: dict[str, Any], pk: int) -> search_index.Entries:
        return search_index.entries(self._surroundings.index(resource, self.zone), STUDY, pk)

    def _whole_study(self, stored: Stored) -> bytes:
        return self._whole(STUDY, stored.id, stored.version, stored.body)

    def _whole(self, type: str, id: str, version: int, body: bytes) -> bytes:
        if type != STUDY or not body:
            return body
        return put_together(body, parts_of(self.session, id, version))


def parts_of(session: Session, study_id: str, version: int) -> list[tuple[Any, ...]]:
    """The parts of one version: series by series in the order they appeared, each header before its instances."""
    return session.rows(sql.PARTS_OF_VERSION, (study_id, version, version))


def _without_series(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "series"}


def _whole_parts(resource: dict[str, Any]) -> list[SeriesPart]:
    return [
        SeriesPart(series["uid"], _header(series), series.get("instance", ()), replace=True)
        for series in resource.get("series", ())
    ]


def _header(series: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in series.items() if name != "instance"}
