"""How SQLite carries searches out: what is asked for often must not cost in proportion to all that there is.

Its plans do not depend on how much there is, since nothing is analysed; so they can be held here with little.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from interop.access.agent import system_agent
from interop.fhir.search import parse_query
from interop.store import Store, Tx, open_store, sorting, walking
from interop.store.planning import FEW, Planner
from interop.store.walking import Part, walk

AGENT = system_agent("test")
SORTED = "USE TEMP B-TREE FOR ORDER BY"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    def fill(tx: Tx) -> None:
        for number in range(FEW + 100):
            patient = tx.create({"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": f"P{number}"}]})
            subject = {"reference": f"Patient/{patient.id}"}
            tx.create({"resourceType": "ImagingStudy", "subject": subject, "started": "2026-01-01T08:00:00Z"})

    opened = await open_store(f"sqlite:///{tmp_path / 'interop.db'}")
    try:
        await opened.unit(AGENT, fill)
        yield opened
    finally:
        await opened.close()


async def plan(store: Store, type: str, asked: str) -> list[str]:
    """The steps of the question that fetches the page."""
    query = parse_query(type, parse_qsl(asked), UTC, base_url="http://here/fhir", now=datetime.now(UTC), lenient=False)

    def explain(tx: Tx) -> list[str]:
        questions = []

        class Watched:
            dialect = tx.session.dialect

            def rows(self, sql: str, values: object = ()) -> list[tuple[object, ...]]:
                questions.append((sql, values))
                return tx.session.rows(sql, values)  # type: ignore[arg-type]

            row = tx.session.row

        watched = Watched()
        found = walk(
            watched,  # type: ignore[arg-type]
            Planner(tx.session).plan(query),
            sorting.sort_keys(type, query.sort),
            Part(query.count + 1),
        )
        assert found
        return [row[3] for sql, values in questions for row in tx.session.rows(f"EXPLAIN QUERY PLAN {sql}", values)]  # type: ignore[arg-type]

    steps = await store.view(explain)
    assert not [step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN d")], steps
    return steps


async def test_an_identifier_is_looked_up(store: Store) -> None:
    steps = await plan(store, "Patient", "identifier=urn:s|P7")
    assert any("x USING PRIMARY KEY (type=? AND param=? AND value=?)" in step for step in steps)
    assert any("r USING INTEGER PRIMARY KEY" in step for step in steps)


async def test_a_patients_things_begin_with_the_patient(store: Store) -> None:
    page = await store.view(
        lambda tx: tx.search(
            parse_query("Patient", [], UTC, base_url="http://here/fhir", now=datetime.now(UTC), lenient=False)
        )
    )
    steps = await plan(store, "ImagingStudy", f"patient={page.rows[0].id}&started=ge2020-01-01")
    assert any("x USING PRIMARY KEY (value=? AND type=? AND param=?" in step for step in steps)
    assert any("date_index_resource (pk=? AND type=? AND param=?)" in step for step in steps)


async def test_a_chain_begins_at_its_end(store: Store) -> None:
    steps = await plan(store, "ImagingStudy", "subject:Patient.identifier=urn:s|P7")
    assert any("x USING PRIMARY KEY (type=? AND param=? AND value=?)" in step for step in steps)


async def test_much_that_was_changed_is_not_sorted(store: Store) -> None:
    steps = await plan(store, "Patient", "_lastUpdated=ge2020-01-01")
    assert any("r USING INDEX resource_identity (type=?)" in step for step in steps)
    assert SORTED not in steps


async def test_what_was_changed_last_is_read_in_that_order(store: Store) -> None:
    for asked in ("_sort=-_lastUpdated", "_lastUpdated=ge2020-01-01&_sort=-_lastUpdated"):
        steps = await plan(store, "Patient", asked)
        assert any("r USING INDEX resource_updated (type=?" in step for step in steps)
        assert SORTED not in steps


async def test_little_that_was_changed_is_where_a_search_begins(store: Store) -> None:
    later = datetime.now(UTC).replace(microsecond=0)
    await store.unit(AGENT, lambda tx: tx.create({"resourceType": "Patient", "id": "late"}, id="late"))
    page = await store.view(
        lambda tx: Planner(tx.session).plan(
            parse_query(
                "Patient",
                [("_lastUpdated", f"ge{later.year + 1}")],
                UTC,
                base_url="http://here/fhir",
                now=later,
                lenient=False,
            )
        )
    )
    assert page.few is not None


async def test_the_trail_of_a_patient_is_looked_up(store: Store) -> None:
    def explain(tx: Tx) -> list[str]:
        rows = tx.session.rows(
            "EXPLAIN QUERY PLAN SELECT a.pk FROM audit a WHERE (a.patient = ?) "
            "ORDER BY a.recorded DESC, a.pk DESC LIMIT 51",
            ("Patient/x",),
        )
        return [row[3] for row in rows]

    assert any("audit_patient (patient=?)" in step for step in await store.view(explain))


async def test_what_is_greater_is_looked_up_by_the_upper_end(store: Store) -> None:
    weight = {"resourceType": "Observation", "status": "final", "valueQuantity": {"value": 70}}
    await store.unit(AGENT, lambda tx: tx.create(weight))
    steps = await plan(store, "Observation", "value-quantity=gt5")
    assert any("x USING INDEX tuple_index_high (type=? AND param=? AND value=? AND high>?)" in step for step in steps)


async def test_a_day_is_read_between_its_ends(store: Store) -> None:
    day = {"resourceType": "ImagingStudy", "subject": {"display": "Nobody"}, "started": "2020-02-03T08:00:00Z"}
    await store.unit(AGENT, lambda tx: tx.create(day))
    steps = await plan(store, "ImagingStudy", "started=2020-02-03")
    assert any("x USING PRIMARY KEY (type=? AND param=? AND low>? AND low<?)" in step for step in steps)


async def test_two_common_conditions_that_nothing_meets_begin_with_the_rarer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(tx: Tx) -> None:
        for number in range(FEW + 100):
            gender = "female" if number else "male"
            tx.create({"resourceType": "Patient", "gender": gender, "birthDate": "1970-01-01" if number else "1980"})
        for _ in range(FEW + 1):
            tx.create({"resourceType": "Patient", "gender": "male", "birthDate": "1980-01-01"})

    await store.unit(AGENT, fill)
    monkeypatch.setattr(walking, "STRETCH", 3)
    steps = await plan(store, "Patient", "gender=male&birthdate=1980")
    assert any("x USING PRIMARY KEY (type=? AND param=? AND value=?)" in step for step in steps)
    assert any("r USING INTEGER PRIMARY KEY (rowid=?)" in step for step in steps)
