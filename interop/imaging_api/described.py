"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.imaging_api.match_routes import MatchRequest
from interop.imaging_api.pacs_routes import SyncRequest
from interop.imaging_api.routes import LaunchRequest
from interop.imaging_api.share_routes import ShareRequest
from interop.openapi import Description, Json, Operation, gives, in_path, in_query, problems, ref

_UID = in_path("uid", {"type": "string", "pattern": r"^[0-9]+(?:\.[0-9]+)*$", "maxLength": 64})
_TOLD: Json = {"type": ["string", "null"]}
_SCHEMAS: dict[str, Json] = {
    "Launch": {
        "type": "object",
        "required": ["url", "expires_in", "studies", "warnings"],
        "properties": {
            "url": {"type": "string"},
            "expires_in": {"type": "integer"},
            "studies": {"type": "array", "items": {"type": "string"}},
            "warnings": {"type": "array", "items": ref("schemas", "LaunchWarning")},
        },
    },
    "Share": {
        "type": "object",
        "required": ["id", "by", "studies", "annotate", "label", "state", "created", "expires", "revoked", "openings"],
        "properties": {
            "id": {"type": "string"},
            "url": {"type": "string", "description": "with the secret; in the answer to the creation alone"},
            "studies": {"type": "array", "items": {"type": "string"}},
            "annotate": {"type": "boolean"},
            "label": _TOLD,
            "state": {"enum": ["open", "expired", "revoked"]},
            "expires": {"type": "string", "format": "date-time"},
            "openings": {"type": "integer"},
        },
    },
    "Shares": {
        "type": "object",
        "required": ["shares", "next"],
        "properties": {"shares": {"type": "array", "items": ref("schemas", "Share")}, "next": _TOLD},
    },
    "LaunchWarning": {
        "type": "object",
        "description": "What the viewer lists without showing it.",
        "required": ["study", "modality", "text"],
        "properties": {name: {"type": "string"} for name in ("study", "modality", "text")},
    },
    "MatchDecision": {
        "type": "object",
        "required": ["study_uid", "order", "rule", "by", "person", "at", "evidence"],
        "properties": {
            "study_uid": {"type": "string"},
            "order": _TOLD,
            "rule": {"type": "string"},
            "tags": ref("schemas", "TagCorrection"),
        },
    },
    "TagCorrection": {
        "type": "object",
        "required": ["verb", "order", "archive", "state", "done", "changed", "total", "error"],
        "properties": {
            "verb": {"enum": ["correct", "restore"]},
            "state": {"enum": ["asked", "running", "done", "failed"]},
            "total": {"type": ["integer", "null"]},
            "error": _TOLD,
        },
    },
    "MatchState": {
        "type": "object",
        "required": ["study_uid", "study", "patient", "order", "decisions", "candidates"],
        "properties": {
            "decisions": {"type": "array", "items": ref("schemas", "MatchDecision")},
            "order": _TOLD,
            "tags": ref("schemas", "TagCorrection"),
        },
    },
    "Archives": {
        "type": "object",
        "required": ["at", "archives", "unknown"],
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "archives": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "driver", "default", "registered", "status", "sync"],
                    "properties": {"name": {"type": "string"}, "registered": {"type": "integer"}},
                },
            },
            "unknown": {"type": "array", "items": {"type": "object", "required": ["name", "registered"]}},
        },
    },
    "Unmatched": {
        "type": "object",
        "required": ["studies", "next"],
        "properties": {"studies": {"type": "array"}, "next": {"type": ["integer", "null"]}},
    },
}


def described() -> Description:
    """Every operation of the door."""
    operations = [*_launching(), *_sharing(), *_matching(), *_archives()]
    text = (
        "Launching the viewer, sharing studies, matching them with orders by hand, keeping in step with the archives."
    )
    return Description("imaging", text, operations, {"schemas": _SCHEMAS | _asked()})


def _asked() -> dict[str, Json]:
    """The bodies, as the doors themselves read them."""
    either = [{"required": ["studies"]}, {"required": ["accession"]}]
    return {
        "LaunchRequest": LaunchRequest.model_json_schema() | {"oneOf": either},
        "ShareRequest": ShareRequest.model_json_schema() | {"oneOf": either},
        "MatchRequest": MatchRequest.model_json_schema(),
        "SyncRequest": SyncRequest.model_json_schema(),
    }


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": ref("schemas", name)}}}


def _launching() -> list[Operation]:
    launch = gives("A link that works once", schema=ref("schemas", "Launch"))
    studies = in_path("study_uid", {"type": "string", "pattern": r"^[0-9.]+(?:,[0-9.]+)*$"}, "commas between several")
    refused = problems(404, 409, 413, 422, 502)
    return [
        Operation(
            "launch",
            "POST",
            "/api/v1/launch",
            "Open studies in the viewer",
            {"200": launch} | refused,
            body=_body("LaunchRequest"),
        ),
        Operation(
            "launch-by-path",
            "GET",
            "/api/v1/dicom/viewer/{study_uid}",
            "The same for the studies of the path: a redirect, or JSON for who accepts that",
            {"200": launch, "303": gives("To the one-time link")} | refused,
            [studies],
        ),
    ]


def _sharing() -> list[Operation]:
    place = "/api/v1/share"
    page = [in_query("limit", {"type": "integer", "minimum": 1, "maximum": 500}), in_query("before")]
    made = gives("The link, whose secret is told this once", schema=ref("schemas", "Share"))
    listed = gives("The newest first", schema=ref("schemas", "Shares"))
    over = gives("It opens nothing any more, and what it opened has ended")
    refused = problems(404, 409, 413, 422, 502)
    return [
        Operation(
            "share", "POST", place, "Share studies by a link", {"201": made} | refused, body=_body("ShareRequest")
        ),
        Operation("shares", "GET", place, "Links that were shared", {"200": listed} | problems(), page),
        Operation(
            "share-revoke",
            "DELETE",
            f"{place}/{{id}}",
            "Take a link back",
            {"204": over} | problems(404),
            [in_path("id")],
        ),
    ]


def _matching() -> list[Operation]:
    page = [
        in_query("limit", {"type": "integer", "minimum": 1, "maximum": 500}),
        in_query("before", {"type": "integer", "minimum": 1, "maximum": 2**62}),
    ]
    one = "/api/v1/imaging/studies/{uid}"
    listed = gives("The newest first", schema=ref("schemas", "Unmatched"))
    state = gives("As it stands", schema=ref("schemas", "MatchState"))
    decision = gives("What holds now", schema=ref("schemas", "MatchDecision"))
    decided = {"200": decision} | problems(404, 409, 422)
    return [
        Operation(
            "unmatched",
            "GET",
            "/api/v1/imaging/unmatched",
            "Studies without an order",
            {"200": listed} | problems(),
            page,
        ),
        Operation(
            "match-state", "GET", f"{one}/match", "Decisions and candidates", {"200": state} | problems(404), [_UID]
        ),
        Operation(
            "match",
            "POST",
            f"{one}/match",
            "The study is of this order",
            decided | problems(413),
            [_UID],
            _body("MatchRequest"),
        ),
        Operation("unmatch", "POST", f"{one}/unmatch", "The study is of no order", decided, [_UID]),
        Operation("match-merge", "POST", f"{one}/merge", "Its patient is the order's patient", decided, [_UID]),
    ]


def _archives() -> list[Operation]:
    listed = gives("The default one first", schema=ref("schemas", "Archives"))
    asked = gives("What was asked for; the archive's feed carries it out", schema={"type": "object"})
    name = in_path("name", {"type": "string"})
    return [
        Operation("pacs", "GET", "/api/v1/pacs", "How each archive is kept in step", {"200": listed} | problems()),
        Operation(
            "pacs-sync",
            "POST",
            "/api/v1/pacs/{name}/sync",
            "Have an archive's studies compared with ours",
            {"202": asked} | problems(404, 413, 422),
            [name],
            _body("SyncRequest") | {"required": False},
        ),
    ]
