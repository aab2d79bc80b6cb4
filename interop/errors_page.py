"""docs/reference/errors.md, written from the errors themselves."""

from __future__ import annotations

from collections.abc import Iterator

from interop.errors import InteropError

_INTRODUCTION = """\
# Errors

Written by `interop.errors_page.as_markdown()` from `interop/errors.py`; a test keeps it current (`make pages` writes it
anew).

Every refusal is one error with an answer in each tongue. Over HTTP it is the status and an OperationOutcome whose
`issue.code` is below and whose `issue.expression` names the element; over MLLP it is MSA-1 and an ERR segment with
ERR-2 (where), ERR-3 (table 0357) and ERR-8 (why). A single refusal can carry a more exact code than its row. AE is
ours to mend or worth a retry after a change on either side; AR will not get better by repeating. 503 comes with
Retry-After.

A refusal leaves no partial effect and one AuditEvent; a refused HL7 message is kept as it came.
"""


def as_markdown() -> str:
    """The page."""
    head = ["| error | HTTP | issue.code | MSA-1 | ERR-3 | says |", "|---|---|---|---|---|---|"]
    return "\n".join([_INTRODUCTION, *head, *(_row(error, depth) for error, depth in _tree(InteropError, 0))]) + "\n"


def _tree(error: type[InteropError], depth: int) -> Iterator[tuple[type[InteropError], int]]:
    """The error and what is more exact than it, as far as `interop.errors` defines them."""
    yield error, depth
    for more_exact in error.__subclasses__():
        if more_exact.__module__ == InteropError.__module__:
            yield from _tree(more_exact, depth + 1)


def _row(error: type[InteropError], depth: int) -> str:
    name = "&nbsp;&nbsp;" * depth + f"`{error.__name__}`"
    says = (error.__doc__ or "").strip()
    return f"| {name} | {error.status} | {error.issue_code} | {error.ack_code} | {error.hl7_code} | {says} |"
