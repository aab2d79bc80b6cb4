"""Both doors of a site over a store, without sockets: what a RIS sends and what an EMR posts, as units of work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from interop.access.agent import Agent, system_agent
from interop.dicom.study import InstanceFacts, SeriesFacts, StudyFacts
from interop.store import MessageRow, OrderRow, Store, Stored
from interop.workflow import messages, resources, studies
from interop.workflow.messages import Reply
from interop.workflow.site import Site
from tests.sites import a_site

Resource = dict[str, Any]

EMR = Agent("emr", "user", client="emr")
MR = "urn:interop:ns:HOSP:HOSP"  # the system that PID-3 of the test messages has
PLACER = "urn:interop:ns:HOSP:RIS"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


class Hospital:
    """One site."""

    def __init__(self, store: Store, site: Site | None = None) -> None:
        self.store = store
        self.site = site or a_site()

    async def send(self, raw: bytes, address: str = "127.0.0.1") -> Reply:
        """What the MLLP door does with a message."""
        message = messages.read(self.site, raw)
        sender = "|".join(message.sender)
        agent = Agent(sender, "peer", client="mllp", address=address, request_id=message.control_id)
        return await self.store.unit(
            agent,
            lambda tx: messages.receive(tx, self.site, message, address),
            refused=lambda tx, error: messages.refuse(tx, self.site, message, address, error),
        )

    async def post(self, resource: Resource) -> Stored:
        """What the FHIR door does with a POST."""
        return await self.store.unit(EMR, lambda tx: resources.create(tx, self.site, resource))

    async def put(self, resource: Resource, if_match: int | None = None) -> Stored:
        """What the FHIR door does with a PUT."""
        return await self.store.unit(EMR, lambda tx: resources.update(tx, self.site, resource, if_match))

    async def delete(self, type: str, id: str) -> Stored:
        """What the FHIR door does with a DELETE."""
        return await self.store.unit(EMR, lambda tx: resources.delete(tx, self.site, type, id))

    async def register(self, facts: StudyFacts) -> studies.Registered:
        """What the archive feed does with what it found."""
        return await self.store.unit(system_agent("archive-feed"), lambda tx: studies.register(tx, self.site, facts))

    async def get(self, type: str, id: str) -> Resource:
        """A resource as it stands."""
        return await self.store.view(lambda tx: tx.get(type, id).resource())

    async def row(self, id: str) -> OrderRow:
        """The lean row of an order."""
        row = await self.store.view(lambda tx: tx.order(id))
        assert row is not None
        return row

    async def found(self, type: str, system: str | None, value: str) -> list[Resource]:
        """The resources with that identifier."""
        return await self.store.view(lambda tx: [one.resource() for one in tx.by_identifier(type, system, value)])

    async def outgoing(self) -> list[MessageRow]:
        """The messages that are owed or were sent, in the order they were rendered."""
        rows = await self.store.view(lambda tx: tx.find_messages(direction="out"))
        return sorted(rows, key=lambda row: row.id)

    async def jobs(self, kind: str) -> list[dict[str, Any]]:
        """Take all jobs of a kind, finish them, and say what they were."""
        claimed = await self.store.claim([kind], 1000, 60.0)
        for job in claimed:
            await self.store.finish(job)
        return [job.payload for job in claimed]

    async def patient(self, number: str = "100234", **more: Any) -> str:
        """A new patient; its reference."""
        stored = await self.post(a_patient(number, **more))
        return stored.reference


def a_patient(number: str = "100234", **more: Any) -> Resource:
    """Νίκος Παπαδόπουλος, or whoever has that number."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": MR, "value": number}],
        "name": [{"family": "Παπαδόπουλος", "given": ["Νίκος"]}],
        "birthDate": "1967-03-21",
        "gender": "male",
        **more,
    }


def an_order(subject: str, placer: str | None = "P1", **more: Any) -> Resource:
    """A CT of the chest."""
    order: Resource = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": subject},
        "code": {"coding": [{"system": "http://loinc.org", "code": "24627-2", "display": "CT Chest"}]},
        "occurrenceDateTime": "2026-11-21T08:30:00+02:00",
        **more,
    }
    if placer is not None:
        order["identifier"] = [*order.get("identifier", []), typed("PLAC", PLACER, placer)]
    return order


def typed(kind: str, system: str | None, value: str) -> Resource:
    """An identifier of a type of v2-0203."""
    identifier: Resource = {"type": {"coding": [{"system": V2_0203, "code": kind}]}, "value": value}
    return identifier | ({"system": system} if system else {})


def a_report(subject: str, order: str | None, status: str = "final", **more: Any) -> Resource:
    """A report of a CT."""
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "status": status,
        "code": {"coding": [{"system": "http://loinc.org", "code": "24627-2"}]},
        "subject": {"reference": subject},
        "conclusion": "No embolism.",
        **more,
    }
    return report | ({"basedOn": [{"reference": order}]} if order else {})


def images(study_uid: str, *instances: int, series: int = 1, modality: str = "CT", **facts: Any) -> StudyFacts:
    """A study of one series with instances of these numbers."""
    return StudyFacts(
        study_uid=study_uid,
        series=(
            SeriesFacts(
                f"{study_uid}.{series}",
                modality,
                series,
                instances=tuple(
                    InstanceFacts(f"{study_uid}.{series}.{number}", "1.2.840.10008.5.1.4.1.1.2", number)
                    for number in instances
                ),
            ),
        ),
        **facts,
    )


def images_of(row: OrderRow, *instances: int, patient_id: str = "100234", **facts: Any) -> StudyFacts:
    """Images made with the worklist's values."""
    assert row.study_uid is not None
    assert row.accession is not None
    made = images(row.study_uid, *instances, modality=row.modality or "OT")
    return replace(made, patient_id=patient_id, accession=row.accession.value, **facts)
