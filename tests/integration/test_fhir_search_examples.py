"""The official examples are found by what the standard's own expressions say of them, as another reader evaluates them.

fhirpathpy evaluates the expressions of tests/search_expressions.json (those of hl7.fhir.r4.core 4.0.1), which know
nothing of how this server reads its parameters.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from interop.access import system_agent
from interop.fhir.folding import fold
from interop.fhir.parameters import parameters
from interop.store import Store, Tx
from tests.fhir_door import client

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fhirpathpy
    from fhirpathpy.models import models

EXPRESSIONS: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent.parent / "search_expressions.json").read_bytes()
)
HUMAN_NAME = ("text", "family", "given", "prefix", "suffix")
ADDRESS = ("line", "city", "district", "state", "postalCode", "country")
Resource = dict[str, Any]


def examples(type: str) -> list[Resource]:
    folder = os.environ.get("INTEROP_CORPUS")
    found = (
        [json.loads(path.read_bytes()) for path in sorted(Path(folder, "fhir", type).glob("*.json"))] if folder else []
    )
    return [each for each in found if each["resourceType"] == type]


def evaluator(expression: str) -> Callable[[Resource], list[Any]]:
    """What the expression gives; a reference is resolved by what it says itself."""
    plain = re.sub(r"resolve\(\) is (\w+)", r"reference.startsWith('\1/')", expression)
    plain = re.sub(r"\((\S+) as (\w+)\)", r"\1.ofType(\2)", plain)  # "as" is for a single value, these repeat
    evaluate = fhirpathpy.compile(plain, models["r4"])
    return lambda resource: [value for value in evaluate(resource) if value is not None]


def tokens(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str):
        return [value]
    if "coding" in value or set(value) <= {"text", "coding", "extension"}:
        return [text for coding in value.get("coding", []) for text in tokens(coding)]
    code = value.get("code", value.get("value"))
    if code is None or ("code" not in value and "use" in value and "rank" in value):
        return [] if code is None else [str(code)]
    return [f"{_escaped(value.get('system', ''))}|{_escaped(str(code))}"]


def references(value: Any) -> list[str]:
    literal = value if isinstance(value, str) else value.get("reference", "")
    return [literal] if literal and not literal.startswith("#") else []


def _escaped(text: str) -> str:
    return re.sub(r"([\\,|$])", r"\\\1", text)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    names = (
        "text",
        "family",
        "given",
        "prefix",
        "suffix",
        "line",
        "city",
        "district",
        "state",
        "postalCode",
        "country",
    )
    parts = [value[name] for name in names if name in value]
    return [text for part in parts for text in (part if isinstance(part, list) else [part]) if text]


async def search(http: Any, type: str, name: str, text: str) -> set[str]:
    answer = await http.get(f"{type}?{name}={quote(text)}&_count=1000")
    assert answer.status_code == 200, (type, name, text, answer.text)
    return {entry["resource"]["id"] for entry in answer.json().get("entry", [])}


@pytest.mark.parametrize("type", sorted(EXPRESSIONS))
async def test_examples_are_found_by_what_the_expressions_say(store: Store, type: str) -> None:
    resources = examples(type)

    def fill(tx: Tx) -> None:
        for resource in resources:
            tx.create(resource, id=resource["id"])

    await store.unit(system_agent("test"), fill)
    every = {each["id"] for each in resources}
    async with client(store) as http:
        for code, (kind, expression) in EXPRESSIONS[type].items():
            if code not in parameters(type) or code == "deceased":
                continue
            evaluate = evaluator(expression)
            values = {each["id"]: evaluate(each) for each in resources}
            await _compare(http, type, code, kind, values)
            there = {id for id, found in values.items() if found}
            if code not in ("email", "phone") and kind != "date":
                assert await search(http, type, f"{code}:missing", "false") == there, (type, code)
                assert await search(http, type, f"{code}:missing", "true") == every - there, (type, code)


async def _compare(http: Any, type: str, code: str, kind: str, values: dict[str, list[Any]]) -> None:
    by_text: dict[str, set[str]] = defaultdict(set)
    reader = {"token": tokens, "reference": references, "string": strings, "uri": lambda value: [value]}.get(kind)
    for id, found in values.items():
        for value in found:
            if reader is not None:
                for text in reader(value):
                    by_text[text].add(id)
            elif kind == "quantity" and isinstance(value, dict) and "value" in value and "comparator" not in value:
                number = (
                    f"{value['value']}|{value['system']}|{value['code']}" if "code" in value else f"{value['value']}"
                )
                assert id in await search(http, type, code, number), (type, code, number)
            elif kind == "date" and isinstance(value, str):
                assert id in await search(http, type, code, value), (type, code, value)
    for text, ids in list(by_text.items())[:40]:
        if kind == "string":
            expected = {id for other, each in by_text.items() if fold(other).startswith(fold(text)) for id in each}
            assert await search(http, type, code, _escaped(text)) == expected, (type, code, text)
        elif kind == "token" and code in ("phone", "email", "telecom"):
            assert ids <= await search(http, type, code, text.partition("|")[2] or text), (type, code, text)
        else:
            query = text if kind == "token" else _escaped(text)
            assert await search(http, type, code, query) == ids, (type, code, text)
