"""Whatever images say: no rule gives them an order of a patient whom they do not name."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from interop.access.agent import system_agent
from interop.dicom.study import InstanceFacts, SeriesFacts, StudyFacts
from interop.fhir import names
from interop.store import open_store
from interop.workflow import resources, studies
from interop.workflow.matching import issuer_system
from tests.hospital import an_order, typed
from tests.sites import a_site

SITE = a_site()
AGENT = system_agent("archive-feed")
PEOPLE = [(issuer, number) for issuer in ("HOSP", "CLINIC", "") for number in ("1", "2")]
BORN = "1967-03-21"
START = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)

FACTS = st.builds(
    lambda uid, issuer, number, **more: StudyFacts(
        study_uid=uid,
        patient_id=number,
        issuer=issuer,
        birth_date=BORN,
        series=(SeriesFacts(f"{uid}.9", "CT", instances=(InstanceFacts(f"{uid}.9.1", "1.2"),)),),
        **more,
    ),
    uid=st.sampled_from([f"2.25.{number}" for number in range(10)]),
    issuer=st.sampled_from(["HOSP", "CLINIC", None, "IMG"]),
    number=st.sampled_from(["1", "2", "12", "", None]),
    accession=st.sampled_from(["A1", "A2", "A3", "A9", None]),
    accession_issuer=st.sampled_from(["HOSP", "CLINIC", None, "IMG"]),
    started=st.sampled_from([START, None]),
    station=st.sampled_from(["CT1", "MR1", None]),
    quiet=st.booleans(),
    whole=st.booleans(),
)


async def _run(told: list[StudyFacts]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(f"sqlite:///{Path(folder) / 'interop.db'}")
        try:
            people: dict[str, tuple[str, str]] = {}  # by reference: system and number
            for position, (issuer, number) in enumerate(PEOPLE):
                system = issuer_system(SITE, issuer)
                patient = {
                    "resourceType": "Patient",
                    "identifier": [{"system": system, "value": number}],
                    "name": [{"family": f"Person{position}"}],
                    "birthDate": BORN,
                }
                made = await store.unit(AGENT, lambda tx, patient=patient: resources.create(tx, SITE, patient))  # type: ignore[misc]
                people[made.reference] = (system, number)
                accession = typed("ACSN", issuer_system(SITE, issuer), f"A{1 + position % 3}")
                uid = {"system": names.STUDY_UID, "value": f"urn:oid:2.25.{position}"}
                order = an_order(
                    made.reference, None, identifier=[accession, uid], occurrenceDateTime=START.isoformat()
                )
                await store.unit(AGENT, lambda tx, order=order: resources.create(tx, SITE, order))  # type: ignore[misc]
            for facts in told:
                found = await store.unit(AGENT, lambda tx, facts=facts: studies.register(tx, SITE, facts))  # type: ignore[misc]
                if found.row is None or found.by == "linked":
                    continue
                system, number = people[f"Patient/{found.row.patient_id}"]
                if not facts.patient_id:
                    assert found.by == "study-uid"  # the worklist's own number, and nobody named
                    continue
                assert facts.patient_id == number
                if facts.issuer is not None:
                    assert SITE.tables.authorities.issuer_of(system) in (facts.issuer, "")
        finally:
            await store.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=30))
def test_no_images_get_an_order_of_another_patient(told: list[StudyFacts]) -> None:
    asyncio.run(_run(told))
