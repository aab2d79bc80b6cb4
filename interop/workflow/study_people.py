"""Those who referred to, made and read a study, as references by name and number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interop.dicom.person_names import readable
from interop.dicom.study import Coded, Person
from interop.workflow.site import Site

Resource = dict[str, Any]

_LOCAL = "99"  # begins every private CodingSchemeDesignator (PS3.3 8.2)


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
    name = code.scheme.removeprefix(_LOCAL) or code.scheme
    system = site.tables.authorities.system_of(name, "", "", facility=site.facility, role="person")
    return {"system": system, "value": code.code}
