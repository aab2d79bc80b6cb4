"""The life of an order: one table of state × event × door, published as docs/lifecycle.md.

A state is ServiceRequest.status with our step extension. HL7 cannot say both: its control codes (ORC-1, table 0119) and
order statuses (ORC-5, table 0038) become the events of this table, and so do a changed status or step in a FHIR update,
images noticed in the archive, and reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from interop.errors import IllegalTransitionError

FHIR, HL7, ARCHIVE, SERVER, MODALITY = "fhir", "hl7", "archive", "server", "modality"
DOORS = (FHIR, HL7, ARCHIVE, SERVER, MODALITY)

SCHEDULED, ARRIVED, IN_PROGRESS = "scheduled", "arrived", "in-progress"
IMAGES_AVAILABLE, REPORTED, CANCELLED = "images-available", "reported", "cancelled"
UNSCHEDULED = ""  # no step: something that scheduling needs is missing

ACTIVE, ON_HOLD, COMPLETED, REVOKED, IN_ERROR = "active", "on-hold", "completed", "revoked", "entered-in-error"


@dataclass(frozen=True, slots=True)
class State:
    """Where an order stands."""

    status: str  # ServiceRequest.status; "" for an order that does not exist yet
    step: str = UNSCHEDULED

    def __str__(self) -> str:
        if not self.status:
            return "no order"
        return f"{self.status} · {self.step or 'unscheduled'}"


ABSENT = State("")
_OPEN = (UNSCHEDULED, SCHEDULED, ARRIVED, IN_PROGRESS, IMAGES_AVAILABLE)
STATES: tuple[State, ...] = (
    ABSENT,
    *(State(ACTIVE, step) for step in _OPEN),
    *(State(ON_HOLD, step) for step in _OPEN),
    *(State(COMPLETED, step) for step in (*_OPEN, REPORTED)),
    State(REVOKED, CANCELLED),
    State(IN_ERROR, CANCELLED),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One event at some doors: what each status and each step becomes. What is not named is refused.

    ``a>b`` becomes b, a bare word stays; ``-`` stands for no step.
    """

    event: str
    doors: tuple[str, ...]
    statuses: str
    steps: str
    why: str

    def target(self, state: State) -> State | None:
        """The state after the event, None if this rule does not speak of the state."""
        status = _moves(self.statuses).get(state.status)
        step = _moves(self.steps).get(state.step)
        return None if status is None or step is None else State(status, step)


def _moves(text: str) -> dict[str, str]:
    moves: dict[str, str] = {}
    for word in text.split():
        source, _, target = word.partition(">")
        moves[_named(source)] = _named(target or source)
    return moves


def _named(word: str) -> str:
    return UNSCHEDULED if word == "-" else word


_BOTH = (FHIR, HL7)
_ALL_STEPS = "- scheduled arrived in-progress images-available reported cancelled"
_TO_CANCELLED = "->cancelled scheduled>cancelled arrived>cancelled cancelled"
_IMAGED_TO_CANCELLED = "in-progress>cancelled images-available>cancelled"
_TO_IN_PROGRESS = "->in-progress scheduled>in-progress arrived>in-progress in-progress"

RULES: tuple[Rule, ...] = (
    Rule("schedule", (SERVER,), "active on-hold", "->scheduled scheduled arrived", "nothing is missing (any more)"),
    Rule(
        "unschedule",
        (SERVER,),
        "active on-hold",
        "- scheduled>- arrived",
        "no modality or station is known any more, or its time is past",
    ),
    Rule(
        "change",
        _BOTH,
        "active on-hold",
        "- scheduled arrived in-progress images-available",
        "XO, SC without a new state; a PUT that leaves status and step as they are",
    ),
    Rule(
        "change",
        (FHIR,),
        "completed revoked",
        _ALL_STEPS,
        "a PUT may put the record of a closed order right; HL7's XO asks the performer to do something else: too late",
    ),
    Rule("hold", _BOTH, "active>on-hold on-hold", "- scheduled arrived", "before the first image only"),
    Rule("release", _BOTH, "on-hold>active active", "- scheduled arrived in-progress images-available", "RL"),
    Rule("cancel", _BOTH, "active>revoked on-hold>revoked revoked", _TO_CANCELLED, "CA OC CR UA RP; status revoked"),
    Rule(
        "cancel",
        (FHIR,),
        "active>revoked on-hold>revoked",
        _IMAGED_TO_CANCELLED,
        "FHIR's revoked also ends what has begun; HL7 has its own word for that (DC)",
    ),
    Rule(
        "discontinue",
        (HL7,),
        "active>revoked on-hold>revoked revoked",
        f"{_TO_CANCELLED} {_IMAGED_TO_CANCELLED}",
        "DC OD DR RQ RU: ends what has begun, too",
    ),
    Rule(
        "complete",
        _BOTH,
        "active>completed on-hold>completed completed",
        _ALL_STEPS,
        "SC with ORC-5 CM; status completed; the step says how far it came",
    ),
    Rule("arrived", _BOTH, "active", "->arrived scheduled>arrived arrived", "the patient is there"),
    Rule("start", _BOTH, "active", _TO_IN_PROGRESS, "SC with ORC-5 IP; step in-progress"),
    Rule("arrived", (HL7,), "active", "in-progress images-available", "told late: the images were faster"),
    Rule("start", (HL7,), "active", "images-available", "told late: the images were faster"),
    Rule("start", (MODALITY,), "active", f"{_TO_IN_PROGRESS} images-available", "MPPS IN PROGRESS"),
    Rule(
        "performed",
        (MODALITY,),
        "active",
        f"{_TO_IN_PROGRESS} images-available",
        "MPPS COMPLETED: the modality is done; that images are here is the archive's to say",
    ),
    Rule(
        "discontinue",
        (MODALITY,),
        "active>revoked on-hold>revoked revoked",
        f"{_TO_CANCELLED} in-progress>cancelled",
        "MPPS DISCONTINUED; what has all its images stays to be read",
    ),
    Rule(
        "set-back",
        (MODALITY,),
        "active",
        "in-progress>scheduled scheduled arrived",
        "MPPS DISCONTINUED because the wrong worklist entry was selected (DCM 110514)",
    ),
    Rule(
        "images-arrived",
        (ARCHIVE,),
        "active on-hold completed",
        f"{_TO_IN_PROGRESS} images-available reported",
        "the first images; they are a fact, whatever the order says",
    ),
    Rule("images-arrived", (ARCHIVE,), "revoked entered-in-error", "cancelled", "the study is linked, no more"),
    Rule(
        "images-available",
        (ARCHIVE,),
        "active on-hold completed",
        "->images-available scheduled>images-available arrived>images-available in-progress>images-available "
        "images-available reported",
        "no further image for a while",
    ),
    Rule("images-available", (ARCHIVE,), "revoked entered-in-error", "cancelled", "the study is linked, no more"),
    Rule(
        "preliminary-report",
        _BOTH,
        "active on-hold completed revoked entered-in-error",
        _ALL_STEPS,
        "does not complete an order",
    ),
    Rule(
        "final-report",
        _BOTH,
        "active>completed on-hold>completed completed",
        "->reported scheduled>reported arrived>reported in-progress>reported images-available>reported reported",
        "final, corrected, amended, appended",
    ),
    Rule("final-report", _BOTH, "revoked entered-in-error", "cancelled", "the report is linked, no more"),
    Rule(
        "entered-in-error",
        _BOTH,
        "active>entered-in-error on-hold>entered-in-error completed>entered-in-error revoked>entered-in-error "
        "entered-in-error",
        f"{_TO_CANCELLED} {_IMAGED_TO_CANCELLED} reported>cancelled",
        "DELETE; SC with ORC-5 ER",
    ),
)
EVENTS: tuple[str, ...] = ("new", *dict.fromkeys(rule.event for rule in RULES))


def _table() -> dict[tuple[str, State, str], State | None]:
    table: dict[tuple[str, State, str], State | None] = {
        (door, state, event): None for door in DOORS for state in STATES for event in EVENTS
    }
    for door in _BOTH:
        table[door, ABSENT, "new"] = State(ACTIVE)
    for rule in RULES:
        for state in STATES:
            target = rule.target(state)
            if target is not None:
                for door in rule.doors:
                    table[door, state, rule.event] = target
    return table


TABLE = _table()


def advance(state: State, event: str, door: str) -> State:
    """The state after the event came through the door; IllegalTransitionError where the table has none."""
    target = TABLE.get((door, state, event))
    if target is None:
        raise IllegalTransitionError(
            f"{event} is not possible: the order is {state}", expression=("ServiceRequest.status",), location="ORC-1"
        )
    return target


# A changed ServiceRequest.status in a FHIR update is one of these events, whatever it was before.
_STATUS_EVENTS = {ON_HOLD: "hold", REVOKED: "cancel", COMPLETED: "complete", IN_ERROR: "entered-in-error"}
_STEP_EVENTS = {ARRIVED: "arrived", IN_PROGRESS: "start"}


def event_of(state: State, status: str, step: str) -> str:
    """The event that a FHIR update means which takes the order to this status and step."""
    if status != state.status:
        event = "release" if (state.status, status) == (ON_HOLD, ACTIVE) else _STATUS_EVENTS.get(status)
        if event is None:
            raise IllegalTransitionError(
                f"an order that is {state} cannot become {status}", expression=("ServiceRequest.status",)
            )
        return event
    if step != state.step:
        event = _STEP_EVENTS.get(step)
        if event is None:
            raise IllegalTransitionError(
                f"the step {step!r} is this server's to set", expression=("ServiceRequest.extension",)
            )
        return event
    return "change"


def on_worklist(state: State) -> bool:
    """Whether modalities are shown the order: asked for, planned, and no image yet."""
    return state.status == ACTIVE and state.step in (SCHEDULED, ARRIVED)
