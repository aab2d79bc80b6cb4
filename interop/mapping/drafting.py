"""Running a table's rows over segments."""

from __future__ import annotations

from typing import Any

from interop.mapping.context import Context
from interop.mapping.inbound import Scope
from interop.mapping.row_code import CompiledRows
from interop.mapping.targets import Draft


def run(rows: CompiledRows, type: str, scope: Scope, context: Context) -> dict[str, Any]:
    """The resource that the rows make of the segments."""
    draft = Draft(type)
    before, context.cleared = context.cleared, []
    rows.run(scope, draft, context)
    resource = draft.resource
    if context.cleared:
        before = before + [f"{type}.{element}" for element in context.cleared if element not in resource]
    context.cleared = before
    return resource
