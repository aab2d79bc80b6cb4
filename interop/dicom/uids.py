"""DICOM unique identifiers (PS3.5 chapter 9)."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

_STRICT = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+\Z")
_READABLE = re.compile(r"[0-9.]{1,64}\Z")
_URN = "urn:oid:"


def uid_of(uuid: UUID) -> str:
    """The UUID-derived UID (PS3.5 B.2): 2.25 and the UUID as one decimal number."""
    return f"2.25.{uuid.int}"


def uid_of_text(uuid: str) -> str:
    """The same of a UUID as it is written."""
    return f"2.25.{int(uuid.replace('-', ''), 16)}"


def digest_uid(content: bytes) -> str:
    """A UID that the same content always gets: a UUID of version 8 (RFC 9562 5.8) made of its SHA-256."""
    number = int.from_bytes(hashlib.sha256(content).digest()[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return f"2.25.{number}"


def is_uid(text: str) -> bool:
    """Whether the text is a UID as PS3.5 9.1 has it: digits and periods, no leading zeros, at most 64 characters."""
    return len(text) <= 64 and _STRICT.match(text) is not None


def is_readable_uid(text: str) -> bool:
    """Whether the text may stand as a UID that a device sent: some write components with leading zeros."""
    return _READABLE.match(text) is not None and text.strip(".") != ""


def uid_to_urn(uid: str) -> str:
    """The UID as the URI that FHIR wants."""
    return _URN + uid


def urn_to_uid(urn: str) -> str | None:
    """The UID in a ``urn:oid:`` URI or standing bare; None for anything else."""
    uid = urn.removeprefix(_URN)
    return uid if is_readable_uid(uid) else None
