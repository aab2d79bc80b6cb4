"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.auth.codes import CODE
from interop.auth.ending import EndRequest
from interop.openapi import Description, Operation, gives, in_path, pages, problems

_LINK = {
    "type": "object",
    "required": ["url", "expires_in"],
    "properties": {"url": {"type": "string"}, "expires_in": {"type": "integer"}},
}
_ENDED = {
    "type": "object",
    "required": ["subject", "before"],
    "properties": {"subject": {"type": "string"}, "before": {"type": "string", "format": "date-time"}},
}
_SMART = {"type": "object", "required": ["capabilities", "scopes_supported"]}


def described() -> Description:
    """Every operation of the door."""
    smart = {"200": gives("SMART configuration", schema=_SMART)}
    code = in_path("code", {"type": "string", "pattern": f"^{CODE.pattern}$"})
    known = "What SMART clients may know beforehand"
    operations = [
        Operation("smart", "GET", "/.well-known/smart-configuration", known, smart, open=True),
        Operation("smart-fhir", "GET", "/fhir/.well-known/smart-configuration", known, smart, open=True),
        Operation(
            "login",
            "POST",
            "/api/v1/login",
            "A one-time link to the start page",
            {"200": gives("The link", schema=_LINK)} | problems(),
        ),
        Operation(
            "login-redeem",
            "GET",
            "/login/{code}",
            "Redeem it",
            {"303": gives("To the start page")} | pages(),
            [code],
            open=True,
        ),
        Operation(
            "logout",
            "POST",
            "/console/logout",
            "End the session",
            {"303": gives("To the start page")} | pages(),
            session="console",
        ),
        Operation(
            "sessions-end",
            "POST",
            "/api/v1/sessions/end",
            "End all sessions of a person",
            {"200": gives("Whose, and until when they began", schema=_ENDED)} | problems(413),
            body={"required": False, "content": {"application/json": {"schema": EndRequest.model_json_schema()}}},
        ),
    ]
    return Description("auth", "Signing in by a one-time link, and ending sessions.", operations)
