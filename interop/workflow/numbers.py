"""The numbers of an order: what names it, and what this server assigns once and keeps.

Six kinds stand on a ServiceRequest as identifiers: placer and filler order number and accession number (types PLAC,
FILL and ACSN of v2-0203), requested procedure id and scheduled step id (types RPID and SPSID, ours), and the
StudyInstanceUID (system ``urn:dicom:uid``).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from interop.dicom.uids import uid_of_text
from interop.errors import InvalidContentError, Issue
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import OrderRow, Tx
from interop.workflow.site import Site

Resource = dict[str, Any]

PLACER, FILLER, ACCESSION, PROCEDURE, STEP, STUDY = "PLAC", "FILL", "ACSN", "RPID", "SPSID", "UID"
_WORDS = {
    PLACER: ("placer order number", "ORC-2"),
    FILLER: ("filler order number", "ORC-3"),
    ACCESSION: ("accession number", "OBR-18"),
    PROCEDURE: ("requested procedure id", "OBR-19"),
    STEP: ("scheduled procedure step id", "OBR-20"),
    STUDY: ("StudyInstanceUID", "ZDS-1"),
}
_TYPED = {
    (names.V2_0203, PLACER),
    (names.V2_0203, FILLER),
    (names.V2_0203, ACCESSION),
    (names.IDENTIFIER_TYPES, PROCEDURE),
    (names.IDENTIFIER_TYPES, STEP),
}
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+\Z")
_OUR_STEP = re.compile(r"SPS[0-9]{2}[0-9A-Z]{6,}\Z")
SHORT = 16  # PS3.5 6.2: SH
_ROOT_36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Numbers(NamedTuple):
    """An order's numbers; an accession number without an issuer has ours."""

    placer: Identity | None = None
    filler: Identity | None = None
    accession: Identity | None = None
    procedure_id: str | None = None
    step_id: str | None = None
    study_uid: str | None = None

    @classmethod
    def of(cls, resource: Resource, site: Site) -> Numbers:
        """What a ServiceRequest says: the first identifier of each kind."""
        found: dict[str, Identity] = {}
        for identifier in resource.get("identifier", ()):
            kind = kind_of(identifier)
            if kind is not None and kind not in found and identifier.get("value"):
                found[kind] = Identity(identifier.get("system", ""), identifier["value"])
        accession = found.get(ACCESSION)
        if accession is not None and not accession.system:
            found[ACCESSION] = Identity(names.accession_system(site.facility), accession.value)
        return cls(
            found.get(PLACER),
            found.get(FILLER),
            found.get(ACCESSION),
            found[PROCEDURE].value if PROCEDURE in found else None,
            found[STEP].value if STEP in found else None,
            found[STUDY].value.removeprefix("urn:oid:") if STUDY in found else None,
        )

    def lock_keys(self) -> list[str]:
        """What to lock before looking the order up."""
        named = (("placer", self.placer), ("filler", self.filler), ("accession", self.accession))
        return [f"order:{kind}:{key.system}|{key.value}" for kind, key in named if key is not None]


def kind_of(identifier: Resource) -> str | None:
    """Which of the six an identifier is."""
    if identifier.get("system") == names.STUDY_UID:
        return STUDY
    for coding in identifier.get("type", {}).get("coding", ()):
        if (coding.get("system"), coding.get("code")) in _TYPED:
            return str(coding["code"])
    return None


def find(tx: Tx, numbers: Numbers) -> OrderRow | None:
    """The order with this identity: its placer order number, else its filler order number (v2.5.1 4.5.1.2, 4.5.1.3)."""
    if numbers.placer is not None:
        found = tx.find_orders(placer=numbers.placer, limit=1)
        if found:
            return found[0]
    if numbers.filler is not None:
        found = tx.find_orders(filler=numbers.filler, limit=1)
        if found and (numbers.placer is None or found[0].placer in (None, numbers.placer)):
            return found[0]
    return None


def find_named(tx: Tx, numbers: Numbers) -> OrderRow | None:
    """The order that a later message means: by identity, else by the numbers that we told (accession, study).

    An order that has no filler number was answered with its accession number in that place.
    """
    found = find(tx, numbers)
    if found is None and numbers.placer is None and numbers.filler is not None:
        found = next(iter(tx.find_orders(accession=numbers.filler, limit=1)), None)
    if found is None and numbers.accession is not None:
        found = next(iter(tx.find_orders(accession=numbers.accession, limit=1)), None)
    if found is None and numbers.study_uid is not None:
        found = next(iter(tx.find_orders(study_uid=numbers.study_uid, limit=1)), None)
    return found


def check(resource: Resource, index: int = 1) -> None:
    """Refuse numbers that DICOM cannot carry: longer ones are never cut (PS3.5 6.2: SH 16, UI 64, LO 64)."""
    issues: list[Issue] = []
    for position, identifier in enumerate(resource.get("identifier", ())):
        kind = kind_of(identifier)
        if kind is None:
            continue
        fault = _fault(kind, str(identifier.get("value", "")))
        if fault:
            words, place = _WORDS[kind]
            expression = f"ServiceRequest.identifier[{position}].value"
            issues.append(Issue("value", f"the {words} {fault}", (expression,), _located(place, index), hl7_code="102"))
    if issues:
        raise InvalidContentError(issues[0].text, issues=tuple(issues))


def _located(place: str, index: int) -> str:
    segment, _, field = place.partition("-")
    return place if index == 1 else f"{segment}[{index}]-{field}"


def _fault(kind: str, value: str) -> str | None:
    if kind == STUDY:
        uid = value.removeprefix("urn:oid:")
        valid = value.startswith("urn:oid:") and len(uid) <= 64 and _UID.match(uid)
        return None if valid else "is not a UID as urn:oid:<UID> of at most 64 characters"
    limit = 64 if kind in (PLACER, FILLER) else SHORT
    if not value.strip():
        return "is empty"
    if len(value) > limit:
        return f"has {len(value)} characters; at most {limit} fit into DICOM"
    if "\\" in value or any(ord(char) < 32 for char in value):
        return "holds a backslash or a control character, which DICOM forbids"
    return None


def fault_of_step(value: str) -> str | None:
    """Why a scheduled procedure step id cannot be one; None if it can."""
    return _fault(STEP, value)


def is_ours(step_id: str | None) -> bool:
    """Whether it looks like a step id that this server gave: nobody told it, so nobody can contradict it."""
    return step_id is None or _OUR_STEP.match(step_id) is not None


def next_step_id(tx: Tx, site: Site) -> Identity:
    """A step id that nobody has."""
    return Identity(names.step_system(site.facility), f"SPS{_serial(tx, site)}")


def _serial(tx: Tx, site: Site) -> str:
    return serial_of(tx, site, tx.next_number("order"))


def serial_of(tx: Tx, site: Site, number: int) -> str:
    """The part that the numbers of one order have in common."""
    year = tx.now.astimezone(site.zone).year % 100
    return f"{year:02d}{_base_36(number):0>6}"


def location_of(identity: str) -> str:
    """Where in a message the number stands that OrderRow calls so."""
    kinds = {"placer": PLACER, "filler": FILLER, "accession": ACCESSION, "study_uid": STUDY}
    return _WORDS[kinds[identity]][1]


def assign(tx: Tx, site: Site, resource: Resource, numbers: Numbers) -> Numbers:
    """Give the order the numbers that nobody gave it, and write them on the resource."""
    if numbers.accession and numbers.procedure_id and numbers.step_id and numbers.study_uid:
        return numbers
    serial = _serial(tx, site)
    identifiers: list[Resource] = list(resource.get("identifier", ()))
    accession, procedure_id, step_id = numbers.accession, numbers.procedure_id, numbers.step_id
    study_uid = numbers.study_uid
    if accession is None:
        accession = Identity(names.accession_system(site.facility), _free_accession(tx, site, serial))
        identifiers.append(_identifier(names.V2_0203, ACCESSION, accession))
    if procedure_id is None:
        procedure_id = f"RP{serial}"
        own = Identity(names.procedure_system(site.facility), procedure_id)
        identifiers.append(_identifier(names.IDENTIFIER_TYPES, PROCEDURE, own))
    if step_id is None:
        step_id = f"SPS{serial}"
        own = Identity(names.step_system(site.facility), step_id)
        identifiers.append(_identifier(names.IDENTIFIER_TYPES, STEP, own))
    if study_uid is None:
        study_uid = uid_of_text(tx.new_id())  # in the order of their making: indexed in a few pages, not all over
        identifiers.append({"system": names.STUDY_UID, "value": f"urn:oid:{study_uid}"})
    resource["identifier"] = identifiers
    return Numbers(numbers.placer, numbers.filler, accession, procedure_id, step_id, study_uid)


def ours(given: Numbers) -> frozenset[str]:
    """The identities of a new order that nobody else can have, given that ``find`` did not find its own.

    They were looked up under this unit's locks (the placer order number), found free (an accession number of ours), or
    made at random (a StudyInstanceUID of ours).
    """
    found = {"placer"} if given.placer is not None else set()
    if given.accession is None:
        found.add("accession")
    if given.study_uid is None:
        found.add("study_uid")
    return frozenset(found)


def accession_of(site: Site, serial: str) -> Identity:
    """The accession number of ours with this serial."""
    return Identity(names.accession_system(site.facility), f"{site.facility}{serial}")


def _free_accession(tx: Tx, site: Site, serial: str) -> str:
    while True:
        accession = accession_of(site, serial)
        if not tx.accession_taken(accession):
            return accession.value
        serial = f"{serial[:2]}{_base_36(tx.next_number('order')):0>6}"  # a client has chosen ours by accident


def _identifier(system: str, code: str, identity: Identity) -> Resource:
    return {
        "type": {"coding": [{"system": system, "code": code}]},
        "system": identity.system,
        "value": identity.value,
    }


def _base_36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _ROOT_36[digit] + digits
    return digits or "0"


def keep(site: Site, before: Resource, after: Resource, index: int = 1) -> None:
    """Lay the numbers that ``after`` leaves out back into it; InvalidContentError where it changes one."""
    given = {kind: item for item in after.get("identifier", ()) if (kind := kind_of(item))}
    for item in before.get("identifier", ()):
        kind = kind_of(item)
        if kind is None:
            continue
        fresh = given.get(kind)
        if fresh is None:
            after.setdefault("identifier", []).append(item)
        elif _number(site, kind, fresh) != _number(site, kind, item):
            words, place = _WORDS[kind]
            position = after["identifier"].index(fresh)
            raise InvalidContentError(
                f"the {words} of an order does not change",
                expression=f"ServiceRequest.identifier[{position}]",
                location=_located(place, index),
            )


def _number(site: Site, kind: str, identifier: Resource) -> tuple[str, str]:
    default = {
        ACCESSION: names.accession_system(site.facility),
        PROCEDURE: names.procedure_system(site.facility),
        STEP: names.step_system(site.facility),
    }
    return identifier.get("system") or default.get(kind, ""), identifier.get("value", "")
