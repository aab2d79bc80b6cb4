"""The lean index of orders: what a door asks for without reading the ServiceRequest, and what must be unique."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from interop.fhir.query import Identity
from interop.store import instants
from interop.store import statements as sql
from interop.store.rows import DuplicateIdentityError, OrderRow, StepRow
from interop.store.unit import Unit


class _Asked(NamedTuple):
    """The orders that are looked for."""

    placer: Identity | None = None
    filler: Identity | None = None
    accession: Identity | None = None
    study_uid: str | None = None
    patient_id: str | None = None
    scheduled: bool | None = None
    waiting: bool = False  # something that scheduling needs is missing
    limit: int = 100


def _question(asked: _Asked) -> tuple[str, tuple[Any, ...]]:
    conditions: list[str] = []
    values: list[Any] = []
    for name, identity in (("placer", asked.placer), ("filler", asked.filler), ("accession", asked.accession)):
        if identity is not None:
            conditions.append(f"{name} = ? AND {name}_system = ?")
            values += (identity.value, identity.system)
    if asked.study_uid is not None:
        conditions.append("study_uid = ?")
        values.append(asked.study_uid)
    if asked.patient_id is not None:
        conditions.append("patient_id = ?")
        values.append(asked.patient_id)
    if asked.scheduled is not None:  # a literal, so that the partial index serves
        conditions.append("scheduled = 1" if asked.scheduled else "scheduled = 0")
    if asked.waiting:
        conditions.append("missing <> '' AND status IN ('active', 'on-hold')")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{sql.ORDERS}{where} ORDER BY updated DESC, id DESC LIMIT ?", (*values, asked.limit)


class Orders(Unit):
    """The orders of a transaction."""

    def put_order(self, row: OrderRow, *, free: Container[str] = ()) -> None:
        """Write the order's row, new or again; DuplicateIdentityError where another order has one of its identities.

        Those named in ``free`` this unit has found to be nobody else's; should they be so all the same, the unique
        index refuses them (ConflictError).
        """
        self._refuse_held(row, free)
        self.session.put(sql.ORDER_PUT, _values(row))

    def accession_taken(self, accession: Identity) -> bool:
        """Whether an order has this accession number."""
        return self.session.row(sql.ACCESSION_TAKEN, (accession.value, accession.system)) is not None

    def order(self, id: str) -> OrderRow | None:
        """The order of this ServiceRequest."""
        found = self.session.row(sql.ORDER, (id,))
        return None if found is None else _order(found)

    def find_orders(
        self,
        *,
        placer: Identity | None = None,
        filler: Identity | None = None,
        accession: Identity | None = None,
        study_uid: str | None = None,
        patient_id: str | None = None,
        scheduled: bool | None = None,
        waiting: bool = False,
        limit: int = 100,
    ) -> list[OrderRow]:
        """The orders for which all of this holds, the one changed last first."""
        asked = _Asked(placer, filler, accession, study_uid, patient_id, scheduled, waiting, limit)
        return [_order(row) for row in self.session.rows(*_question(asked))]

    def foresee_orders(
        self,
        *,
        placer: Identity | None = None,
        filler: Identity | None = None,
        patient_id: str | None = None,
        limit: int = 100,
    ) -> None:
        """``find_orders`` will be asked for these."""
        self.session.foresee(*_question(_Asked(placer, filler, patient_id=patient_id, limit=limit)))

    def foresee_order(self, id: str) -> None:
        """``order`` will be asked for this one."""
        self.session.foresee(sql.ORDER, (id,))

    def foresee_accession(self, accession: Identity) -> None:
        """``accession_taken`` will be asked for this one."""
        self.session.foresee(sql.ACCESSION_TAKEN, (accession.value, accession.system))

    def order_steps(self, id: str) -> tuple[StepRow, ...]:
        """The steps of an order that has several, in their order; () for every other one."""
        return tuple(_step(row) for row in self.session.rows(sql.STEPS, (id,)))

    def put_order_steps(self, id: str, steps: Sequence[StepRow]) -> None:
        """Write the steps of an order with several; they are all that it has."""
        self.session.put(sql.STEPS_CLEAR, (id,))
        for position, step in enumerate(steps):
            self.session.put(sql.STEP_INSERT, _step_values(id, position, step))

    def shown_items(self, *, after: str = "", limit: int = 1_000_000) -> dict[str, tuple[tuple[str, str], ...]]:
        """Of each scheduled order the worklist items it has: step ("" for an order with a single one) and station.

        By id, from behind ``after``.
        """
        rows = self.session.rows(sql.ORDERS_SHOWN, (after, limit))
        if not rows:
            return {}
        items = {id: tuple(("", aet) for aet in json.loads(aets)) for id, aets in rows}
        steps: dict[str, tuple[tuple[str, str], ...]] = {}
        for id, step, scheduled, aets in self.session.rows(sql.STEPS_SHOWN, (after, rows[-1][0])):
            steps[id] = steps.get(id, ()) + tuple((step, aet) for aet in json.loads(aets) if scheduled)
        return items | steps

    def _refuse_held(self, row: OrderRow, free: Container[str]) -> None:
        asked: dict[str, tuple[str, ...]] = {}
        for name in ("placer", "filler", "accession"):
            identity: Identity | None = getattr(row, name)
            if identity is not None and name not in free:
                asked[name] = (identity.value, identity.system, row.id)
        if row.study_uid is not None and "study_uid" not in free:
            asked["study_uid"] = (row.study_uid, row.id)
        if not asked:
            return
        held = self.session.row(sql.order_holders(tuple(asked)), [value for each in asked.values() for value in each])
        if held is not None:
            raise DuplicateIdentityError(held[0], asked[held[0]][0], held[1])


def _values(row: OrderRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.patient_id,
        *_identity_values(row.placer),
        *_identity_values(row.filler),
        *_identity_values(row.accession),
        row.study_uid,
        row.procedure_id,
        row.step_id,
        row.status,
        row.step,
        int(row.scheduled),
        row.missing,
        row.modality,
        None if row.start is None else instants.micros(row.start),
        _stations_text(row.stations),
        row.origin,
        instants.micros(row.updated),
    )


def _step_values(id: str, position: int, row: StepRow) -> tuple[Any, ...]:
    return (
        id,
        position,
        row.step_id,
        row.status,
        row.step,
        int(row.scheduled),
        row.missing,
        row.modality,
        None if row.start is None else instants.micros(row.start),
        _stations_text(row.stations),
    )


def _step(values: Any) -> StepRow:
    step_id, status, step, scheduled, missing, modality, start, stations = values[2:]
    return StepRow(
        step_id,
        status,
        step,
        bool(scheduled),
        missing,
        modality,
        None if start is None else instants.instant(start),
        tuple(json.loads(stations)),
    )


@lru_cache(maxsize=256)
def _stations_text(stations: tuple[str, ...]) -> str:
    return json.dumps(stations)


def _identity_values(identity: Identity | None) -> tuple[str | None, str | None]:
    return (None, None) if identity is None else (identity.system, identity.value)


def _identity(system: str | None, value: str | None) -> Identity | None:
    return None if value is None else Identity(system or "", value)


def _order(row: tuple[Any, ...]) -> OrderRow:
    return OrderRow(
        id=row[0],
        patient_id=row[1],
        placer=_identity(row[2], row[3]),
        filler=_identity(row[4], row[5]),
        accession=_identity(row[6], row[7]),
        study_uid=row[8],
        procedure_id=row[9],
        step_id=row[10],
        status=row[11],
        step=row[12],
        scheduled=bool(row[13]),
        missing=row[14],
        modality=row[15],
        start=None if row[16] is None else instants.instant(row[16]),
        stations=tuple(json.loads(row[17])),
        origin=row[18],
        updated=instants.instant(row[19]),
    )
