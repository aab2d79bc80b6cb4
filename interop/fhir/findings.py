"""What a check reports: a finding whose path grows as it travels up from the element to the resource.

A check that finds nothing returns None and has built no path: a correct resource costs no string work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interop.errors import Issue


@dataclass(slots=True)
class Finding:
    """One fault; ``path`` is relative to the element that was checked ("" the element itself)."""

    code: str  # FHIR issue-type
    text: str
    path: str = ""
    null: bool = False  # a null in a list of primitives: no fault if the list beside it has something there
    local: str | None = None  # an internal reference (#id) that the resource's root has yet to resolve

    def below(self, step: str) -> Finding:
        """The same finding seen from the parent, where the element is called ``step``."""
        if not self.path:
            self.path = step
        elif self.path[0] == "[":
            self.path = step + self.path
        else:
            self.path = f"{step}.{self.path}"
        return self

    def issue(self, root: str) -> Issue:
        """As an issue; the expression starts at ``root`` (R4 operationoutcome.html, issue.expression)."""
        self.below(root)
        return Issue(self.code, f"{self.path}: {self.text}", (self.path,))


Check = Callable[[Any], list[Finding] | None]


def fault(code: str, text: str, path: str = "") -> list[Finding]:
    """A single finding, as a check returns it."""
    return [Finding(code, text, path)]
