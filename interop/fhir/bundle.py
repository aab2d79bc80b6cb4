"""Batch and transaction Bundles as values (R4 http.html#transaction): their entries, the order of a transaction, and
the links between its entries. What an entry does is the door's business; nothing here stores.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from interop.errors import InteropError, InvalidContentError, Issue, UnsupportedError
from interop.fhir.primitives import valid_id
from interop.fhir.references import references

METHODS = ("DELETE", "POST", "PUT", "PATCH", "GET")  # the order of a transaction (http.html#trules)
MAX_ENTRIES = 2000
_WRITES = (("POST",), ("PUT", "PATCH"))
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(\S+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry's request."""

    index: int
    method: str
    segments: tuple[str, ...]  # of the path below the base, e.g. ("Patient", "1")
    params: tuple[tuple[str, str], ...] = ()
    query: str = ""
    resource: dict[str, Any] | None = None
    full_url: str | None = None
    if_match: str | None = None
    if_none_exist: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    problem: InteropError | None = None  # why the request cannot be understood

    @property
    def type(self) -> str:
        """The resource type that the request is about; nothing where it cannot be understood."""
        return self.segments[0] if self.segments else ""


def entries_of(bundle: Mapping[str, Any], base_url: str) -> tuple[Entry, ...]:
    """The entries of a batch or transaction; a request that cannot be understood is its own entry's ``problem``.

    InvalidContentError for what is no Bundle of requests (bdl-3); in a batch the other entries are carried out all the
    same (http.html#brules).
    """
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        raise InvalidContentError(f"a Bundle has a list of at most {MAX_ENTRIES} entries", expression="Bundle.entry")
    found = tuple(_entry(index, entry, base_url) for index, entry in enumerate(entries))
    _require_unique(found)
    return found


def _require_unique(entries: Sequence[Entry]) -> None:
    """One fullUrl names one entry, or several versions of it (bdl-7): else no link to it could be followed."""
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        if entry.full_url is None:
            continue
        meta = (entry.resource or {}).get("meta")
        version = meta.get("versionId") if isinstance(meta, dict) else None
        first = seen.setdefault((entry.full_url, str(version)), entry.index)
        if first != entry.index:
            raise InvalidContentError(
                f"entry {first} has the same fullUrl (bdl-7)",
                expression=f"Bundle.entry[{entry.index}].fullUrl",
                status=400,
            )


def _entry(index: int, entry: Any, base_url: str) -> Entry:
    path = f"Bundle.entry[{index}]"
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise InvalidContentError(
            "the entry has no request (bdl-3)", expression=f"{path}.request", issue_code="required"
        )
    for name in ("method", "url"):
        if not isinstance(request.get(name), str) or not request[name]:
            raise InvalidContentError(
                f"the request has no {name}", expression=f"{path}.request.{name}", issue_code="required"
            )
    method = request["method"]
    try:
        _require_body(method, entry, path)
        segments, query = _target(request["url"], base_url, f"{path}.request.url")
    except InteropError as error:
        return Entry(index, method, (), problem=error)
    return Entry(
        index,
        method,
        segments,
        tuple(parse_qsl(query, keep_blank_values=True)),
        query,
        entry.get("resource"),
        _text(entry, "fullUrl", path),
        _text(request, "ifMatch", path),
        _text(request, "ifNoneExist", path),
        _text(request, "ifNoneMatch", path),
        _text(request, "ifModifiedSince", path),
    )


def _require_body(method: str, entry: Mapping[str, Any], path: str) -> None:
    """A method that is offered, with a resource exactly where it writes."""
    if method not in METHODS:
        raise UnsupportedError(
            f"entries with the method {method[:10]!r} are not offered", expression=f"{path}.request.method"
        )
    writes = method in ("POST", "PUT", "PATCH")
    if not isinstance(entry.get("resource"), dict) if writes else "resource" in entry:
        has = "needs a resource" if writes else "has no resource"
        raise InvalidContentError(f"a {method} {has}", expression=f"{path}.resource", issue_code="required")


def _text(element: Mapping[str, Any], name: str, path: str) -> str | None:
    value = element.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidContentError(f"{name} is a string", expression=path, issue_code="structure")
    return value


def _target(url: str, base_url: str, expression: str) -> tuple[tuple[str, ...], str]:
    path, _, query = url.removeprefix(f"{base_url}/").lstrip("/").partition("?")
    segments = tuple(segment for segment in path.split("/") if segment)
    if not segments or not _TYPE.fullmatch(segments[0]) or len(segments) > 4:
        raise InvalidContentError(
            "the url is Type, Type/id or Type?search, below this server's base", expression=expression
        )
    return segments, query


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """The entries as a transaction carries them out: DELETE, then what is written, then GET.

    The outcome may not depend on the order of the entries (http.html#trules), so of the writes those that others refer
    to come first; POST comes before PUT and PATCH where nothing else decides.
    """
    _refuse_overlap(entries)
    writes = [entry for methods in _WRITES for entry in entries if entry.method in methods]
    deletes = [entry for entry in entries if entry.method == "DELETE"]
    gets = [entry for entry in entries if entry.method == "GET"]
    return deletes + _needed_first(writes) + gets


def referrers_first(indexes: Sequence[int], refers: Mapping[int, Collection[int]]) -> list[int]:
    """The entries that delete, each before those that it refers to, else as they stand; a circle is cut somewhere.

    Whether something is still needed may not depend on the order of the entries (http.html#trules).
    """
    done: list[int] = []
    seen: set[int] = set()
    for first in reversed(indexes):
        stack = [(first, False)]
        while stack:
            index, needs_met = stack.pop()
            if needs_met:
                done.append(index)
            elif index not in seen:
                seen.add(index)
                stack.append((index, True))
                stack += [(target, False) for target in refers.get(index, ()) if target not in seen]
    return done[::-1]


def _refuse_overlap(entries: Sequence[Entry]) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for entry in entries:
        if entry.method in ("PUT", "PATCH", "DELETE") and len(entry.segments) > 1:
            if entry.segments in seen:
                raise overlap(seen[entry.segments], entry.index)
            seen[entry.segments] = entry.index


def overlap(one: int, other: int) -> InvalidContentError:
    """The refusal of two entries about one resource, of which nobody could say which is to win (http.html#trules)."""
    return InvalidContentError(
        f"entries {one} and {other} are about the same resource",
        expression=f"Bundle.entry[{other}].request.url",
        status=400,
    )


def _needed_first(writes: list[Entry]) -> list[Entry]:
    names: dict[str, Entry] = {}
    for entry in writes:
        if entry.full_url:
            names[entry.full_url] = entry
        if entry.method in ("PUT", "PATCH") and len(entry.segments) > 1:
            names["/".join(entry.segments)] = entry
    done: list[Entry] = []
    state: dict[int, bool] = {}  # False: on the way; a circle is cut there, the ids being known beforehand
    for first in writes:
        stack = [(first, False)]
        while stack:
            entry, needs_met = stack.pop()
            if needs_met:
                state[entry.index] = True
                done.append(entry)
            elif entry.index not in state:
                state[entry.index] = False
                stack.append((entry, True))
                stack += [(need, False) for need in _needs(entry, names, writes) if need.index not in state]
    return done


def _needs(entry: Entry, names: Mapping[str, Entry], writes: list[Entry]) -> Iterator[Entry]:
    for _, reference in references(entry.resource or {}):
        if reference in names:
            yield names[reference]
        conditional = conditional_reference(reference)
        if conditional:
            yield from (other for other in writes if other.type == conditional[0] and other is not entry)


def conditional_reference(reference: str) -> tuple[str, str] | None:
    """Type and criteria of a reference such as ``Patient?identifier=a|b`` (http.html#trules)."""
    match = _CONDITIONAL.fullmatch(reference)
    return (match[1], match[2]) if match else None


def links(entry: Entry, reference: str, base_url: str) -> dict[str, str]:
    """How other entries may name this one, each to be replaced by the reference it got.

    Besides its fullUrl that is the ``Type/id`` at the end of a fullUrl under any base (bundle.html#references).
    """
    full_url = entry.full_url
    if not full_url:
        return {}
    found = {full_url: reference}
    if entry.method == "POST" and not full_url.startswith("urn:"):
        tail = full_url.rsplit("/", 2)[-2:]
        if len(tail) == 2 and tail[0] == entry.type and valid_id(tail[1]):
            found["/".join(tail)] = reference
            found[f"{base_url}/{'/'.join(tail)}"] = reference
    return found


def located(error: InteropError, index: int) -> InteropError:
    """The error with its issues at the entry: ``Patient.name`` becomes ``Bundle.entry[3].resource.name``."""
    entry = f"Bundle.entry[{index}]"

    def place(expression: str) -> str:
        if expression.startswith("Bundle."):
            return expression
        _, dot, below = expression.partition(".")
        return f"{entry}.resource{dot}{below}"

    issues = tuple(
        Issue(
            issue.code,
            issue.text,
            tuple(map(place, issue.expression)) or (entry,),
            issue.location,
            issue.severity,
            issue.hl7_code,
        )
        for issue in error.issues
    )
    moved = copy(error)
    moved.issues = issues
    return moved
