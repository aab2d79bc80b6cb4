"""The official examples are stored and given back as they were, but for what a server owns (id and meta)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from interop.access import system_agent
from interop.fhir.json import loads
from interop.fhir.profile import accepted_types
from interop.store import Store
from tests.fhir_door import client


def examples() -> list[Path]:
    folder = os.environ.get("INTEROP_CORPUS")
    return (
        [path for type in accepted_types() for path in sorted(Path(folder, "fhir", type).glob("*.json"))]
        if folder
        else []
    )


def as_sent(data: bytes) -> dict[str, Any]:
    """Every number as its text, so that 1.10 is not 1.1."""
    resource: dict[str, Any] = json.loads(data, parse_float=str, parse_int=str)
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


async def test_examples_come_back_as_they_were(store: Store) -> None:
    made = {}
    for path in examples():
        resource = loads(path.read_bytes())
        if resource["resourceType"] == "AuditEvent":  # made of audit rows, never stored as a resource
            continue
        made[path] = await store.unit(system_agent("test"), lambda tx, resource=resource: tx.create(resource))
    async with client(store) as http:
        for path, stored in made.items():
            answer = await http.get(stored.reference, headers={"Accept": "application/fhir+json"})
            assert answer.status_code == 200
            assert as_sent(answer.content) == as_sent(path.read_bytes()), path.name


async def test_examples_that_need_nobody_else_are_created_over_http(store: Store) -> None:
    async with client(store) as http:
        for path in examples():
            type = path.parent.name
            answer = await http.post(type, content=path.read_bytes(), headers={"Content-Type": "application/fhir+json"})
            if "create" not in accepted_types()[type].interactions:
                assert answer.status_code == 403
            elif answer.status_code != 201:  # only because what it refers to is not here
                assert answer.status_code == 422
                assert {issue["code"] for issue in answer.json()["issue"]} == {"not-found"}, answer.text
