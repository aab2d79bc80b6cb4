"""A FHIR client that links two patients merges them, as an A40 does; and whoever takes A40 is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interop.errors import ConflictError, InteropError, InvalidContentError
from interop.fhir.search import parse_query
from interop.hl7.message import parse
from interop.mapping.messages import map_message
from interop.store import Store
from tests.hl7_messages import header, message, orm, oru
from tests.hospital import MR, Hospital, a_patient, an_order, images_of
from tests.sites import RIS as TOLD_RIS
from tests.sites import a_site

Resource = dict[str, Any]
PRIOR = "PID|1||100^^^HOSP^MR||Papadopoulos^Nick||19670321|M"


def told(*names: str, types: frozenset[str] = frozenset({"ADT^A40"})) -> Any:
    """A site whose receivers of these names take merges."""
    return a_site(
        *(replace(TOLD_RIS, name=name, application=name, sending_facility="HOSP", types=types) for name in names)
    )


def link(kind: str, other: str) -> list[Resource]:
    return [{"other": {"reference": other}, "type": kind}]


async def two(hospital: Hospital) -> tuple[Resource, Resource]:
    """A patient with an order, a study and a report, and the one that it turns out to be."""
    placed = await hospital.send(orm(patient=PRIOR))
    row = await hospital.row(placed.orders[0])
    await hospital.register(images_of(row, 1, patient_id="100"))
    await hospital.send(oru(patient=PRIOR))
    stays = await hospital.patient("200", telecom=[{"system": "phone", "value": "1"}])
    return await hospital.get("Patient", row.patient_id), await hospital.get("Patient", stays.partition("/")[2])


async def joined(hospital: Hospital, prior: str, stays: str) -> None:
    """Both records say so, and everything is the survivor's."""
    after, survivor = await hospital.get("Patient", prior), await hospital.get("Patient", stays)
    assert after["active"] is False
    assert after["link"] == link("replaced-by", f"Patient/{stays}")
    assert survivor["link"] == link("replaces", f"Patient/{prior}")
    assert [(i["value"], i.get("use")) for i in survivor["identifier"]] == [("200", None), ("100", "old")]
    for type in ("ServiceRequest", "ImagingStudy", "DiagnosticReport", "Observation"):
        query = parse_query(type, [("patient", f"Patient/{stays}")], hospital.site.zone)
        assert await hospital.store.view(lambda tx, query=query: tx.search(query).rows), type


@pytest.mark.parametrize("keeps_numbers", [True, False])
async def test_a_patient_put_as_replaced_is_merged(store: Store, keeps_numbers: bool) -> None:
    hospital = Hospital(store, told("RIS", "OTHER"))
    prior, stays = await two(hospital)
    changed = {**prior, "link": link("replaced-by", f"Patient/{stays['id']}"), "active": False}
    if not keeps_numbers:
        del changed["identifier"]
    stored = await hospital.put(changed)
    assert (stored.id, stored.resource()["active"]) == (prior["id"], False)
    await joined(hospital, prior["id"], stays["id"])
    rows = await hospital.outgoing()
    assert [(row.peer, row.type) for row in rows] == [("RIS", "ADT^A40"), ("OTHER", "ADT^A40")]
    sent = parse(rows[0].raw)
    assert [segment.name for segment in sent.segments] == ["MSH", "EVN", "PID", "MRG"]
    assert sent.get("MSH-9") == "ADT^A40^ADT_A39"
    assert (sent.get("PID-3.1"), sent.get("MRG-1.1"), sent.get("MRG-7.1")) == ("200", "100", "Papadopoulos")
    (merge,) = map_message(sent, hospital.site.tables, zone=hospital.site.zone, facility="IMG").merges
    assert merge.survivor["identifier"][0]["value"] == "200"
    assert (merge.prior["identifier"][0]["system"], merge.prior["identifier"][0]["value"]) == (MR, "100")


async def test_the_survivor_may_say_it_too_and_a_bundle_says_both(store: Store) -> None:
    hospital = Hospital(store, told("RIS"))
    prior, stays = await two(hospital)
    await hospital.put({**stays, "link": link("replaces", f"Patient/{prior['id']}")})
    await joined(hospital, prior["id"], stays["id"])
    said_again = {**prior, "link": link("replaced-by", f"Patient/{stays['id']}")}
    version = (await hospital.get("Patient", prior["id"]))["meta"]["versionId"]
    assert (await hospital.put(said_again)).version == int(version)
    survivor = await hospital.get("Patient", stays["id"])
    await hospital.put({**stays, "link": link("replaces", f"Patient/{prior['id']}")})
    assert (await hospital.get("Patient", stays["id"]))["link"] == survivor["link"]
    await joined(hospital, prior["id"], stays["id"])
    assert len(await hospital.outgoing()) == 1


async def test_a_new_record_may_replace_an_old_one(store: Store) -> None:
    hospital = Hospital(store, told("RIS"))
    prior, _ = await two(hospital)
    stored = await hospital.post({**a_patient("300"), "link": link("replaces", f"Patient/{prior['id']}")})
    assert (await hospital.get("Patient", prior["id"]))["link"] == link("replaced-by", stored.reference)
    (row,) = await hospital.outgoing()
    assert parse(row.raw).get("PID-3.1") == "300"


async def test_the_merge_is_audited_for_both(store: Store) -> None:
    hospital = Hospital(store)
    prior, stays = await two(hospital)
    await hospital.put({**prior, "link": link("replaced-by", f"Patient/{stays['id']}")})
    query = parse_query("AuditEvent", [("patient", f"Patient/{prior['id']}")], hospital.site.zone)
    events = await store.view(lambda tx: [row.resource() for row in tx.search(query).rows])
    (event,) = [one for one in events if "merged into" in one.get("outcomeDesc", "")]
    assert f"Patient/{stays['id']}; moved: 1 DiagnosticReport, 1 ImagingStudy" in event["outcomeDesc"]
    assert {"reference": f"Patient/{stays['id']}"} in [entity["what"] for entity in event["entity"]]


async def test_chains_cycles_and_other_links(store: Store) -> None:
    hospital = Hospital(store)
    prior, stays = await two(hospital)
    third = (await hospital.post(a_patient("300"))).resource()
    seealso = await hospital.put({**third, "link": link("seealso", f"Patient/{stays['id']}")})
    assert seealso.resource()["link"] == link("seealso", f"Patient/{stays['id']}")
    refused: list[tuple[Resource, type[InteropError], str]] = [
        ({**prior, "link": link("replaced-by", f"Patient/{prior['id']}")}, InvalidContentError, "somebody else"),
        (
            {
                **prior,
                "link": link("replaced-by", f"Patient/{stays['id']}") + link("replaced-by", f"Patient/{third['id']}"),
            },
            InvalidContentError,
            "one other at most",
        ),
    ]
    for resource, error, words in refused:
        with pytest.raises(error, match=words):
            await hospital.put(resource)
    await hospital.put({**prior, "link": link("replaced-by", f"Patient/{stays['id']}")})
    for resource in (
        {**third, "link": link("replaced-by", f"Patient/{prior['id']}")},
        {**third, "link": link("replaces", f"Patient/{prior['id']}")},
        {**prior, "link": link("replaced-by", f"Patient/{third['id']}")},
    ):
        with pytest.raises(ConflictError, match="was merged into"):
            await hospital.put(resource)
    survivor = await hospital.get("Patient", stays["id"])  # and the survivor may be replaced in its turn
    await hospital.put({**survivor, "link": [*survivor["link"], *link("replaced-by", f"Patient/{third['id']}")]})
    last = await hospital.get("Patient", third["id"])
    assert [(i["value"], i.get("use")) for i in last["identifier"]] == [("300", None), ("200", "old"), ("100", "old")]


async def test_a_merge_by_hl7_is_passed_on_but_not_to_whom_it_came_from(store: Store) -> None:
    hospital = Hospital(store, told("RIS", "OTHER"))
    await hospital.send(orm(patient=PRIOR))
    pid = "PID|1||200^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M"
    raw = message(header("ADT^A40^ADT_A39"), "EVN|A40|20261120101500", pid, "MRG|100^^^HOSP^MR")
    assert (await hospital.send(raw)).code == "AA"
    (row,) = await hospital.outgoing()
    sent = parse(row.raw)
    assert (row.peer, sent.get("PID-3.1"), sent.get("MRG-1.1"), sent.get("MRG-7.1")) == (
        "OTHER",
        "200",
        "100",
        "Papadopoulos",
    )
    again = message(header("ADT^A40^ADT_A39", "A2"), "EVN|A40|20261120101500", pid, "MRG|100^^^HOSP^MR")
    await hospital.send(again)
    assert len(await hospital.outgoing()) == 1  # nothing was merged, nobody is told


async def test_patients_without_numbers_are_merged_and_nobody_is_told(store: Store) -> None:
    hospital = Hospital(store, told("RIS"))
    unnumbered = (await hospital.post({"resourceType": "Patient", "name": [{"family": "Nobody"}]})).resource()
    stays = await hospital.patient("200")
    order = (await hospital.post(an_order(f"Patient/{unnumbered['id']}"))).resource()
    await hospital.put({**unnumbered, "link": link("replaced-by", stays)})
    assert (await hospital.get("ServiceRequest", order["id"]))["subject"]["reference"] == stays
    assert await hospital.outgoing() == []
    bare = (await hospital.post({"resourceType": "Patient", "name": [{"family": "Bare"}]})).resource()
    numbered = await hospital.get("Patient", stays.partition("/")[2])
    await hospital.put({**numbered, "link": [*numbered["link"], *link("replaced-by", f"Patient/{bare['id']}")]})
    survivor = await hospital.get("Patient", bare["id"])  # takes the number over as it is
    assert [(one["value"], one.get("use")) for one in survivor["identifier"]] == [("200", None)]
    told_of = {each.type for each in await hospital.outgoing()}
    assert told_of <= {"ORM^O01"}
