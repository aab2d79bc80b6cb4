"""What a converter may know besides the value, and how it says that something could not be mapped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from interop.errors import Issue
from interop.mapping.authorities import Authorities
from interop.mapping.codes import Code, CodeTable


class Context:
    """One message (or one order on its way out) in one site's terms."""

    __slots__ = ("authorities", "cleared", "codes", "facility", "issues", "resolved", "sender", "target", "zone")

    def __init__(
        self,
        *,
        zone: tzinfo,
        facility: str,
        sender: str,
        authorities: Authorities,
        codes: Mapping[str, CodeTable],
    ) -> None:
        self.zone = zone  # of times that state none
        self.facility = facility  # this server
        self.sender = sender  # MSH-4
        self.authorities = authorities
        self.codes = codes
        self.target = ""  # the type of the resource in the making
        self.resolved: Mapping[str, dict[str, Any]] = {}  # resources by reference, on the way out
        self.issues: list[Issue] = []
        self.cleared: list[str] = []  # targets that the sender asks to empty

    def unmapped(self, text: str, location: str, *, code: str = "value", hl7_code: str = "102") -> None:
        """Note what could not be mapped; the rest goes on without it (design law 6)."""
        self.issues.append(Issue(code, text, (), location, "warning", hl7_code))

    def find(self, table: str, code: str, location: str, system: str = "") -> Code | None:
        """The row of a code; None with an Issue if the table does not know it."""
        found = self.codes[table].find(code, system)
        if found is None and code:
            self.unmapped(f"{code!r} is not in the table {table}", location, code="code-invalid", hl7_code="103")
        return found


class Contained(NamedTuple):
    """A value that is a reference to a resource inside the one being built."""

    resource: dict[str, Any]
    display: str
