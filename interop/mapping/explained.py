"""A preview with where everything came from: each FHIR element its field, each worklist attribute its element.

Made of what ``Origins`` saw while the tables ran; what nobody saw says so and is not made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from importlib.resources.abc import Traversable
from typing import Any, Protocol

from interop.fhir import orders
from interop.hl7.message import Message, parse
from interop.mapping.messages import read_message
from interop.mapping.origins import Origins, leaves, plain, said
from interop.mapping.preview import preview
from interop.mapping.tables import SiteRules, Tables, compile_tables
from interop.mapping.worklist import item_roots, worklist_attributes

Resource = dict[str, Any]
SERVER = "(server)"  # what no field says: the server adds it, or a function joined several
_CHOICE = re.compile(r"\[\w*\]")
_PARTS = re.compile(r"[\^=\r\n]+")
_STEP = "ScheduledProcedureStepSequence"
_CALLED = {  # what the rows' first words are in FHIR
    "Visit": "ServiceRequest.encounter.identifier",
    **dict.fromkeys(("Weight", "Size", "Pregnancy"), "Observation"),
}
NUMBERS = {  # what the server assigns where nobody did (workflow.numbers)
    "AccessionNumber": "ACSN",
    "RequestedProcedureID": "RPID",
    f"{_STEP}.ScheduledProcedureStepID": "SPSID",
    "StudyInstanceUID": "study",
}


@dataclass(frozen=True, slots=True)
class Where:
    """Where and when an order would be carried out; ``missing``: why it would not be on the worklist, "" if it would.

    ``stations``: AE title and location of each.
    """

    modality: str | None
    start: datetime | date
    stations: Sequence[tuple[str, str]]
    missing: str


class Planner(Protocol):
    """What says where a new order would be carried out."""

    def __call__(self, order: Resource, patient: Resource) -> Where | None:
        """None for a ServiceRequest that is no order for imaging."""
        ...


class Explaining:
    """The tables of a folder, compiled so that they tell; slower than those that messages are carried out by."""

    def __init__(self, folder: Traversable, *, zone: tzinfo, facility: str) -> None:
        """TableError for tables that cannot be used."""
        self._origins = Origins()
        self.tables: Tables = compile_tables(folder, trace=self._origins)
        self._zone = zone
        self._facility = facility

    def explain(self, raw: bytes, site: SiteRules | None, planned: Planner) -> dict[str, Any]:
        """The preview, with ``elements`` for each entry (path, value, from, row, fixed, verbatim), and the ``worklist``
        items of each order that is new or changed.
        """
        self._origins.clear()
        message = parse(raw, default_charset=site.charset) if site else read_message(raw, self.tables)
        found = self._preview(said(message), site)
        entries = found["bundle"]["entry"] if found["bundle"] else []
        elements = [
            {"resource": entry["resource"]["resourceType"], "fullUrl": entry["fullUrl"], "elements": self._told(entry)}
            for entry in entries
        ]
        worklist = self._worklists(entries, found["events"], planned)
        result: dict[str, Any] = plain({**found, "elements": elements, "worklist": worklist})
        return result

    def _preview(self, message: Message, site: SiteRules | None) -> dict[str, Any]:
        return preview(message, self.tables, zone=self._zone, facility=self._facility, site=site, origins=self._origins)

    def _told(self, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
        told = []
        for place, key, path in leaves(entry["resource"]):
            if path == "resourceType":
                continue
            origin = self._origins.of(place, key)
            one = {"path": path, "value": place[key], "from": origin.position if origin else SERVER}
            if origin and origin.row:
                one["row"] = origin.row
            one |= {name: True for name in ("fixed", "verbatim") if origin and getattr(origin, name)}
            told.append(one)
        return told

    def _worklists(
        self, entries: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], planned: Planner
    ) -> list[dict[str, Any]]:
        resources = [entry["resource"] for entry in entries]
        patient: Resource = next((one for one in resources if one["resourceType"] == "Patient"), {})
        wanted = [one for one in resources if one["resourceType"] == "ServiceRequest"]
        found = []
        for order, event in zip(wanted, events, strict=True):
            where = planned(order, patient) if event["event"] in ("new", "change") else None
            if where is None:
                continue
            item = {"order": f"{event['control']} {event['event']}", "missing": where.missing}
            found.append(item if where.missing else {**item, "items": self._items(order, patient, where)})
        return found

    def _items(self, order: Resource, patient: Resource, where: Where) -> list[dict[str, Any]]:
        items = []
        for station, location in where.stations:
            self._origins.reads.clear()
            attributes = worklist_attributes(
                order,
                patient,
                station_aet=station,
                modality=where.modality or "",
                start=where.start,
                zone=self._zone,
                facility=self._facility,
                tables=self.tables,
                location=location,
            )
            roots = item_roots(order, patient, self.tables, where.start, self._zone)
            told = [self._attribute(keyword, value, roots) for keyword, value in _flat(attributes)]
            items.append({"station": station, "attributes": told})
        return items

    def _attribute(self, keyword: str, value: Any, roots: Mapping[str, Resource]) -> dict[str, Any]:
        path, values = self._origins.reads.get(keyword, ("", []))
        root, _, rest = path.partition(".")
        if root == "Step":
            return {"keyword": keyword, "value": value, **self._step(rest, roots["ServiceRequest"])}
        if roots.get(root) is None:  # a code table's word for nothing, or a number of ours
            return {"keyword": keyword, "value": value, "element": path or SERVER, "from": SERVER}
        places = [place for each in values for place in _places(roots[root], rest, each)]
        root = _CALLED.get(root, root)
        beneath = [at for place in places for at in _under(*place)]
        exact = [at for at in beneath if str(at[0][at[1]]) == str(value)]
        if exact:
            element, fields = f"{root}.{exact[0][2]}", self._fields(exact[:1])
        else:  # made of several: those whose text is in it, else all that the row was given
            element = ", ".join(f"{root}.{at}".rstrip(".") for _, _, at in places)
            parts = _parts(value)
            within = [at for at in beneath if str(at[0][at[1]]) in parts]
            fields = self._fields(within) if within else self._fields(beneath, whole=True)
        return {"keyword": keyword, "value": value, "element": element, "from": fields}

    def _step(self, name: str, order: Resource) -> dict[str, str]:
        """What the server decided of the step, and by what."""
        path = {
            "start": "occurrenceDateTime" if "occurrenceDateTime" in order else "authoredOn",
            "modality": "orderDetail",
            "station": "extension",
        }.get(name, "")
        chosen = []
        for place, key, at in leaves(order.get(path), path) if path in ("orderDetail", "extension") else ():
            coded = path == "orderDetail" and orders.modality_of({path: [order[path][_index(at)]]}) and key == "code"
            named = path == "extension" and key == "valueString"
            chosen += [(place, key, at)] if coded or named else []
        if path in order and not chosen and name == "start":
            chosen = [(order, path, path)]
        if chosen:
            return {"element": f"ServiceRequest.{chosen[0][2]}", "from": self._fields(chosen)}
        by = {"modality": "mappings/codes/procedure_modality.csv", "start": "when it came"}
        return {"element": by.get(name, "list of modalities"), "from": SERVER}

    def _fields(self, places: Sequence[tuple[Any, Any, str]], *, whole: bool = False) -> str:
        told = [origin for place, key, _ in places if (origin := self._origins.of(place, key))]
        free = [origin.position for origin in told if not origin.fixed] or [origin.position for origin in told]
        return (
            ", ".join(dict.fromkeys(position.partition(".")[0] if whole else position for position in free)) or SERVER
        )


def _parts(value: Any) -> set[str]:
    """The texts in a value: components of a person's name, attributes of a sequence's items."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return {part for one in inner for part in _parts(one)}
    return {part for part in _PARTS.split(str(value)) if part}


def _index(path: str) -> int:
    return int(path.partition("[")[2].partition("]")[0])


def _flat(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """By keyword; those of the step behind its sequence, as the table's targets are."""
    for keyword, value in attributes.items():
        if keyword == _STEP:
            yield from ((f"{_STEP}.{name}", inner) for name, inner in value[0].items())
        else:
            yield keyword, value
    given = set(attributes) | {f"{_STEP}.{name}" for name in attributes.get(_STEP, [{}])[0]}
    yield from ((keyword, "(assigned when it comes in)") for keyword in NUMBERS if keyword not in given)


def _places(root: Resource, path: str, value: Any) -> Iterator[tuple[Any, Any, str]]:
    """Where in the resource exactly this value stands that a path such as ``identifier[PLAC]`` gave."""
    wanted = _CHOICE.sub("", path)
    holder: tuple[Any, Any, str] = ({"": root}, "", "")
    for place, key, at in (holder, *_nodes(root)):
        if place[key] is value and _CHOICE.sub("", at) == wanted:
            yield place, key, at
            return


def _nodes(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in named:
        at = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else str(key)
        yield value, key, at
        yield from _nodes(inner, at)


def _under(place: Any, key: Any, path: str) -> list[tuple[Any, Any, str]]:
    """The places beneath one, or itself."""
    value = place[key]
    if isinstance(value, dict | list):
        return list(leaves(value, path))
    return [(place, key, path)]
