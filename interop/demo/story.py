"""The story: one order from an EMR and one from a RIS, from the first message to the doctor's screen.

Each step does what a real peer would do, through the same door, and requires what must follow. A step that does not
hold raises StoryError and ends the telling.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from interop.demo import actors
from interop.demo.actors import Numbers
from interop.demo.viewing import shows_pattern
from interop.demo.world import StoryError, World, eventually, require
from interop.fhir.names import EXT_STEP, STUDY_UID
from interop.testing.modality import Acquired, acquire, query_worklist

EVERYTHING = "system/*.cruds"


@dataclass
class Story:
    """What has happened so far, and the steps in order."""

    world: World
    numbers: Numbers = field(default_factory=lambda: Numbers(f"{time.time_ns() // 1_000_000 % 10**9:09d}"))
    start: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2))
    facts: dict[str, Any] = field(default_factory=dict)

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Sentence and deed of each step; the deed returns what was seen, in a few words."""
        yield "The EMR posts a patient and an echo order in one transaction", self.emr_orders_an_echo
        yield "The patient is found by the Cyprus ID and by the ARC number", self.patient_is_found_by_both_numbers
        yield "The RIS sends ORM^O01 for a CT of another patient", self.ris_orders_a_ct
        yield "Both orders are in the modality's worklist", self.both_are_in_the_worklist
        yield "The RIS moves the CT (XO) and the worklist follows", self.ris_moves_the_ct
        yield "A third order is cancelled and leaves the worklist", self.third_order_is_cancelled
        yield "The RIS has received the EMR's order as ORM^O01", self.ris_hears_of_the_echo
        yield "The modality stores a cine echo", self.modality_stores_the_echo
        yield "The modality stores a CT of 60 images", self.modality_stores_the_ct
        yield "Both studies are ImagingStudies based on their orders", self.studies_are_linked
        yield "The RIS sends the CT's report with a PDF (ORU^R01)", self.ris_reports_the_ct
        yield "The EMR posts the echo's report, and both reports are linked", self.emr_reports_the_echo
        yield "The EMR has received the CT's report as ORU^R01", self.emr_hears_of_the_reports
        yield "An app with another patient's token is refused", self.stranger_is_refused
        yield "An app finds the study by accession and launches the viewer", self.app_launches_the_viewer
        yield "Chromium shows the echo's images in OHIF", self.viewer_shows_the_images
        yield "An auditor lists exactly who touched that patient", self.auditor_lists_who_touched_the_patient

    # The EMR and the RIS place their orders -------------------------------------------------------------------------

    def emr_orders_an_echo(self) -> str:
        answer = self._emr().post("/fhir", json=actors.order_bundle(self.numbers, self.start))
        require(answer.status_code == 200, f"the transaction was answered {answer.status_code}: {answer.text[:400]}")
        patient, order = (entry["response"]["location"] for entry in answer.json()["entry"])
        self.facts["patient"] = "/".join(patient.split("/_history")[0].split("/")[-2:])
        self.facts["echo"] = "/".join(order.split("/_history")[0].split("/")[-2:])
        resource = self._get(self.facts["echo"])
        self.facts["echo_accession"] = _identifier(resource, "ACSN")
        self.facts["echo_study"] = _study_uid(resource)
        require(len(self.facts["echo_accession"]) <= 16, "the accession number is longer than SH allows")
        return f"accession {self.facts['echo_accession']}"

    def patient_is_found_by_both_numbers(self) -> str:
        for system, value in (
            (actors.CYPRUS_ID, self.numbers.cyprus_id),
            (actors.ARC_NUMBER, self.numbers.arc),
        ):
            found = self._search("Patient", identifier=f"{system}|{value}")
            ids = [f"Patient/{entry['id']}" for entry in found]
            require(ids == [self.facts["patient"]], f"identifier {system}|{value} found {ids}")
        return str(self.facts["patient"])

    def ris_orders_a_ct(self) -> str:
        self._accepted(self._ct("NW", self.numbers.ct_placer, self.numbers.ct_accession, self.start))
        order = self._order_by_accession(self.numbers.ct_accession)
        require(order["status"] == "active", f"the order is {order['status']}")
        self.facts["ct"] = f"ServiceRequest/{order['id']}"
        return f"AA, {self.facts['ct']}"

    def both_are_in_the_worklist(self) -> str:
        echo = self._worklist_item(self.facts["echo_accession"], "US1")
        require("Παπαδόπουλος" in str(echo.PatientName), f"the worklist says {echo.PatientName!s}")
        ct = self._worklist_item(self.numbers.ct_accession, "CT1")
        require("Αντωνίου" in str(ct.PatientName), f"the worklist says {ct.PatientName!s}")
        return f"{echo.PatientName!s}, {ct.PatientName!s}"

    def ris_moves_the_ct(self) -> str:
        moved = self.start + timedelta(hours=3)
        self._accepted(self._ct("XO", self.numbers.ct_placer, self.numbers.ct_accession, moved))
        local = moved.astimezone(self.world.settings.zone)

        def at_the_new_time() -> bool:
            item = self._worklist_item(self.numbers.ct_accession, "CT1")
            step = item.ScheduledProcedureStepSequence[0]
            said = f"{step.ScheduledProcedureStepStartDate}{str(step.ScheduledProcedureStepStartTime)[:6]}"
            return said == f"{local:%Y%m%d%H%M%S}"

        eventually("the worklist shows the CT's new time", at_the_new_time)
        return f"{local:%H:%M}"

    def third_order_is_cancelled(self) -> str:
        placer, accession = self.numbers.cancelled_placer, f"X{self.numbers.ct_accession}"
        self._accepted(self._ct("NW", placer, accession, self.start))
        self._worklist_item(accession, "CT1")
        self._accepted(self._ct("CA", placer, accession, self.start))
        eventually("the cancelled order leaves the worklist", lambda: not self._worklist(accession, "CT1"))
        order = self._order_by_accession(accession)
        require(order["status"] == "revoked", f"the cancelled order is {order['status']}")
        return "gone"

    def ris_hears_of_the_echo(self) -> str:
        needle = self.numbers.echo_order.encode()

        def heard() -> list[bytes]:
            return [raw for raw in self.world.ris.messages if b"ORM^O01" in raw and needle in raw]

        messages = eventually("the RIS's listener has the EMR's order", heard)
        require(len(messages) == 1, f"the RIS received it {len(messages)} times")
        echoed = [raw for raw in self.world.ris.messages if self.numbers.ct_placer.encode() in raw]
        require(not echoed, "the RIS's own order was sent back to it")
        return "once"

    # Images ---------------------------------------------------------------------------------------------------------

    def modality_stores_the_echo(self) -> str:
        done = self._acquire("US1", self.facts["echo_accession"], 30)
        require(done.study_uid == self.facts["echo_study"], "the modality was given another StudyInstanceUID")
        return f"{done.instances} multi-frame instance"

    def modality_stores_the_ct(self) -> str:
        done = self._acquire("CT1", self.numbers.ct_accession, 60)
        self.facts["ct_study"] = done.study_uid
        return f"{done.instances} images"

    def studies_are_linked(self) -> str:
        for uid, order, count in (
            (self.facts["echo_study"], self.facts["echo"], 1),
            (self.facts["ct_study"], self.facts["ct"], 60),
        ):
            study = eventually(f"study {uid} is whole", partial(self._whole_study, uid, count))
            require(study["basedOn"] == [{"reference": order}], f"basedOn is {study.get('basedOn')}")
            require(sum(len(s["instance"]) for s in study["series"]) == count, "the instances do not add up")
            require(study.get("endpoint"), "the study names no endpoint")
            eventually(f"{order} says that images are there", partial(self._stands_at, order, "images-available"))
        require(not self._worklist(self.facts["echo_accession"], "US1"), "the echo is still in the worklist")
        return "basedOn, counts and endpoints"

    # Reports --------------------------------------------------------------------------------------------------------

    def ris_reports_the_ct(self) -> str:
        self._accepted(actors.ct_report(self.numbers, self._control_id(), self.start))
        report = self._report_of(self.facts["ct"])
        require(report["status"] == "final", f"the report is {report['status']}")
        require(report["presentedForm"][0]["contentType"] == "application/pdf", "the PDF is not there")
        require(report["presentedForm"][0]["data"] == actors.PDF, "the PDF is not the one that was sent")
        require(self._links_to_study(report, self.facts["ct_study"]), "the report does not name its study")
        require(self._get(self.facts["ct"])["status"] == "completed", "the final report did not complete the order")
        return f"{len(report.get('result', []))} observations"

    def emr_reports_the_echo(self) -> str:
        report = actors.echo_report(self.facts["echo"], self.facts["patient"], self.start)
        answer = self._emr().post("/fhir/DiagnosticReport", json=report)
        require(answer.status_code == 201, f"the report was answered {answer.status_code}: {answer.text[:400]}")
        stored = self._report_of(self.facts["echo"])
        require(self._links_to_study(stored, self.facts["echo_study"]), "the report does not name its study")
        require(self._get(self.facts["echo"])["status"] == "completed", "the final report did not complete the order")
        return "final"

    def emr_hears_of_the_reports(self) -> str:
        def heard(placer: str) -> list[bytes]:
            return [raw for raw in self.world.emr.messages if b"ORU^R01" in raw and placer.encode() in raw]

        eventually("the EMR's listener has the CT's report", lambda: heard(self.numbers.ct_placer))
        eventually("the EMR's listener has the echo's report", lambda: heard(self.numbers.echo_order))
        return f"{len(self.world.emr.messages)} ORU^R01"

    # Viewing and auditing -------------------------------------------------------------------------------------------

    def stranger_is_refused(self) -> str:
        other = self._get(self.facts["ct"])["subject"]["reference"].removeprefix("Patient/")
        answer = self.world.client("stranger", "patient/*.rs", other).get(f"/fhir/{self.facts['patient']}")
        require(answer.status_code == 403, f"a stranger was answered {answer.status_code}")
        return "403"

    def app_launches_the_viewer(self) -> str:
        app = self._app()
        found = app.get("/fhir/ImagingStudy", params={"identifier": self.facts["echo_accession"]}).json()
        study = found["entry"][0]["resource"]
        endpoints = [app.get(f"/fhir/{link['reference']}").json() for link in study["endpoint"]]
        address = next(e["address"] for e in endpoints if e["connectionType"]["code"] == "ihe-iid")
        launched = app.get(address)
        require(launched.status_code == 303, f"the endpoint answered {launched.status_code}: {launched.text[:200]}")
        self.facts["launch"] = str(httpx.URL(self.world.base).join(launched.headers["location"]))
        return "one-time URL"

    def viewer_shows_the_images(self) -> str:
        return shows_pattern(self.facts["launch"], self.facts["echo_study"])

    def auditor_lists_who_touched_the_patient(self) -> str:
        auditor = self.world.client("auditor", "system/AuditEvent.rs")
        answer = auditor.get("/fhir/AuditEvent", params={"patient": self.facts["patient"], "_count": "200"})
        require(answer.status_code == 200, f"the auditor was answered {answer.status_code}")
        events = [entry["resource"] for entry in answer.json().get("entry", [])]
        seen = sorted({_touch(event) for event in events})
        expected = {(*touch[:3], self.facts["patient"], touch[3]) for touch in EXPECTED_TOUCHES}
        missing, unexpected = sorted(expected - set(seen)), sorted(set(seen) - expected)
        require(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")
        return f"{len(events)} events, {len(seen)} kinds"

    # What the peers do ----------------------------------------------------------------------------------------------

    def _emr(self) -> httpx.Client:
        return self.world.client("emr", EVERYTHING)

    def _app(self) -> httpx.Client:
        return self.world.client("app", "user/*.rs")

    def _get(self, reference: str) -> dict[str, Any]:
        answer = self._emr().get(f"/fhir/{reference}")
        require(answer.status_code == 200, f"{reference} was answered {answer.status_code}")
        return dict(answer.json())

    def _search(self, type_: str, **params: str) -> list[dict[str, Any]]:
        answer = self._emr().get(f"/fhir/{type_}", params=params)
        require(answer.status_code == 200, f"search of {type_} was answered {answer.status_code}: {answer.text[:300]}")
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def _ct(self, control: str, placer: str, accession: str, start: datetime) -> str:
        local = start.astimezone(self.world.settings.zone)
        return actors.ct_order(self.numbers, control, self._control_id(), local, placer=placer, accession=accession)

    def _control_id(self) -> str:
        self.facts["sent"] = self.facts.get("sent", 0) + 1
        return f"M{self.numbers.stamp}{self.facts['sent']:03d}"

    def _accepted(self, message: str) -> None:
        answer = self.world.send(message)
        require("\rMSA|AA|" in answer, f"the message was answered {answer!r}")

    def _order_by_accession(self, accession: str) -> dict[str, Any]:
        found = self._search("ServiceRequest", identifier=accession)
        require(len(found) == 1, f"{len(found)} orders have accession {accession}")
        return found[0]

    def _worklist(self, accession: str, aet: str) -> list[Any]:
        settings = self.world.settings
        return query_worklist(
            host="127.0.0.1",
            port=settings.orthanc_dicom_port,
            called_aet=settings.orthanc_aet,
            calling_aet=aet,
            accession=accession,
            station=aet,
        )

    def _worklist_item(self, accession: str, aet: str) -> Any:
        items = eventually(f"accession {accession} is in the worklist", lambda: self._worklist(accession, aet))
        require(len(items) == 1, f"the worklist answers accession {accession} {len(items)} times")
        return items[0]

    def _acquire(self, aet: str, accession: str, images: int) -> Acquired:
        settings = self.world.settings
        return acquire(
            host="127.0.0.1",
            port=settings.orthanc_dicom_port,
            called_aet=settings.orthanc_aet,
            calling_aet=aet,
            accession=accession,
            images=images,
        )

    def _whole_study(self, uid: str, instances: int) -> dict[str, Any] | None:
        for study in self._search("ImagingStudy", identifier=f"{STUDY_UID}|urn:oid:{uid}"):
            if study.get("numberOfInstances") == instances:
                return study
        return None

    def _step(self, order: str) -> str | None:
        for extension in self._get(order).get("extension", []):
            if extension["url"] == EXT_STEP:
                return str(extension["valueCode"])
        return None

    def _stands_at(self, order: str, step: str) -> bool:
        return self._step(order) == step

    def _report_of(self, order: str) -> dict[str, Any]:
        found = self._search("DiagnosticReport", **{"based-on": order})
        require(len(found) == 1, f"{order} has {len(found)} reports")
        return found[0]

    def _links_to_study(self, report: dict[str, Any], uid: str) -> bool:
        links = [self._get(link["reference"]) for link in report.get("imagingStudy", [])]
        return any(_study_uid(study) == uid for study in links)


def _identifier(resource: dict[str, Any], type_code: str) -> str:
    for identifier in resource.get("identifier", []):
        codes = [coding.get("code") for coding in identifier.get("type", {}).get("coding", [])]
        if type_code in codes:
            return str(identifier["value"])
    raise StoryError(f"{resource['resourceType']} has no identifier of type {type_code}")


def _study_uid(resource: dict[str, Any]) -> str:
    for identifier in resource.get("identifier", []):
        if identifier.get("system") == STUDY_UID:
            return str(identifier["value"]).removeprefix("urn:oid:")
    raise StoryError(f"{resource['resourceType']} has no StudyInstanceUID")


Touch = tuple[str, str, str, str, str]


def _touch(event: dict[str, Any]) -> Touch:
    """Type, subtype, by whom, on whom, and the outcome."""
    who = next(agent for agent in event["agent"] if agent.get("requestor"))
    subtype = event["subtype"][0]["code"] if event.get("subtype") else ""
    patients = [entity["what"]["reference"] for entity in event["entity"] if _is_patient(entity)]
    return event["type"]["code"], subtype, who["who"]["identifier"]["value"], ",".join(patients), event["outcome"]


def _is_patient(entity: dict[str, Any]) -> bool:
    return str(entity.get("what", {}).get("reference", "")).startswith("Patient/") and entity["role"]["code"] == "1"


# Type, subtype, agent and outcome of everything that touches the echo's patient in this story.
EXPECTED_TOUCHES = (
    ("rest", "create", "emr", "0"),  # the patient, the order, the report
    ("rest", "search-type", "emr", "0"),  # by both numbers, by study, by order
    ("rest", "read", "emr", "0"),
    ("rest", "read", "stranger", "4"),  # refused
    ("rest", "search-type", "app", "0"),  # the study by its accession number
    ("110109", "O01", "sender", "0"),  # the RIS was told of the order
    ("110111", "R01", "sender", "0"),  # the EMR was told of the report
    ("110109", "entry-written", "worklist", "0"),
    ("110109", "entry-removed", "worklist", "0"),
    ("110103", "study-uid", "archive-feed", "0"),  # the study was matched to its order by its UID
    ("110103", "launch", "app", "0"),
    ("110112", "qido-rs", "app", "0"),
    ("110104", "wado-rs", "app", "0"),  # Chromium read the images for the app's user
)
