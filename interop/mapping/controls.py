"""Control characters, which HL7 can carry escaped (``\\X00\\``) and FHIR strings cannot (R4 datatypes.html#string)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from interop.errors import Issue
from interop.fhir.query import Identity
from interop.hl7.message import Message
from interop.mapping.mapped import Mapped, MappedReport

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_BYTES = bytes(byte for byte in range(0x20) if byte not in b"\t\n\r")


def without_controls(message: Message, mapped: Mapped) -> Mapped:
    """The result with spaces in their place, and an Issue where there were any."""
    raw = message.raw
    if len(raw.translate(None, _BYTES)) == len(raw) and f"{message.encoding.escape}X".encode() not in raw:
        return mapped  # nearly all messages
    orders = tuple(replace(order, service_request=_cleaned(order.service_request)) for order in mapped.orders)
    reports = tuple(_cleaned_report(report) for report in mapped.reports)
    merges = tuple(replace(one, survivor=_cleaned(one.survivor), prior=_cleaned(one.prior)) for one in mapped.merges)
    cleaned = replace(mapped, patient=_cleaned(mapped.patient), orders=orders, reports=reports, merges=merges)
    if mapped.appointment is not None:
        booked = replace(mapped.appointment, appointment=_cleaned(mapped.appointment.appointment))
        cleaned = replace(cleaned, appointment=booked)
    if mapped.link is not None:
        link = replace(mapped.link, one=_cleaned(mapped.link.one), other=_cleaned(mapped.link.other))
        cleaned = replace(cleaned, link=link)
    cleaned = replace(cleaned, encounter=_cleaned(mapped.encounter))
    if cleaned == mapped:
        return mapped
    issue = Issue("value", "control characters were replaced by spaces", (), None, "warning", "102")
    return replace(cleaned, issues=(*mapped.issues, issue))


def _cleaned_report(report: MappedReport) -> MappedReport:
    numbers = (report.placer, report.filler, report.accession)
    placer, filler, accession = (Identity(one.system, _cleaned(one.value)) if one else None for one in numbers)
    return replace(
        report,
        report=_cleaned(report.report),
        observations=tuple(_cleaned(one) for one in report.observations),
        placer=placer,
        filler=filler,
        accession=accession,
    )


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _CONTROL.sub(" ", value)
    if isinstance(value, dict):
        return {name: _cleaned(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    return value
