"""docs/lifecycle.md, written from the table so that it cannot say anything else."""

from __future__ import annotations

from interop.workflow.lifecycle import DOORS, EVENTS, RULES, STATES, TABLE, State

_INTRODUCTION = """\
# The life of an order

Written by `interop.workflow.lifecycle_page.as_markdown()` from the table in `interop/workflow/lifecycle.py`; a test
keeps it current, and every cell is tested.

A state is `ServiceRequest.status` and, after the dot, our step (`urn:interop:StructureDefinition:order-step`). A row is
a state, a column an event, a cell the state after it; `=` stays where it is, an empty cell is refused: HTTP 422 with an
OperationOutcome, HL7 AE with ERR-3 207. Nothing is changed by a refusal.
"""


def as_markdown() -> str:
    """The page."""
    parts = [_INTRODUCTION, "## Where the events come from\n", _events()]
    parts += [_grid(event_names, title) for title, event_names in _groups()]
    return "\n".join(parts)


def _events() -> str:
    lines = ["| event | doors | when |", "|---|---|---|", "| new | fhir, hl7 | NW; POST of a ServiceRequest |"]
    lines += [f"| {rule.event} | {', '.join(rule.doors)} | {rule.why} |" for rule in RULES]
    return "\n".join(lines) + "\n"


def _groups() -> list[tuple[str, tuple[str, ...]]]:
    asked = ("new", "change", "hold", "release", "cancel", "discontinue", "complete", "entered-in-error")
    followed = ("arrived", "start", "images-arrived", "images-available", "preliminary-report", "final-report")
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
