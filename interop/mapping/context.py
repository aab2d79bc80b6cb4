"""What a converter may know besides the value, and how it says that something could not be mapped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from interop.errors import Issue
from interop.hl7.message import Value
from interop.mapping.authorities import Authorities
from interop.mapping.codes import Code, CodeTable


class Context:
    """One message (or one order on its way out) in one site's terms."""

    __slots__ = (
        "authorities", "cleared", "codes", "contained", "facility", "issues", "lines", "offsets", "reading", "resolved",
        "sender", "units", "zone",
    )  # fmt: skip

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
        # On the way out: resources by reference, and those contained in each source (two may have a #performer).
        self.resolved: Mapping[str, dict[str, Any]] = {}
        self.contained: Mapping[str, Mapping[str, dict[str, Any]]] = {}
        self.lines = "repeat"  # how the receiver takes several lines of a text
        self.offsets = True  # and whether it takes times with their offset
        self.reading = ""  # the source of the value at hand
        self.issues: list[Issue] = []
        self.units: dict[str, dict[str, Any]] = {}  # of measurements, by OBX-6 as sent: most of a report share a few
        self.cleared: list[str] = []  # elements that the sender asks to empty

    def unmapped(self, text: str, location: str, *, code: str = "value", hl7_code: str = "102") -> None:
        """Note what could not be mapped; the rest goes on without it (design law 6)."""
        self.issues.append(Issue(code, text, (), location, "warning", hl7_code))

    def find(self, table: str, code: str, value: Value, component: int = 0) -> Code | None:
        """The row of a code; None with an Issue if the table does not know it."""
        found = self.codes[table].find(code)
        if found is None and code:
            location = f"{value.location}.{component}" if component else value.location
            self.unmapped(f"{code!r} is not in the table {table}", location, code="code-invalid", hl7_code="103")
        return found

    def meant(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """The resource that a reference leads to, as far as it is known here; {} where it is not."""
        literal = reference.get("reference", "")
        return self.contained.get(self.reading, {}).get(literal) or self.resolved.get(literal, {})

    def kind(self, reference: Mapping[str, Any]) -> str:
        """The type of what a reference leads to; "" where nothing tells it."""
        return str(self.meant(reference).get("resourceType") or kind_of(reference))

    def called(self, reference: Mapping[str, Any]) -> str:
        """What a device, a place or an organisation is called that a reference leads to; "" where nothing tells it."""
        known = self.meant(reference)
        named = [one.get("name") for one in known.get("deviceName", [])]
        return str(next((one for one in (*named, known.get("name"), reference.get("display")) if one), ""))

    def person(self, reference: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Identifiers and names of whom a reference means, as far as they are known here."""
        known = self.meant(reference)
        inner = known.get("practitioner")
        if inner and not known.get("name"):  # PractitionerRole
            return self.person(inner)
        found = known.get("name", [])
        named = [{"family": found}] if isinstance(found, str) else list(found)  # an Organization's is text
        identifiers = [one for one in known.get("identifier", []) if one.get("value")]
        if reference.get("identifier", {}).get("value"):
            identifiers.append(reference["identifier"])
        if not named and reference.get("display"):
            named = [{"text": reference["display"]}]
        return identifiers, named


def kind_of(reference: Mapping[str, Any]) -> str:
    """The type that a reference states, or has in its literal; "" where it has neither."""
    literal = str(reference.get("reference", ""))
    parts = literal.rsplit("/", 2)
    return str(reference.get("type") or ("" if len(parts) < 2 else parts[-2]))


class Contained(NamedTuple):
    """A value that is a reference to a resource inside the one being built."""

    resource: dict[str, Any]
    display: str
    typed: bool = False  # the reference says the type, too: where references to several types stand side by side
