"""What modalities are shown of the orders, and what they said they did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from interop.fhir.json import dumps, loads
from interop.store import instants
from interop.store import statements as sql
from interop.store.rows import PerformedRow, PlannedRow, WorklistFilter
from interop.store.unit import Unit


class Performed(Unit):
    """The worklist and the performed steps of a transaction."""

    def planned(self, wanted: WorklistFilter, *, after: str = "", limit: int = 500) -> list[PlannedRow]:
        """Scheduled orders that may be meant, by id, from behind ``after``."""
        conditions, values = _conditions(wanted)
        statement = sql.PLANNED.format(conditions=conditions)
        return [PlannedRow(*row) for row in self.session.rows(statement, (*values, after, limit))]

    def performed_step(self, uid: str) -> PerformedRow | None:
        """The step of this SOP Instance UID."""
        found = self.session.row(sql.PERFORMED, (uid,))
        return None if found is None else _row(found)

    def performed_steps(self, order_id: str) -> list[PerformedRow]:
        """What was done for an order, in its order of time."""
        return [_row(found) for found in self.session.rows(sql.PERFORMED_OF_ORDER, (order_id,))]

    def put_performed_step(self, row: PerformedRow) -> None:
        """Write the step, new or again; its station, study and beginning stay."""
        times = (instants.micros(row.created), instants.micros(row.updated))
        body = dumps(row.content)
        self.session.put(
            sql.PERFORMED_PUT, (row.uid, row.state, row.station, row.order_id, row.study_uid, body, *times)
        )


def _conditions(wanted: WorklistFilter) -> tuple[str, list[Any]]:
    found: list[str] = []
    values: list[Any] = []
    if wanted.accession is not None:
        found.append("o.accession = ?")
        values.append(wanted.accession)
    if wanted.study_uid is not None:
        found.append("o.study_uid = ?")
        values.append(wanted.study_uid)
    if wanted.patients is not None:
        found.append(f"o.patient_id IN ({', '.join('?' for _ in wanted.patients) or 'NULL'})")
        values += wanted.patients
    of_step, step_values = _of_step(wanted)
    if of_step:  # the row of an order with several steps is their summary
        found.append(sql.PLANNED_STEP.format(conditions=" AND ".join(of_step)))
    return "".join(f" AND {one}" for one in found), values + step_values


def _of_step(wanted: WorklistFilter) -> tuple[list[str], list[Any]]:
    found: list[str] = []
    values: list[Any] = []
    if wanted.modalities:
        found.append(f"(o.modality IN ({', '.join('?' for _ in wanted.modalities)}) OR o.modality IS NULL)")
        values += wanted.modalities
    if wanted.station is not None:
        found.append("o.stations LIKE ?")
        values.append(f"%{wanted.station}%")
    bounds: list[tuple[str, datetime | None]] = [(">=", wanted.first), ("<=", wanted.last)]
    for sign, bound in bounds:
        if bound is not None:
            found.append(f"(o.start {sign} ? OR o.start IS NULL)")
            values.append(instants.micros(bound))
    return found, values


def _row(found: Any) -> PerformedRow:
    uid, state, station, order_id, study_uid, body, created, updated = found
    return PerformedRow(
        uid,
        state,
        station,
        order_id,
        study_uid,
        loads(bytes(body)),
        instants.instant(created),
        instants.instant(updated),
    )
