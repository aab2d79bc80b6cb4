"""Which messages somebody wants to see, from words to a query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

from interop.errors import InvalidContentError
from interop.store import MessageQuery

STATES = ("received", "refused", "fault", "queued", "sent", "unanswered", "dead", "dropped")
QUESTIONS = (
    "patient",
    "accession",
    "control-id",
    "type",
    "state",
    "direction",
    "peer",
    "since",
    "until",
    "before",
    "limit",
)
MOST = 1000
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def asked(words: Mapping[str, str], *, now: datetime, zone: tzinfo) -> MessageQuery:
    """The query of these words (QUESTIONS); InvalidContentError for one that is none, or says nothing."""
    for name, value in words.items():
        if name not in QUESTIONS:
            raise InvalidContentError(f"{name!r} is not asked here; there are {', '.join(QUESTIONS)}", status=400)
        if not value or len(value) > 200:
            raise InvalidContentError(f"{name} has to be 1 to 200 characters", status=400)
    _one_of(words, "state", STATES)
    _one_of(words, "direction", ("in", "out"))
    return MessageQuery(
        patient=words.get("patient"),
        accession=words.get("accession"),
        control_id=words.get("control-id"),
        type=words.get("type"),
        state=words.get("state"),
        direction=words.get("direction"),
        peer=words.get("peer"),
        since=moment(words["since"], now=now, zone=zone) if "since" in words else None,
        until=moment(words["until"], now=now, zone=zone) if "until" in words else None,
        before=_number(words, "before", 1, 2**62),
        limit=_number(words, "limit", 1, MOST) or 100,
    )


def moment(text: str, *, now: datetime, zone: tzinfo) -> datetime:
    """An ISO 8601 moment, in the site's zone where it names none, or how long ago: ``90m``, ``2h``, ``3d``."""
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        wanted = "2026-11-21T08:30, or how long ago: 90m, 2h, 3d"
        raise InvalidContentError(f"{text!r} is not a moment such as {wanted}", status=400) from error
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _one_of(words: Mapping[str, str], name: str, known: tuple[str, ...]) -> None:
    if name in words and words[name] not in known:
        raise InvalidContentError(f"{name} is one of {', '.join(known)}", status=400)


def _number(words: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    if name not in words:
        return None
    text = words[name]
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise InvalidContentError(f"{name} is a number from {least} to {most}", status=400)
    return int(text)
