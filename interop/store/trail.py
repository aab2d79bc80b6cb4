"""The audit trail: a lean row per event, from which AuditEvents are made when they are asked for.

An event's id is made of its instant and its number, so that it needs no index of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from interop.access.agent import Agent
from interop.audit import codes
from interop.audit.event import AuditRow, Event
from interop.errors import UnsupportedError
from interop.fhir.json import dumps
from interop.fhir.names import DCM, STUDY_UID
from interop.fhir.query import Clause, DateValue, Query, ReferenceValue, TokenValue
from interop.store import instants, paging
from interop.store import statements as sql
from interop.store.conditions import (
    Condition,
    either,
    moment_condition,
    one_of,
    string_condition,
    token_condition,
)
from interop.store.messages import plain
from interop.store.rows import Page, Stored
from interop.store.searching import cut_page
from interop.store.unit import Unit

AUDIT_EVENT = "AuditEvent"
_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")
_NOTHING = Condition("1 = 0")
_EVERYTHING = Condition("1 = 1")
_SUBTYPE_KINDS = {  # the systems of AuditEvent.subtype, by the kinds of event that use them
    codes.RESTFUL_INTERACTION: one_of("a.kind", ("rest",)),
    codes.HL7_EVENT: Condition("a.kind = 'hl7' AND a.subtype LIKE '%^%'"),
    codes.HL7_MESSAGE: Condition("a.kind = 'hl7' AND a.subtype NOT LIKE '%^%'"),
    DCM: one_of("a.kind", ("login",)),
    codes.OWN_SUBTYPE: Condition("a.kind NOT IN ('rest', 'hl7', 'login')"),
}


class Trail(Unit):
    """The audit events of a transaction."""

    def audit(self, event: Event, by: Agent | None = None) -> None:
        """Record what this unit did or was refused, in the same commit; ``by`` where not its agent asked for it."""
        subtype = codes.event_subtype(event)
        statement = sql.AUDIT_INSERT if event.dedupe_key is None else sql.AUDIT_INSERT_ONCE
        agent = by or self.agent
        self.session.put(
            statement,
            (
                self._now,
                plain(agent.who),
                agent.kind,
                _plain(agent.name),
                _plain(agent.client),
                agent.address,
                agent.patient,
                _plain(agent.token_id),
                _plain(agent.request_id),
                event.kind,
                plain(event.subtype),
                event.action,
                event.outcome,
                _plain(event.patient),
                _plain(event.entity),
                _plain(event.query),
                _plain(event.detail),
                _plain(event.dedupe_key),
                codes.event_type(event).code,
                None if subtype is None else subtype.code,
            ),
        )

    def audit_rows(self, query: Query) -> list[AuditRow]:
        """The events that a search of AuditEvent finds, as they were stored."""
        return [_audit_row(row) for row in self._audit_page(query, self._audit_where(query))[0]]

    def _search_audit(self, query: Query) -> Page:
        where = self._audit_where(query)
        total = None
        if query.total:
            counted = self.session.row(f"SELECT count(*) FROM audit a WHERE {where.sql}", where.values)  # noqa: S608
            total = 0 if counted is None else int(counted[0])
        rows, following, previous = self._audit_page(query, where)
        return Page([self._audit_stored(row) for row in rows], following, previous, total)

    def _read_audit(self, id: str, version: int | None) -> Stored | None:
        parts = _ID.fullmatch(id)
        if parts is None or version not in (None, 1):
            return None
        recorded, pk = int(parts[1], 16), int(parts[2], 16)
        if max(recorded, pk) >= 1 << 62:
            return None
        found = self.session.row(sql.AUDIT_BY_PK, (pk, recorded))
        return None if found is None else self._audit_stored(found)

    def _audit_where(self, query: Query) -> Condition:
        parts = [_audit_condition(clause) for clause in query.clauses] or [_EVERYTHING]
        return Condition(
            " AND ".join(f"({part.sql})" for part in parts), tuple(value for part in parts for value in part.values)
        )

    def _audit_page(self, query: Query, where: Condition) -> tuple[list[tuple[Any, ...]], str | None, str | None]:
        position, backwards = (None, False) if query.after is None else paging.read_token(query.after, (int, int))
        ascending = (not query.sort.startswith("-")) != backwards
        direction = "ASC" if ascending else "DESC"
        condition, values = where.sql, where.values
        if position is not None:
            condition += f" AND (a.recorded, a.pk) {'>' if ascending else '<'} (?, ?)"
            values += position
        rows = self.session.rows(
            f"{sql.AUDIT_ROWS} WHERE {condition} "
            f"ORDER BY a.recorded {direction}, a.pk {direction} LIMIT {query.count + 1:d}",
            values,
        )
        return cut_page(rows, query.count, position is not None, backwards, lambda row: (row[1], row[0]))

    def _audit_stored(self, row: tuple[Any, ...]) -> Stored:
        event = _audit_row(row)
        body = dumps(self._surroundings.audit_resource(event))
        return Stored(AUDIT_EVENT, event.id, 1, event.recorded, False, body)


def _plain(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _audit_row(row: tuple[Any, ...]) -> AuditRow:
    pk, recorded, who, kind, name, client, address, patient, token_id, request_id = row[:10]
    agent = Agent(
        who=who,
        kind=kind,
        name=name,
        client=client,
        address=address,
        patient=patient,
        token_id=token_id,
        request_id=request_id,
    )
    return AuditRow(f"{recorded:016x}-{pk:016x}", instants.instant(recorded), agent, Event(*row[10:]))


# the search parameters of AuditEvent (R4 auditevent.html#search)


def _audit_condition(clause: Clause) -> Condition:
    of_value = _KINDS.get(clause.kind) or _PARAMETERS.get(clause.param)
    if of_value is None:
        known = ", ".join(sorted(_PARAMETERS))
        raise UnsupportedError(f"AuditEvent has no search parameter {clause.param!r}; it has {known}")
    return either(of_value(value) for value in clause.values)


def _recorded(value: Any) -> Condition:
    assert isinstance(value, DateValue)
    return moment_condition(value, "a.recorded")


def _by_id(value: Any) -> Condition:
    parts = _ID.fullmatch(str(value))
    if parts is None or max(int(parts[1], 16), int(parts[2], 16)) >= 1 << 62:
        return _NOTHING
    return Condition("a.pk = ? AND a.recorded = ?", (int(parts[2], 16), int(parts[1], 16)))


def _code(column: str, systems: Callable[[str, str], Condition]) -> Callable[[Any], Condition]:
    """A token parameter over a column of codes; ``systems`` says which rows have a code of the system."""

    def condition(value: Any) -> Condition:
        if isinstance(value, str):
            return Condition(f"{column} = ?", (value,))
        assert isinstance(value, TokenValue)
        parts = []
        if value.code is not None:
            parts.append(Condition(f"{column} = ?", (value.code,)))
        if value.system is not None:
            parts.append(systems(column, value.system))
        return _all(parts)

    return condition


def _all(parts: Iterable[Condition]) -> Condition:
    listed = list(parts) or [_EVERYTHING]
    return Condition(" AND ".join(f"({part.sql})" for part in listed), tuple(v for part in listed for v in part.values))


def _type_system(column: str, system: str) -> Condition:
    if system == codes.AUDIT_EVENT_TYPE:
        return Condition(f"{column} = ?", (codes.REST.code,))
    return Condition(f"{column} <> ?", (codes.REST.code,)) if system == DCM else _NOTHING


def _subtype_system(column: str, system: str) -> Condition:
    return _SUBTYPE_KINDS.get(system, _NOTHING)


def _own_system(uri: str) -> Callable[[str, str], Condition]:
    return lambda column, system: _EVERYTHING if system == uri else _NOTHING


def _patient(value: Any) -> Condition:
    """``patient``: the AuditEvents about this patient, named by id or by an identifier."""
    if isinstance(value, TokenValue):
        return _patient_by_identifier(value)
    if isinstance(value, ReferenceValue) and value.type in (None, "Patient"):
        return Condition("a.patient = ?", (_target("Patient", value.id),))
    return _NOTHING


def _patient_by_identifier(value: TokenValue) -> Condition:
    chosen = token_condition((value,))
    return Condition(
        "a.patient IN (SELECT 'Patient/' || r.id FROM token_index t JOIN resource r ON r.pk = t.pk "  # noqa: S608
        f"WHERE t.type = 'Patient' AND t.param = 'identifier' AND ({chosen.sql}))",
        chosen.values,
    )


def _agent(value: Any) -> Condition:
    """``agent``: who it was, by token, reference or the beginning of the text.

    An agent's identifier has no system, but a peer is named "APP|FAC", which reads as a system and a code.
    """
    if isinstance(value, TokenValue):
        name = f"{value.system}|{value.code or ''}" if value.system else value.code
        return _NOTHING if name is None else Condition("a.who = ?", (name,))
    if isinstance(value, ReferenceValue):
        return one_of("a.who", (value.id, _target(value.type, value.id)))
    return string_condition((str(value),), "a.who")


def _entity(value: Any) -> Condition:
    """``entity``: what it was about, in any version; a patient is an entity too."""
    if isinstance(value, TokenValue):
        study = value.system == STUDY_UID and (value.code or "").startswith("urn:oid:")
        named = value.code is not None and (not value.system or study)
        return Condition("a.entity = ?", (value.code,)) if named else _NOTHING
    assert isinstance(value, ReferenceValue)
    target = _target(value.type, value.id)
    if "/" not in target and ":" not in target:  # an id of any type
        ending = value.id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return Condition(
            "a.entity LIKE ? ESCAPE '\\' OR a.entity LIKE ? ESCAPE '\\' OR a.patient = ?",
            (f"%/{ending}", f"%/{ending}/\\_history/%", f"Patient/{value.id}"),
        )
    versions = f"{target}/_history/"
    found = Condition(
        "a.entity = ? OR (a.entity >= ? AND a.entity < ?)", (target, versions, versions[:-1] + chr(ord("/") + 1))
    )
    return either((found, Condition("a.patient = ?", (target,)))) if target.startswith("Patient/") else found


def _target(type: str | None, id: str) -> str:
    return id if type is None or "/" in id else f"{type}/{id}"


_KINDS: dict[str, Callable[[Any], Condition]] = {"id": _by_id, "last-updated": _recorded}
_PARAMETERS: dict[str, Callable[[Any], Condition]] = {
    "date": _recorded,
    "patient": _patient,
    "agent": _agent,
    "entity": _entity,
    "type": _code("a.type_code", _type_system),
    "subtype": _code("a.subtype_code", _subtype_system),
    "action": _code("a.action", _own_system("http://hl7.org/fhir/audit-event-action")),
    "outcome": _code("a.outcome", _own_system("http://hl7.org/fhir/audit-event-outcome")),
}
