"""Errors as OperationOutcome (R4 operationoutcome.html)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from interop.errors import InteropError, Issue

# What a text may quote of a request, though neither XML nor every reader of JSON could hold it.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def outcome(error: InteropError) -> dict[str, Any]:
    """The OperationOutcome that tells a client what an error says."""
    return outcome_of(error.issues)


def outcome_of(issues: Sequence[Issue]) -> dict[str, Any]:
    """An OperationOutcome with one issue for each finding."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(issue) for issue in issues]}


def all_ok(text: str = "done") -> dict[str, Any]:
    """The OperationOutcome of a success (R4 http.html, Prefer: return=OperationOutcome)."""
    return outcome_of((Issue("informational", text, severity="information"),))


def _issue(issue: Issue) -> dict[str, Any]:
    said: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
    if issue.text:
        said["details"] = {"text": _UNWRITABLE.sub("\ufffd", issue.text)}
    if issue.location:
        said["diagnostics"] = f"at {issue.location}"  # a place in an HL7 message; location itself is for XPath
    if issue.expression:
        said["expression"] = list(issue.expression)
    return said
