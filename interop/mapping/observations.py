"""The OBX of one report: which are the report's own parts (attachments, impression, study), which are Observations.

Lines of one text come as several OBX of type TX or FT with the same OBX-3: they are one Observation. Several values in
one OBX-5 are components (v2-to-FHIR, OBX[Observation]).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from interop.hl7.message import OrderGroup, Segment
from interop.mapping.context import Context
from interop.mapping.datatypes import coding_system
from interop.mapping.identifiers import rp_to_study_identifier
from interop.mapping.row_code import CompiledRows
from interop.mapping.tables import CompiledMessage
from interop.mapping.targets import Draft

_LINES = ("TX", "FT")
_TEXTS = ("TX", "FT", "ST")
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+\Z")


@dataclass(slots=True)
class Result:
    """What the OBX segments gave."""

    observations: list[dict[str, Any]] = field(default_factory=list)
    conclusion: list[str] = field(default_factory=list)
    study_uid: str | None = None


def results_of(
    group: OrderGroup,
    scope: dict[str, list[Segment]],
    report: dict[str, Any],
    table: CompiledMessage,
    context: Context,
) -> Result:
    """The Observations of the group; attachments and conclusion go into the report."""
    result = Result(study_uid=_study_of(group, context))
    draft = Draft("DiagnosticReport")
    for segments in joined(group.observations):
        obx, notes = segments[0], segments[1:]
        own = {**scope, "OBX": [obx], "NTE": notes}
        if _report_part(obx, result, context):
            continue
        before = len(draft.resource.get("presentedForm", []))
        if table.report_parts is not None:
            table.report_parts.run(own, draft, context)
        if _type(obx) in ("ED", "RP") or len(draft.resource.get("presentedForm", [])) > before:
            continue
        result.observations.append(observation_of(table.observation, obx, own, context))
    if draft.resource.get("presentedForm"):
        report["presentedForm"] = draft.resource["presentedForm"]
    if result.conclusion:
        first, *further = result.conclusion
        report["conclusion"] = "\n".join(result.conclusion) if further else first
    return result


def joined(observations: Sequence[list[Segment]]) -> list[list[Segment]]:
    """Consecutive text lines of one code as one OBX, whose repetitions are the lines."""
    found: list[list[Segment]] = []
    for segments in observations:
        obx = segments[0]
        last = found[-1] if found else None
        if (
            last is not None
            and last[0].field(3) == obx.field(3)
            and obx.value(2).raw in _LINES
            and last[0].value(2).raw == obx.value(2).raw
            and len(last) == 1  # a note belongs to the lines before it
        ):
            text = f"{last[0].field(5)}{obx.encoding.repetition}{obx.field(5)}"
            found[-1] = [last[0].with_field(5, text), *segments[1:]]
        else:
            found.append(segments)
    return found


def _type(obx: Segment) -> str:
    """OBX-2."""
    raw = obx.field(2)
    return raw if raw.isalnum() else obx.value(2).text()


def _report_part(obx: Segment, result: Result, context: Context) -> bool:
    """Whether the OBX says something of the report itself by its code: impression or study."""
    code = obx.value(3)
    table = context.codes["report_part"]
    name = code.word(1)
    found = None
    if obx.encoding.subcomponent in code.raw:
        found = table.rows.get(f"&{code.text(1, 2).strip().upper()}")
    if found is None and table.mentions(name):
        found = table.find(name, coding_system(code.word(3), context) or "")
    if found is None:
        return False
    if found.target == "study":
        values = obx.value(5)
        uid = next((text for text in (values.text(1), values.text(2)) if _UID.match(text.strip())), None)
        result.study_uid = result.study_uid or (uid.strip() if uid else None)
        return uid is not None
    if _type(obx) not in _TEXTS:
        return False
    text = obx.block(5)
    if text:
        result.conclusion.append(text)
    return True


def _study_of(group: OrderGroup, context: Context) -> str | None:
    zds = group.first("ZDS")
    if zds is None or not zds.field(1):
        return None
    identifier = rp_to_study_identifier(zds.value(1), context)
    return identifier["value"].removeprefix("urn:oid:") if identifier else None


def observation_of(
    rows: CompiledRows | None, obx: Segment, scope: dict[str, list[Segment]], context: Context
) -> dict[str, Any]:
    repeated = obx.values(5) if obx.encoding.repetition in obx.field(5) else ()
    if len(repeated) < 2 or _type(obx) in _TEXTS:
        return _built(rows, scope, context)
    each = [_built(rows, {**scope, "OBX": [obx.with_field(5, value.raw)]}, context) for value in repeated]
    whole = {name: value for name, value in each[0].items() if not name.startswith("value")}
    whole["component"] = [
        {"code": one["code"], **{name: value for name, value in one.items() if name.startswith("value")}}
        for one in each
    ]
    return whole


def _built(rows: CompiledRows | None, scope: dict[str, list[Segment]], context: Context) -> dict[str, Any]:
    draft = Draft("Observation")
    if rows is not None:
        rows.run(scope, draft, context)
    context.cleared = [element for element in context.cleared if "." in element]  # an Observation is sent anew
    return draft.resource
