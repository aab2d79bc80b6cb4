"""Studies with the defects of real departments through the real Orthanc, and a person's decision across a restart."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pydicom

from interop.access.agent import Agent
from interop.orthanc.child import PrivateOrthanc
from interop.store import Store
from interop.testing.matching_set import Study, matching_set
from interop.workflow import deciding
from tests.integration.test_studies_grow_while_images_arrive import SITE, feeding, images, put, study, until
from tests.unit.workflow.test_matching_rate import known

PERSON = Agent("mtra", "user", client="test")


def _dicom(made: Study) -> pydicom.Dataset:
    facts = made.facts
    (dataset,) = images(facts.study_uid, 1, modality=facts.series[0].modality, patient=facts.patient_id or "")
    dataset.PatientName, dataset.IssuerOfPatientID = facts.patient_name, facts.issuer
    dataset.PatientBirthDate = (facts.birth_date or "").replace("-", "")
    dataset.AccessionNumber = facts.accession or ""
    assert isinstance(facts.started, datetime)
    begun = facts.started.astimezone(SITE.zone)
    dataset.StudyDate, dataset.StudyTime = f"{begun:%Y%m%d}", f"{begun:%H%M%S}"
    dataset.pop("TimezoneOffsetFromUTC", None)
    if facts.accession_issuer:
        item = pydicom.Dataset()
        item.LocalNamespaceEntityID = facts.accession_issuer
        dataset.IssuerOfAccessionNumberSequence = [item]
    return dataset


async def _order_of(store: Store, uid: str) -> str | None:
    found = await study(store, uid)
    assert found is not None
    return next((one["reference"].partition("/")[2] for one in found.get("basedOn", ())), None)


async def test_a_sample_finds_its_orders_and_decisions_outlive_a_restart(orthanc: PrivateOrthanc, store: Store) -> None:
    sample = matching_set(60)
    ids = await known(store, SITE, sample.orders)

    async def all_there() -> bool:
        for made in sample.studies:
            if await study(store, made.facts.study_uid) is None:
                return False
        return True

    async with orthanc.client() as client, feeding(store, client):
        await put(orthanc, [_dicom(made) for made in sample.studies])
        await until(all_there, within=60)
    outcomes = {made.facts.study_uid: await _order_of(store, made.facts.study_uid) for made in sample.studies}
    own = {made.facts.study_uid: ids[made.of] if made.of else None for made in sample.studies}
    assert [uid for uid, order in outcomes.items() if order not in (None, own[uid])] == []
    expected = {made.facts.study_uid for made in sample.studies if made.of and "typo" not in made.defect}
    listed = ("neither number, two orders", "other issuer of the patient's number")
    expected -= {made.facts.study_uid for made in sample.studies if made.defect in listed}
    assert {uid for uid, order in outcomes.items() if order} == expected
    held = await store.view(lambda tx: tx.decision(next(iter(expected))))
    assert held is not None
    assert held.evidence["study"]["station"] == "STORESCU"  # as Orthanc has it: RemoteAET
    await _decisions_outlive(orthanc, store, sample.studies, own, outcomes)


async def _decisions_outlive(
    orthanc: PrivateOrthanc,
    store: Store,
    made: tuple[Study, ...],
    own: dict[str, str | None],
    outcomes: dict[str, str | None],
) -> None:
    stray = next(one for one in made if one.defect == "typo in the patient's number")
    uid, taken = stray.facts.study_uid, next(uid for uid, order in outcomes.items() if order)
    await store.unit(PERSON, lambda tx: deciding.resolve(tx, SITE, uid, own[uid] or ""))
    await store.unit(PERSON, lambda tx: deciding.undo(tx, SITE, taken))
    more = _dicom(stray)
    another = _dicom(next(one for one in made if one.facts.study_uid == taken))
    async with orthanc.client() as client, feeding(store, client) as feed:  # a new feed, as after a restart
        await put(orthanc, [more, another])

        async def grown() -> Any:
            both = [await study(store, one) for one in (uid, taken)]
            return all(one is not None and one["numberOfInstances"] == 2 for one in both)

        await until(grown, within=30)
        await feed.compare()
        await asyncio.sleep(0.2)
    assert await _order_of(store, uid) == own[uid]
    assert await _order_of(store, taken) is None
