"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.jobs_api.routes import MOST, VERBS
from interop.openapi import Description, Json, Operation, gives, in_path, in_query, problems, ref
from interop.workflow.dead_jobs import TYPES

_WHOLE: Json = {"type": "integer", "minimum": 1}
_SCHEMAS: dict[str, Json] = {
    "DeadJob": {
        "type": "object",
        "required": ["id", "kind", "about", "state", "created", "attempts", "error"],
        "properties": {
            "id": {"type": "integer"},
            "kind": {"enum": list(TYPES)},
            "about": {"type": "string"},
            "state": {"enum": ["dead", "ready", "dropped"]},
            "created": {"type": "string"},
            "attempts": {"type": "integer"},
            "error": {"type": ["string", "null"]},
        },
    },
    "DeadJobs": {
        "type": "object",
        "required": ["jobs", "next"],
        "properties": {
            "jobs": {"type": "array", "items": ref("schemas", "DeadJob")},
            "next": {"type": ["integer", "null"]},
        },
    },
}


def described() -> Description:
    """Every operation of the door."""
    place = "/api/v1/jobs"
    questions = [
        in_query("kind", {"enum": list(TYPES)}),
        in_query("before", _WHOLE | {"maximum": 2**62}),
        in_query("limit", _WHOLE | {"maximum": MOST}),
    ]
    listed = gives("The newest first", schema=ref("schemas", "DeadJobs"))
    after = gives("The job after it", schema=ref("schemas", "DeadJob"))
    id = in_path("id", {"type": "integer", "minimum": 0, "maximum": 2**62})
    operations = [Operation("jobs", "GET", place, "Dead letters", {"200": listed} | problems(), questions)]
    operations += [
        Operation(
            f"job-{verb}",
            "POST",
            f"{place}/{{id}}/{verb}",
            f"{verb} a dead letter",
            {"200": after} | problems(404, 409, 422),
            [id],
            route=f"{place}/{{id:int}}/{verb}",
        )
        for verb in VERBS
    ]
    return Description("jobs", "Jobs of every kind that were given up.", operations, {"schemas": _SCHEMAS})
