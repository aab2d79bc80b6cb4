"""The document itself (OpenAPI 3.1 4.8.1), of what the doors say and of the routes that there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interop.openapi.answers import PROBLEM, problem_responses
from interop.openapi.operation import Description, Json

_SECURITY: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "SMART scopes, such as system/*.cruds or patient/ImagingStudy.rs.",
    },
    "viewer": {
        "type": "apiKey",
        "in": "cookie",
        "name": "interop_viewer_00000000",  # sent as it stands: a token (RFC 6265 4.1.1)
        "description": "Set where a launch is redeemed; good for its studies alone. Its name ends in any 8 hex digits.",
    },
    "console": {
        "type": "apiKey",
        "in": "cookie",
        "name": "interop_console",
        "description": "Set where a sign-in link is redeemed; good for the start page alone.",
    },
}
_TEXT = (
    "An imaging interoperability server: FHIR R4, DICOMweb, HL7 v2 messages, and the way into the viewer. "
    "HEAD is answered wherever GET is, but for one-time links and DICOMweb. A method that is not listed is 405, and "
    "Allow names those that are; writing what the server alone makes is 403."
)


def document(
    descriptions: Sequence[Description], patterns: Iterable[tuple[str, str]], *, version: str, url: str
) -> Json:
    """The OpenAPI document of the operations whose route is among ``patterns`` (method and pattern; method "" any)."""
    there = set(patterns)
    components: Json = {
        "securitySchemes": _SECURITY,
        "schemas": {"Problem": PROBLEM},
        "responses": problem_responses(),
    }
    paths: dict[str, Json] = {}
    tags = []
    for description in descriptions:
        offered = [
            each
            for each in description.operations
            if (each.method, each.pattern) in there or ("", each.pattern) in there
        ]
        if not offered:
            continue
        tags.append({"name": description.tag, "description": description.text})
        for operation in offered:
            paths.setdefault(operation.path, {})[operation.method.lower()] = operation.written(description.tag)
        for section, named in description.components.items():
            components.setdefault(section, {}).update(named)
    return {
        "openapi": "3.1.1",
        "info": {"title": "interop", "version": version, "description": _TEXT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": url}],
        "tags": tags,
        "paths": dict(sorted(paths.items())),
        "components": components,
    }
