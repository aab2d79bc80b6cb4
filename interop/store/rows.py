"""What goes into the storage room and comes out of it, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from interop.errors import DuplicateError, UnavailableError
from interop.fhir.json import reloads
from interop.fhir.query import Identity


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource, as the bytes that go over the wire."""

    type: str
    id: str
    version: int
    last_updated: datetime  # aware, UTC, whole milliseconds
    deleted: bool
    body: bytes  # JSON with id and meta; empty where the version is a deletion

    def resource(self) -> dict[str, Any]:
        """The body read; a fresh value, the caller's to change."""
        resource: dict[str, Any] = reloads(self.body)
        return resource

    @property
    def etag(self) -> str:
        """The weak entity tag of this version (R4 http.html#versioning)."""
        return f'W/"{self.version}"'

    @property
    def reference(self) -> str:
        """``Type/id``."""
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search or of a history, with the opaque tokens of its neighbours."""

    rows: list[Stored]
    next: str | None = None
    previous: str | None = None
    total: int | None = None
    included: Sequence[Stored] = ()  # what the rows bring with them
    left_out: bool = False  # more was asked for than a page brings with it


@dataclass(frozen=True, slots=True)
class MessageLink:
    """Another message that this one answers, or that answers it (v2.5.1 2.9.3)."""

    relation: str  # answers | answered-by
    id: int
    direction: str
    peer: str
    type: str
    control_id: str  # MSH-10; "" of an acknowledgement that came in
    state: str
    code: str  # MSA-1 of the one of the two that is the answer


@dataclass(frozen=True, slots=True)
class MessageRow:
    """An HL7 message as it came in or goes out, and what became of it."""

    id: int
    direction: str  # in | out
    peer: str  # the address, or the receiver's name
    application: str  # MSH-3 of the sender
    facility: str  # MSH-4 of the sender
    control_id: str  # MSH-10
    type: str  # ORM^O01
    raw: bytes
    body_hash: str
    state: str  # in: received | refused | fault; out: queued | sent | unanswered | dead | dropped
    ack_code: str | None
    ack: bytes | None
    issues: list[dict[str, Any]]
    order_id: str | None
    at: datetime
    took: int | None = None  # microseconds: in, from the last byte to the answer's unit; out, from owed to sent
    touched: tuple[str, ...] = ()  # references of the resources that it was about
    attempts: int = 0  # in: how often it was carried out or refused; out: how often it was tried
    links: tuple[MessageLink, ...] = ()  # where they were asked for


@dataclass(frozen=True, slots=True)
class MessageLine:
    """A message without its bytes, as lists show it."""

    id: int
    direction: str
    peer: str
    application: str
    facility: str
    control_id: str
    type: str
    size: int
    state: str
    ack_code: str | None
    issues: list[dict[str, Any]]
    order_id: str | None
    touched: tuple[str, ...]
    attempts: int
    took: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages; all of what is given holds. Newest first."""

    patient: str | None = None  # id of a Patient, or one of its identifiers
    accession: str | None = None
    control_id: str | None = None
    type: str | None = None  # how it begins: ORM, ORM^O01, fault
    state: str | None = None
    direction: str | None = None
    peer: str | None = None
    since: datetime | None = None
    until: datetime | None = None  # exclusive
    before: int | None = None  # the number where the page before ended
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Job:
    """An effect that is owed, as it was claimed: ``attempt`` is the fence of this claim."""

    id: int
    kind: str
    key: str
    payload: dict[str, Any]
    attempt: int
    created: datetime
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Jobs whose key begins with ``begin``, and with nothing of ``but``."""

    begin: str = ""
    but: tuple[str, ...] = ()


EVERY_KEY = KeyRange()
EVERY_KIND = ""  # stands for the kinds of jobs where a commit does not know them


@dataclass(frozen=True, slots=True)
class OrderRow:
    """The lean index of an order, written in the same commit as its ServiceRequest."""

    id: str  # of the ServiceRequest
    patient_id: str
    status: str
    step: str
    origin: str  # "fhir:<who>" or "hl7:<APP|FAC>"
    updated: datetime
    placer: Identity | None = None
    filler: Identity | None = None
    accession: Identity | None = None
    study_uid: str | None = None
    procedure_id: str | None = None
    step_id: str | None = None
    scheduled: bool = False
    missing: str = ""  # what keeps it unscheduled
    modality: str | None = None
    start: datetime | None = None
    stations: tuple[str, ...] = ()


class PlannedRow(NamedTuple):
    """A scheduled order, and what changes whenever its worklist items may."""

    id: str  # of the ServiceRequest
    updated: int
    version: int
    patient_version: int
    told: int  # how often something else that its items show has changed


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """Which scheduled orders may be meant; an order that is left out has no item that is."""

    accession: str | None = None
    study_uid: str | None = None
    patients: tuple[str, ...] | None = None  # ids of Patients
    modalities: tuple[str, ...] = ()
    station: str | None = None
    first: datetime | None = None  # the earliest start
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class PerformedRow:
    """What a modality said it did (MPPS)."""

    uid: str  # SOP Instance UID
    state: str  # IN PROGRESS | COMPLETED | DISCONTINUED
    station: str  # calling AE title
    order_id: str | None
    study_uid: str | None
    content: dict[str, Any]  # DICOM JSON
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class StepRow:
    """The lean index of one step of an order with several, written in the same commit as its ServiceRequest."""

    step_id: str
    status: str
    step: str
    scheduled: bool = False
    missing: str = ""  # what keeps it unscheduled
    modality: str | None = None
    start: datetime | None = None
    stations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesPart:
    """What a burst of images brought to one series of a study."""

    series_uid: str
    header: dict[str, Any]  # the ImagingStudy.series element, without its instances
    instances: Sequence[dict[str, Any]] = ()  # ImagingStudy.series.instance elements; known ones are left out
    replace: bool = False  # these are all there are


@dataclass(frozen=True, slots=True)
class Decision:
    """Which order a study is of, or why it is of none, and on what that rests."""

    study_uid: str
    order_id: str | None  # of the ServiceRequest
    rule: str
    who: str
    person: bool  # decided by somebody, not by the rules
    evidence: dict[str, Any]
    before: dict[str, Any]  # what undoing it restores
    at: datetime
    pk: int


@dataclass(frozen=True, slots=True)
class PeerNote:
    """What came of a peer since it was last noted; the counts are added."""

    direction: str  # in | out
    name: str  # in: MSH-3|MSH-4, "" of what was no message; out: the receiver's name
    address: str = ""  # in: from where
    messages: int = 0
    refused: int = 0
    last_at: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PeerCounts(PeerNote):
    """The sum of all notes of a peer."""


@dataclass(frozen=True, slots=True)
class PeerQueue:
    """What a receiver is owed."""

    queued: int = 0
    dead: int = 0
    unanswered: int = 0  # accepted (CA), and never acknowledged by the application
    oldest: datetime | None = None  # since when the oldest that is queued waits


@dataclass(frozen=True, slots=True)
class Stats:
    """How much there is, for the start page."""

    resources: dict[str, int]  # by type
    messages: dict[tuple[str, str], int]  # by direction and state
    jobs: dict[str, int] = field(default_factory=dict)  # ready, running, waiting, dead


class DuplicateIdentityError(DuplicateError):
    """Another order already has this identity."""

    def __init__(self, identity: str, value: str, order_id: str) -> None:
        self.identity = identity  # placer | filler | accession | study_uid
        self.order_id = order_id
        name = _IDENTITY_NAMES[identity]
        super().__init__(
            f"the {name} {value} already belongs to ServiceRequest/{order_id}", expression="ServiceRequest.identifier"
        )


_IDENTITY_NAMES = {
    "placer": "placer order number",
    "filler": "filler order number",
    "accession": "accession number",
    "study_uid": "StudyInstanceUID",
}


class StoreInUseError(UnavailableError):
    """Another process writes to this database."""
