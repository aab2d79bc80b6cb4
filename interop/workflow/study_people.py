"""Those who referred to, made and read a study, as references by name and number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interop.dicom.person_names import readable
from interop.dicom.study import Coded, Person
from interop.workflow.site import Site
from interop.workflow.study_codes import own_name

Resource = dict[str, Any]


def person(site: Site, one: Person | None) -> Resource | None:
    """The reference to somebody; None for nobody."""
    if one is None:
        return None
    name = readable(one.name) or (one.code.meaning if one.code is not None else None)
    found: Resource = {"display": name} if name else {}
    if one.code is not None:
        found |= {"type": "Practitioner", "identifier": _identifier(site, one.code)}
    return found or None


def people(site: Site, those: Iterable[Person]) -> list[Resource]:
    """The references to all of them."""
    return [found for one in those if (found := person(site, one)) is not None]


def _identifier(site: Site, code: Coded) -> Resource:
    """Whose number it is, says the scheme: an authority of ``authorities.toml``, else one of this site."""
    if not code.scheme:
        return {"value": code.code}
    system = site.tables.authorities.system_of(own_name(code.scheme), "", "", facility=site.facility, role="person")
    return {"system": system, "value": code.code}
