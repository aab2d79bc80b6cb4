"""Who gets messages from us (``mappings/peers.toml``)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from interop.hl7.charsets import UTF8, charset_named
from interop.hl7.line import ANSWERS, Line
from interop.mapping.rows import TableError, check_keys, read_toml

_TEXTS = ("name", "host", "application", "facility", "sending_application", "sending_facility", "charset", "version")
_FILES = ("ca", "cert", "key", "server_name")  # of TLS
_SECONDS = ("connect_seconds", "answer_seconds", "pause_seconds", "retry_seconds", "keepalive_seconds")
_SWITCHES = ("tls", "one_message_per_connection", "offsets")
_COUNTS = {"connections": 16, "mllp": 2}  # and how many at most
_CHOICES: dict[str, tuple[str, ...]] = {
    "answers": ANSWERS,
    "orders": ("ORM^O01", "OMG^O19", "OMI^O23"),
    "segment_end": ("CR", "LF", "CRLF"),
    "lines": ("repeat", "escape", "segments"),
    "acknowledgement": ("original", "enhanced"),
}
_KEYS = (
    *_TEXTS, *_FILES, *_SECONDS, *_SWITCHES, *_COUNTS, *_CHOICES, "port", "types", "omit", "msh", "give_up_days",
    "application_hours",
)  # fmt: skip
_TYPE = re.compile(r"[A-Z]{3}\^[A-Z0-9]{3}\Z")
_ANSWER = re.compile(r"ACK\^[A-Z0-9]{3}|ORR\^O02|ORI\^O24|ORG\^O20")
_ENDS = {"CR": "\r", "LF": "\n", "CRLF": "\r\n"}
VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2")
NEEDED = ("MSH", "PID", "ORC", "OBR", "EVN", "MRG")  # segments that no receiver can do without
_SETTABLE = (8, 11, 13, 14, 15, 16, 17, 19, 21)  # of MSH: security, processing, acknowledgements, country, profile


@dataclass(frozen=True, slots=True)
class Receiver:
    """One HL7 listener elsewhere, and how messages to it are addressed."""

    name: str
    host: str
    port: int
    application: str  # MSH-5
    facility: str  # MSH-6
    sending_application: str  # MSH-3
    sending_facility: str  # MSH-4; empty: this server's facility
    types: frozenset[str]  # {"ORM^O01"}
    charset: str = UTF8  # MSH-18
    version: str = "2.5.1"  # MSH-12
    line: Line = field(default_factory=Line)
    retry_seconds: float = 600.0  # to which the pause between two attempts grows
    give_up_days: float = 7.0  # of answers that are no acceptance; 0: never
    application_hours: float = 24.0  # for an application acknowledgement that MSH-16 asked for; 0: for ever
    omit: frozenset[str] = frozenset()  # segments that it is not sent
    msh: Mapping[int, str] = field(default_factory=dict)  # MSH fields by number, as they are written
    segment_end: str = "\r"
    lines: str = "repeat"  # lines of a text: repetitions of the field; one, with \\.br\\ (escape); a segment each
    offsets: bool = True  # times with their offset from UTC
    enhanced: bool = False  # it is asked for an accept and an application acknowledgement (MSH-15, MSH-16: AL)

    @property
    def order_type(self) -> str | None:
        """The message type that orders go out as; None where it takes none."""
        return next((type_ for type_ in _CHOICES["orders"] if type_ in self.types), None)

    @property
    def before_tq1(self) -> bool:
        """Whether its version has no TQ1, which came with 2.5 (v2.5.1 4.5.4)."""
        return VERSIONS.index(self.version) < VERSIONS.index("2.5")


def load_receivers(text: str, file: str = "peers.toml") -> tuple[Receiver, ...]:
    """The ``[[receiver]]`` tables; TableError names the one that is wrong."""
    document = read_toml(text, file)
    check_keys(document, ("receiver",), file)
    tables = document.get("receiver", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise TableError(f"{file}: receiver has to be [[receiver]] tables")
    receivers = tuple(_receiver(table, f"{file} receiver {number}") for number, table in enumerate(tables, 1))
    names = [receiver.name for receiver in receivers]
    for name in names:
        if names.count(name) > 1:
            raise TableError(f"{file}: two receivers are called {name!r}")
    return receivers


def _receiver(table: Mapping[str, Any], where: str) -> Receiver:
    check_keys(table, _KEYS, where)
    for key in ("name", "host", "port", "application", "types"):
        if not table.get(key):
            raise TableError(f"{where}: {key} is needed")
    for key in (*_TEXTS, *_FILES):
        if not isinstance(table.get(key, ""), str):
            raise TableError(f"{where}: {key} has to be text")
    if ":" in table["name"]:
        raise TableError(f"{where}: a name has no colon")
    port = table["port"]
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise TableError(f"{where}: {port!r} is no port")
    charset = table.get("charset", UTF8)
    if charset_named(charset) is None:
        raise TableError(f"{where}: {charset!r} is not a character set of HL7 table 0211")
    version = table.get("version", "2.5.1")
    if version not in VERSIONS:
        raise TableError(f"{where}: version has to be one of {', '.join(VERSIONS)}")
    _check_counts(table, where)
    _check_choices(table, where)
    enhanced = table.get("acknowledgement") == "enhanced"
    if enhanced and table.get("answers") == "none":
        raise TableError(f'{where}: acknowledgement = "enhanced" is of no use where answers = "none"')
    return Receiver(
        name=table["name"],
        host=table["host"],
        port=port,
        application=table["application"],
        facility=table.get("facility", ""),
        sending_application=table.get("sending_application", "INTEROP"),
        sending_facility=table.get("sending_facility", ""),
        types=_types(table, version, where),
        charset=charset,
        version=version,
        line=_line(table, where),
        retry_seconds=float(table.get("retry_seconds", 600.0)),
        give_up_days=_days(table, where),
        application_hours=_hours(table, where),
        omit=_omitted(table, where),
        msh=_header(table, where),
        segment_end=_ENDS[table.get("segment_end", "CR")],
        lines=table.get("lines", "repeat"),
        offsets=table.get("offsets", True),
        enhanced=enhanced,
    )


def _check_counts(table: Mapping[str, Any], where: str) -> None:
    for key, most in _COUNTS.items():
        value = table.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise TableError(f"{where}: {key} has to be a number from 1 to {most}")


def _check_choices(table: Mapping[str, Any], where: str) -> None:
    for key, allowed in _CHOICES.items():
        if key in table and table[key] not in allowed:
            raise TableError(f"{where}: {key} has to be one of {', '.join(allowed)}")


def _types(table: Mapping[str, Any], version: str, where: str) -> frozenset[str]:
    """What it takes; ``orders`` says which of the order messages, whichever of them ``types`` names."""
    types = table["types"]
    if not isinstance(types, list) or not all(isinstance(one, str) and _TYPE.match(one) for one in types):
        raise TableError(f"{where}: types has to be a list of message types such as ORM^O01")
    unknown = sorted(set(types) - {*_CHOICES["orders"], "ORU^R01", "ADT^A40"})
    unknown = [one for one in unknown if not _ANSWER.match(one)]  # who takes application acknowledgements only
    if unknown:
        raise TableError(f"{where}: types has {unknown[0]}, which is not sent by this server")
    named = [one for one in types if one in _CHOICES["orders"]]
    if "orders" in table:
        named = [table["orders"]]
    if len(named) > 1:
        raise TableError(f"{where}: types has {' and '.join(named)}; one message for each order is enough")
    if named and named[0] != "ORM^O01" and VERSIONS.index(version) < VERSIONS.index("2.5"):
        raise TableError(f"{where}: {named[0]} needs version 2.5 or later")
    return frozenset({*(one for one in types if one not in _CHOICES["orders"]), *named})


def _days(table: Mapping[str, Any], where: str) -> float:
    value = table.get("give_up_days", 7.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3650:
        raise TableError(f"{where}: give_up_days has to be a number of days, or 0 for never")
    return float(value)


def _hours(table: Mapping[str, Any], where: str) -> float:
    value = table.get("application_hours", 24.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 8760:
        raise TableError(f"{where}: application_hours has to be a number of hours, or 0 for ever")
    return float(value)


def _omitted(table: Mapping[str, Any], where: str) -> frozenset[str]:
    value = table.get("omit", [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TableError(f"{where}: omit has to be a list of segments such as ZDS")
    for name in value:
        if name in NEEDED:
            raise TableError(f"{where}: omit has {name}, without which a message says nothing")
    return frozenset(value)


def _header(table: Mapping[str, Any], where: str) -> dict[int, str]:
    value = table.get("msh", {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise TableError(f'{where}: msh has to be a table of texts, e.g. msh = {{ 11 = "T" }}')
    for key in value:
        if not key.isdigit() or int(key) not in _SETTABLE:
            allowed = ", ".join(str(number) for number in _SETTABLE)
            raise TableError(f"{where}: msh sets MSH-{key}; it can set {allowed}")
    return {int(key): text for key, text in value.items()}


def check_receivers(receivers: tuple[Receiver, ...], segments: Collection[str], file: str = "peers.toml") -> None:
    """TableError where a receiver is to be spared a segment that no message has: it would be a slip of the pen."""
    for receiver in receivers:
        for name in sorted(receiver.omit):
            if name not in segments:
                known = ", ".join(sorted(set(segments) - set(NEEDED)))
                raise TableError(f"{file} receiver {receiver.name}: omit has {name}; there are {known}")


def _line(table: Mapping[str, Any], where: str) -> Line:
    for key in _SECONDS:
        value = table.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86400:
            raise TableError(f"{where}: {key} has to be a number of seconds, a day at most")
        if value == 0 and key != "pause_seconds":
            raise TableError(f"{where}: {key} has to be more than 0")
    if table.get("mllp") == 2 and table.get("answers") == "unframed":
        raise TableError(f"{where}: MLLP release 2 has no answers without a frame")
    for key in _SWITCHES:
        if not isinstance(table.get(key, False), bool):
            raise TableError(f"{where}: {key} has to be true or false")
    if not table.get("tls") and (odd := [key for key in _FILES if table.get(key)]):
        raise TableError(f"{where}: {odd[0]} is of no use without tls = true")
    if table.get("key") and not table.get("cert"):
        raise TableError(f"{where}: key is of no use without cert")
    names = {each.name for each in fields(Line)}
    given: dict[str, Any] = {
        key: float(value) if key in _SECONDS else value for key, value in table.items() if key in names
    }
    return Line(**given)
