"""Results (OBX-5) as FHIR values: one named function per data type that OBX-2 may state (table 0125).

Numbers keep the digits that were sent; a value that does not fit its type stays as text, with an Issue.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from interop.errors import InvalidContentError
from interop.fhir import names
from interop.fhir.json import DecimalText
from interop.hl7.message import Value
from interop.mapping.context import Context
from interop.mapping.converters import code_of, compact, converter
from interop.mapping.datatypes import coding_system
from interop.mapping.uris import is_uri

_NUMBER = re.compile(r"([+-]?)(\d+(?:\.\d+)?|\.\d+|\d+\.)\Z", re.ASCII)
_COMPARATORS = ("<", "<=", ">", ">=")
_RANGE = re.compile(r"\s*([+-]?[\d.]+)\s*-\s*([+-]?[\d.]+)\s*\Z")


def decimal(text: str) -> DecimalText | None:
    """The number as FHIR spells it; None if it is none. ``.5`` and ``5.`` become ``0.5`` and ``5`` (R4 decimal)."""
    whole, point, fraction = text.partition(".")
    if whole.isdigit() and (fraction.isdigit() or not point) and text.isascii() and (whole[0] != "0" or whole == "0"):
        return DecimalText(text)  # nearly all: spelled as FHIR does
    match = _NUMBER.match(text.strip())
    if match is None:
        return None
    sign, digits = match.groups()
    whole, point, fraction = digits.partition(".")
    return DecimalText(f"{'-' if sign == '-' else ''}{whole.lstrip('0') or '0'}{point if fraction else ''}{fraction}")


def unit(value: Value, context: Context) -> dict[str, Any]:
    """OBX-6 as the unit of a Quantity; a code without a known system is only a unit's name."""
    raw = value.segment.field(6)
    if not raw:
        return {}
    shared = value.__class__ is Value  # a text that knows where it stands is of one segment alone
    known = context.units.get(raw) if shared else None
    if known is None:
        known = _unit(value, context)
        if shared:
            context.units[raw] = known
    return known.copy()


def _unit(value: Value, context: Context) -> dict[str, Any]:
    code, text, system = value.segment.value(6).texts(3)
    if not code:
        return compact(unit=text)
    uri = coding_system(system, context) if system else None
    if uri == names.UCUM and code_of(code):
        return {"unit": text or code, "system": uri, "code": code_of(code)}
    return {"unit": text or code}


@converter("coding_system")
def nm_to_quantity(value: Value, context: Context) -> dict[str, Any] | None:
    """NM (2.A.46) with OBX-6."""
    number = decimal(value.text())
    if number is None:
        context.unmapped("not a number of HL7 (NM); kept as text", value.location)
        return None
    return {"value": number, **unit(value, context)}


@converter("coding_system")
def sn_to_quantity(value: Value, context: Context) -> dict[str, Any] | None:
    """SN (2.A.72) that is one number, with its comparator."""
    comparator, number, separator = value.text(1).strip(), decimal(value.text(2)), value.text(3).strip()
    if number is None or separator not in ("", "+") or comparator not in ("", "=", "<>", *_COMPARATORS):
        return None
    if comparator == "<>" or separator:  # not equal, or 2+: neither is a Quantity
        return None
    return compact(value=number, comparator=comparator if comparator in _COMPARATORS else None) | unit(value, context)


@converter("coding_system")
def sn_to_range(value: Value, context: Context) -> dict[str, Any] | None:
    """SN that is a range: ^1^-^2."""
    low, high = decimal(value.text(2)), decimal(value.text(4))
    if value.text(3).strip() != "-" or low is None or high is None or value.text(1).strip():
        return None
    units = unit(value, context)
    return {"low": {"value": low, **units}, "high": {"value": high, **units}}


@converter()
def sn_to_ratio(value: Value, context: Context) -> dict[str, Any] | None:
    """SN that is a ratio: ^1^:^128."""
    numerator, denominator = decimal(value.text(2)), decimal(value.text(4))
    if value.text(3).strip() not in (":", "/") or numerator is None or denominator is None or value.text(1).strip():
        return None
    return {"numerator": {"value": numerator}, "denominator": {"value": denominator}}


@converter()
def sn_to_string(value: Value, context: Context) -> str | None:
    """SN of any other form, as it reads."""
    return "".join(value.text(part).strip() for part in (1, 2, 3, 4)) or None


@converter()
def nr_to_range(value: Value, context: Context) -> dict[str, Any] | None:
    """NR (2.A.47): low^high."""
    low, high = decimal(value.text(1)), decimal(value.text(2))
    ends = {"low": low, "high": high}
    return {end: {"value": number} for end, number in ends.items() if number is not None} or None


@converter()
def range_to_referencerange(value: Value, context: Context) -> dict[str, Any] | None:
    """OBX-7: ``low-high`` as numbers, with the text as sent; any other form as text."""
    text = value.text().strip()
    match = _RANGE.match(text)
    low, high = (decimal(part) for part in match.groups()) if match else (None, None)
    units = unit(value, context)
    return (
        compact(
            low={"value": low, **units} if low is not None else None,
            high={"value": high, **units} if high is not None else None,
            text=text,
        )
        or None
    )


@converter()
def tx_to_string(value: Value, context: Context) -> str | None:
    """TX, FT, ST: all repetitions are lines of one text."""
    return value.segment.block(value.number) or None


@converter()
def tm_to_time(value: Value, context: Context) -> str | None:
    """TM (2.A.75): HH[MM[SS]]."""
    match = re.match(r"([01]\d|2[0-3])([0-5]\d)?([0-5]\d)?", value.text().strip())
    if match is None:
        context.unmapped("not a time of HL7 (HHMMSS); kept as text", value.location)
        return None
    return f"{match[1]}:{match[2] or '00'}:{match[3] or '00'}"


@converter()
def any_to_string(value: Value, context: Context) -> str | None:
    """What no row before took: a value that does not fit its type, or a type without a row of its own."""
    kind = value.segment.value(2).text().strip()
    text = value.segment.block(value.number)
    if text and not kind:
        context.unmapped("OBX-2 states no data type; the value was kept as text", f"{value.segment.location}-2")
    return text or None


@converter()
def ed_to_attachment(value: Value, context: Context) -> dict[str, Any] | None:
    """ED (2.A.24): source^type^subtype^encoding^data; base64 may be broken over lines."""
    kind, subtype, encoding, data = (value.text(part).strip() for part in (2, 3, 4, 5))
    content = _content(encoding, data)
    if content is None:  # a report without its document is another report
        text = f"the data are not {encoding or 'text'}"
        raise InvalidContentError(text, expression="DiagnosticReport.presentedForm", location=f"{value.location}.5")
    title = value.segment.value(3).text(2).strip()
    return compact(contentType=media_type(kind, subtype), data=content, title=title)


def _content(encoding: str, data: str) -> str | None:
    if encoding.upper() == "BASE64":
        packed = "".join(data.split())
        try:
            base64.b64decode(packed, validate=True)
        except ValueError:  # binascii.Error is one; another, where a character is not of ASCII
            return None
        return packed
    if encoding.upper() == "HEX":
        try:
            return base64.b64encode(bytes.fromhex(data)).decode()
        except ValueError:
            return None
    return base64.b64encode(data.encode()).decode() if encoding.upper() in ("A", "") else None


_MIME = re.compile(r"[\w.+-]+/[\w.+-]+\Z", re.ASCII)
_MEDIA = {"AP": "application", "TEXT": "text", "TX": "text", "FT": "text", "IM": "image", "AU": "audio"}  # table 0191
_SUBTYPES = {"JPG": "jpeg", "TIF": "tiff", "PLAIN": "plain", "RTF": "rtf", "OCTET-STREAM": "octet-stream"}


def media_type(kind: str, subtype: str) -> str:
    """A MIME type of ED.2 and ED.3, which senders fill with table 0191 codes, MIME names or mixtures."""
    if "/" in kind:
        named = kind.lower()
    elif subtype.upper() == "PDF":
        named = "application/pdf"
    else:
        main = _MEDIA.get(kind.upper(), kind.lower() or "application")
        named = f"{main}/{_SUBTYPES.get(subtype.upper(), subtype.lower()) or 'octet-stream'}"
    return named if _MIME.match(named) else "application/octet-stream"


@converter()
def rp_to_attachment(value: Value, context: Context) -> dict[str, Any] | None:
    """RP (2.A.65): pointer^application^type^subtype."""
    pointer = value.text(1).strip()
    if not is_uri(pointer):
        if pointer:
            context.unmapped("not a URI; the attachment was left out", value.location)
        return None
    kind = media_type(value.text(3).strip(), value.text(4).strip()) if value.text(3) or value.text(4) else ""
    return compact(contentType=kind, url=pointer, title=value.segment.value(3).text(2).strip())
