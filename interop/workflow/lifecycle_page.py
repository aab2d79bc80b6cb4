"""docs/lifecycle.md, written from the table so that it cannot say anything else."""

from __future__ import annotations

from interop.mapping.codes import CodeTable
from interop.mapping.tables import Tables
from interop.workflow.lifecycle import DOORS, EVENTS, RULES, STATES, TABLE, State

_INTRODUCTION = """\
# The life of an order

Written by `interop.workflow.lifecycle_page.as_markdown()` from the table in `interop/workflow/lifecycle.py` and the
code tables in `mappings/codes`; a test keeps it current, and every cell and every code is tested.

A state is `ServiceRequest.status` and, after the dot, our step (`urn:interop:StructureDefinition:order-step`). A row is
a state, a column an event, a cell the state after it; `=` stays where it is, an empty cell is refused: HTTP 422 with an
OperationOutcome, HL7 AE with ERR-3 207. Nothing is changed by a refusal.
"""


_CONTROLS = """\
## What order control codes are

ORC-1, table 0119 (`mappings/codes/order_control.csv`). A code that is refused is answered with AR and ERR-3 103, one
that the table does not have with AE and ERR-3 103; nothing of the message is carried out then. Codes of one message are
carried out in its order, all or none.
"""
_STATUSES = """\
Where it is ORC-5 that says it, table 0038 (`mappings/codes/order_status.csv`):
"""


_STEPS = """\
## Several steps

An order may have several scheduled procedure steps (extension `urn:interop:StructureDefinition:scheduled-step`, one
repetition for each). Then each has a status and a step of its own, and lives by the same table:

| told | moves |
|---|---|
| by HL7 with OBR-20 or IPC-4, by a PUT that changes the step's repetition | that step alone |
| of the order (no step id; status or step of the order; DELETE; reports) | every step for which the table has a place |
| NW of an order that stands, with another step id | adds a step, where the order may be changed |
| images whose Request Attributes name a step, or whose modality one step alone has | that step alone |
| images that tell neither; ORC-5 IP without a step id | the order, to in-progress; every step stays to be done |

The order is what its steps are: active while one is active, else on hold while one is, else completed; revoked when all
are. It is in-progress from the first step that has begun, images-available when all have their images. A step that is
completed counts as done, one that is cancelled does not count. What has begun is not taken
back, but for a step whose modality chose the wrong entry.
"""


def as_markdown(tables: Tables) -> str:
    """The page."""
    parts = [_INTRODUCTION, "## Where the events come from\n", _events(), _STEPS]
    parts += [_CONTROLS, _codes(tables.codes["order_control"], "ORC-1")]
    parts += [_STATUSES, _codes(tables.codes["order_status"], "ORC-5")]
    parts += [_grid(event_names, title) for title, event_names in _groups()]
    return "\n".join(parts)


def _codes(table: CodeTable, position: str) -> str:
    spoken = {"refuse": "**refused**", "status": "by ORC-5"}
    lines = [f"| {position} | display | event | note |", "|---|---|---|---|"]
    for code, row in sorted(table.rows.items()):
        lines.append(f"| {code or '(empty)'} | {row.display} | {spoken.get(row.target, row.target)} | {row.note} |")
    return "\n".join(lines) + "\n"


def _events() -> str:
    lines = ["| event | doors | when |", "|---|---|---|", "| new | fhir, hl7 | NW, SN, RO; POST of a ServiceRequest |"]
    lines += [f"| {rule.event} | {', '.join(rule.doors)} | {rule.why} |" for rule in RULES]
    return "\n".join(lines) + "\n"


def _groups() -> list[tuple[str, tuple[str, ...]]]:
    asked = ("new", "change", "hold", "release", "cancel", "discontinue", "complete", "entered-in-error")
    followed = (
        "arrived",
        "start",
        "performed",
        "set-back",
        "images-arrived",
        "images-available",
        "preliminary-report",
        "final-report",
    )
    rest = tuple(event for event in EVENTS if event not in asked + followed)
    return [("What is asked", asked), ("What has happened", followed), ("What the server finds", rest)]


def _grid(events: tuple[str, ...], title: str) -> str:
    lines = [f"## {title}\n", "| state | " + " | ".join(events) + " |", "|---" * (len(events) + 1) + "|"]
    for state in STATES:
        lines.append(f"| {state} | " + " | ".join(_cell(state, event) for event in events) + " |")
    return "\n".join(lines) + "\n"


def _cell(state: State, event: str) -> str:
    offering = [door for door in DOORS if any(TABLE[door, other, event] is not None for other in STATES)]
    outcomes = {door: TABLE[door, state, event] for door in offering}
    if len(set(outcomes.values())) == 1:
        return _shown(state, outcomes[offering[0]])
    return "; ".join(f"{door}: {_shown(state, target) or 'refused'}" for door, target in outcomes.items())


def _shown(state: State, target: State | None) -> str:
    if target is None:
        return ""
    return "=" if target == state else str(target)
