"""Numbers that a patient had before, told from those in use by Identifier.use ``old``.

After a merge the prior's number still leads to the survivor: late messages with it are about the same person. A number
that was corrected (A47) leads to nobody: it has a ``period.end``, and may be somebody else's tomorrow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from interop.errors import ConflictError
from interop.fhir.query import Identity

Resource = dict[str, Any]

OLD = "old"
_MERGED = ("replaces", "replaced-by")


def key_of(identifier: Resource) -> Identity | None:
    """System and value, where it has both."""
    system, value = identifier.get("system"), identifier.get("value")
    return Identity(system, value) if system and value else None


def holds(patient: Resource, key: Identity) -> bool:
    """Whether the number leads to this patient."""
    return any(key_of(item) == key and not _given_up(item) for item in patient.get("identifier", ()))


def _given_up(identifier: Resource) -> bool:
    return identifier.get("use") == OLD and bool(identifier.get("period", {}).get("end"))


def arranged(
    current: Iterable[Resource], before: Iterable[Resource], gone: Collection[Identity], ended: str | None = None
) -> list[Resource]:
    """Identifiers as they are then: the current ones, what else there was, and last what is gone, marked so."""
    now = [_in_use(item) for item in current]
    known = {key_of(item) for item in now}
    others: list[Resource] = []
    for item in before:
        key = key_of(item)
        if key is None and (item in now or item in others):
            continue
        if key is None or key not in known:
            others.append(_ended(item, ended) if key in gone and not _given_up(item) else item)
            known |= {key} if key else set()
    return [*now, *(i for i in others if i.get("use") != OLD), *(i for i in others if i.get("use") == OLD)]


def _in_use(identifier: Resource) -> Resource:
    if identifier.get("use") != OLD:
        return identifier
    return {name: value for name, value in identifier.items() if name not in ("use", "period")}


def _ended(identifier: Resource, ended: str | None) -> Resource:
    period = {**identifier.get("period", {}), "end": ended} if ended else identifier.get("period")
    return {**identifier, "use": OLD} | ({"period": period} if period else {})


def survivor_of(patient: Resource) -> str | None:
    """``Patient/<id>`` that this one was merged into."""
    for link in patient.get("link", ()):
        if link.get("type") == "replaced-by":
            return str(link.get("other", {}).get("reference", "")) or None
    return None


def kept(before: Resource, after: Resource) -> Resource:
    """What a client's version of a patient must not undo: the links of a merge, and the numbers that came with it.

    ConflictError for a new version of a patient who was merged into another.
    """
    other = survivor_of(before)
    if other is not None:
        raise ConflictError(f"Patient/{before['id']} was merged into {other}", expression="Patient.link", status=422)
    links = [link for link in before.get("link", ()) if link.get("type") in _MERGED]
    if not links:
        return after
    stated = [link for link in after.get("link", ()) if link not in links]
    known = {key_of(item) for item in after.get("identifier", ())}
    former = [i for i in before.get("identifier", ()) if i.get("use") == OLD and key_of(i) not in known]
    return {**after, "link": [*stated, *links], "identifier": [*after.get("identifier", ()), *former]}
