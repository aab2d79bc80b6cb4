"""What one method of one path does, as the OpenAPI document tells of it (OpenAPI 3.1 4.8.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``route`` is the pattern of the route behind it, where that is not the path itself."""

    id: str
    method: str
    path: str
    summary: str
    answers: Mapping[str, Json]  # by status
    parameters: Sequence[Json] = ()
    body: Json | None = None
    route: str = ""
    open: bool = False  # needs no credentials
    session: str = ""  # the security scheme of a cookie that does as well as a bearer

    @property
    def pattern(self) -> str:
        """The pattern in the route table."""
        return self.route or self.path

    def written(self, tag: str) -> Json:
        """The Operation Object."""
        security: list[Json] = [{"bearer": []}, *([{self.session: []}] if self.session else [])]
        return {
            "operationId": self.id,
            "summary": self.summary,
            "tags": [tag],
            **({"parameters": list(self.parameters)} if self.parameters else {}),
            **({"requestBody": self.body} if self.body else {}),
            "responses": dict(sorted(self.answers.items())),
            "security": [] if self.open else security,
        }


@dataclass(frozen=True, slots=True)
class Description:
    """What one door says of itself; ``components`` by section (schemas, parameters, responses …) and name."""

    tag: str
    text: str
    operations: Sequence[Operation]
    components: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def ref(section: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{section}/{name}"}


def in_path(name: str, schema: Json | None = None, text: str = "") -> Json:
    """A parameter of the path; any text unless a schema says more."""
    return _parameter(name, "path", schema, text) | {"required": True}


def in_query(name: str, schema: Json | None = None, text: str = "", *, required: bool = False) -> Json:
    """A parameter of the query."""
    return _parameter(name, "query", schema, text) | ({"required": True} if required else {})


def in_header(name: str, text: str = "", schema: Json | None = None) -> Json:
    """A header that changes what is done."""
    return _parameter(name, "header", schema, text)


def _parameter(name: str, place: str, schema: Json | None, text: str) -> Json:
    said = {"description": text} if text else {}
    return {"name": name, "in": place, **said, "schema": schema or {"type": "string"}}
