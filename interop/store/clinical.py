"""What stands in worklist items besides orders and patients, and which orders it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interop.store import statements as sql
from interop.store.resources import Resources
from interop.store.rows import Stored
from interop.store.search_index import key_text


class Clinical(Resources):
    """The clinical context of the orders of a transaction."""

    def clinical(self, patient_id: str, codes: Sequence[str]) -> list[Stored]:
        """The allergies and flags of a patient, and the Observations with one of these codes (of any system)."""
        statement = sql.CLINICAL.format(codes=", ".join("?" for _ in codes) or "NULL")
        keys = map(key_text, codes)
        return [self._stored(row) for row in self.session.rows(statement, (patient_id, patient_id, *keys))]

    def orders_naming(self, type: str, id: str) -> list[str]:
        """The orders that are scheduled, or wait for it, and refer to a resource where a search finds it.

        An order by somebody in a role (PractitionerRole) refers to who that is, and for whom they act, too.
        """
        return [row[0] for row in self.session.rows(sql.ORDERS_NAMING, (id, type, id, type))]

    def orders_saying(self, reference: str) -> list[str]:
        """The orders that are scheduled, or wait for it, with this reference in whatever element: each is looked at."""
        holds = "instr(r.body, ?) > 0" if self.session.dialect == "sqlite" else "position(? IN r.body) > 0"
        statement = sql.ORDERS_SAYING.format(holds=holds)
        return [row[0] for row in self.session.rows(statement, (f'"{reference}"'.encode(),))]

    def orders_of_visits_at(self, location_id: str) -> list[str]:
        """The scheduled orders of patients with a visit to this Location."""
        return [row[0] for row in self.session.rows(sql.ORDERS_OF_VISITS, (location_id,))]

    def told_of(self, order_ids: Iterable[str]) -> None:
        """Something that the items of these orders show has changed."""
        self.session.put_many(sql.ORDER_TOLD, [(id,) for id in order_ids])
