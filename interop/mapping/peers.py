"""Who gets messages from us (``mappings/peers.toml``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from interop.hl7.charsets import UTF8, charset_named
from interop.hl7.line import ANSWERS, Line
from interop.mapping.rows import TableError, check_keys, read_toml

_TEXTS = ("name", "host", "application", "facility", "sending_application", "sending_facility", "charset", "version")
_FILES = ("ca", "cert", "key", "server_name")  # of TLS
_SECONDS = ("connect_seconds", "answer_seconds", "pause_seconds", "retry_seconds")
_SWITCHES = ("tls", "one_message_per_connection")
_KEYS = (*_TEXTS, *_FILES, *_SECONDS, *_SWITCHES, "port", "types", "answers")
_TYPE = re.compile(r"[A-Z]{3}\^[A-Z0-9]{3}\Z")


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
    retry_seconds: float = 600.0  # to which the pause between two attempts grows; there is no last attempt


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
    port, types = table["port"], table["types"]
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise TableError(f"{where}: {port!r} is no port")
    if not isinstance(types, list) or not all(isinstance(one, str) and _TYPE.match(one) for one in types):
        raise TableError(f"{where}: types has to be a list of message types such as ORM^O01")
    charset = table.get("charset", UTF8)
    if charset_named(charset) is None:
        raise TableError(f"{where}: {charset!r} is not a character set of HL7 table 0211")
    return Receiver(
        name=table["name"],
        host=table["host"],
        port=port,
        application=table["application"],
        facility=table.get("facility", ""),
        sending_application=table.get("sending_application", "INTEROP"),
        sending_facility=table.get("sending_facility", ""),
        types=frozenset(types),
        charset=charset,
        version=table.get("version", "2.5.1"),
        line=_line(table, where),
        retry_seconds=float(table.get("retry_seconds", 600.0)),
    )


def _line(table: Mapping[str, Any], where: str) -> Line:
    for key in _SECONDS:
        value = table.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86400:
            raise TableError(f"{where}: {key} has to be a number of seconds, a day at most")
        if value == 0 and key != "pause_seconds":
            raise TableError(f"{where}: {key} has to be more than 0")
    for key in _SWITCHES:
        if not isinstance(table.get(key, False), bool):
            raise TableError(f"{where}: {key} has to be true or false")
    if table.get("answers", "framed") not in ANSWERS:
        raise TableError(f"{where}: answers has to be one of {', '.join(ANSWERS)}")
    if not table.get("tls") and (odd := [key for key in _FILES if table.get(key)]):
        raise TableError(f"{where}: {odd[0]} is of no use without tls = true")
    if table.get("key") and not table.get("cert"):
        raise TableError(f"{where}: key is of no use without cert")
    names = {each.name for each in fields(Line)}
    given: dict[str, Any] = {
        key: float(value) if key in _SECONDS else value for key, value in table.items() if key in names
    }
    return Line(**given)
