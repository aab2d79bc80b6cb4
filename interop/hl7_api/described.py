"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.hl7_api.questions import MOST, QUESTIONS, STATES
from interop.hl7_api.steering import VERBS
from interop.openapi import Description, Json, Operation, gives, in_path, in_query, problems, ref

_ID = in_path("id", {"type": "integer", "minimum": 0, "maximum": 2**62})
_WHOLE: Json = {"type": "integer", "minimum": 1}
_TOLD: Json = {"type": ["string", "null"]}
_ASKED: dict[str, Json] = {
    "state": {"enum": list(STATES)},
    "direction": {"enum": ["in", "out"]},
    "before": _WHOLE | {"maximum": 2**62},
    "limit": _WHOLE | {"maximum": MOST},
    "since": {"type": "string", "description": "a moment, or how long ago: 90m, 2h, 3d"},
    "until": {"type": "string", "description": "a moment, or how long ago: 90m, 2h, 3d"},
}
_LINE: Json = {
    "type": "object",
    "required": ["id", "at", "direction", "type", "state", "touched", "issues"],
    "properties": {
        "id": {"type": "integer"},
        "at": {"type": "string"},
        "direction": {"enum": ["in", "out"]},
        "type": {"type": "string"},
        "state": {"enum": list(STATES)},
        "ack_code": _TOLD,
        "control_id": {"type": "string"},
        "application": {"type": "string"},
        "facility": {"type": "string"},
        "peer": {"type": "string"},
        "size": {"type": "integer"},
        "attempts": {"type": "integer"},
        "took_ms": {"type": ["number", "null"]},
        "order": _TOLD,
        "touched": {"type": "array", "items": {"type": "string"}},
        "issues": {"type": "array"},
    },
}
_SCHEMAS: dict[str, Json] = {
    "Hl7Message": _LINE,
    "Hl7MessageWhole": {
        "allOf": [ref("schemas", "Hl7Message")],
        "type": "object",
        "required": ["raw", "ack"],
        "properties": {"raw": {"type": "string", "contentEncoding": "base64"}, "ack": _TOLD},
    },
    "Hl7Messages": {
        "type": "object",
        "required": ["messages", "next"],
        "properties": {
            "messages": {"type": "array", "items": ref("schemas", "Hl7Message")},
            "next": {"type": ["integer", "null"]},
        },
    },
    "Hl7Act": {
        "type": "object",
        "required": ["id", "state", "ack_code", "text"],
        "properties": {
            "id": {"type": "integer"},
            "state": {"enum": list(STATES)},
            "ack_code": _TOLD,
            "text": {"type": "string"},
        },
    },
    "Hl7Feeds": {
        "type": "object",
        "required": ["at", "listener", "peers"],
        "properties": {
            "at": {"type": "string"},
            "listener": {"type": "object", "additionalProperties": {"type": "integer"}},
            "peers": {"type": "array", "items": {"type": "object", "required": ["direction", "name", "address"]}},
        },
    },
}


def described() -> Description:
    """Every operation of the door."""
    messages = "/api/v1/hl7/messages"
    one = f"{messages}/{{id}}"
    pattern = f"{messages}/{{id:int}}"

    def told(name: str) -> Json:
        return gives("As it stands", schema=ref("schemas", name))

    questions = [in_query(name, _ASKED.get(name, {"type": "string", "maxLength": 200})) for name in QUESTIONS]
    operations = [
        Operation("hl7-feeds", "GET", "/api/v1/hl7", "How the feeds stand", {"200": told("Hl7Feeds")} | problems()),
        Operation(
            "hl7-messages",
            "GET",
            messages,
            "Messages, newest first",
            {"200": told("Hl7Messages")} | problems(),
            questions,
        ),
        Operation(
            "hl7-message",
            "GET",
            one,
            "One message",
            {"200": told("Hl7MessageWhole")} | problems(404),
            [_ID],
            route=pattern,
        ),
        Operation(
            "hl7-message-raw",
            "GET",
            f"{one}/raw",
            "Its bytes",
            {"200": gives("As they came or go", "application/octet-stream")} | problems(404),
            [_ID],
            route=f"{pattern}/raw",
        ),
    ]
    for verb in VERBS:
        answers = {"200": told("Hl7Act")} | problems(404, 409, 422)
        operations.append(
            Operation(
                f"hl7-{verb}", "POST", f"{one}/{verb}", f"{verb} a message", answers, [_ID], route=f"{pattern}/{verb}"
            )
        )
    return Description("hl7", "HL7 v2 messages: listed, shown, steered.", operations, {"schemas": _SCHEMAS})
