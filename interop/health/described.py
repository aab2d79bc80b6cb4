"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.openapi import Description, Json, Operation, gives


def described() -> Description:
    """Every operation of the door."""

    def stands(*values: str) -> Json:
        return {"type": "object", "required": ["status"], "properties": {"status": {"enum": list(values)}}}

    alive = {"200": gives("It answers", schema=stands("alive"))}
    whole = {
        "200": gives(
            "All that it needs has answered, or all but a part that is named", schema=stands("ready", "degraded")
        ),
        "503": gives("Something has not", schema=stands("not ready")),
    }
    operations = [
        Operation("healthz", "GET", "/healthz", "Whether the process answers", alive, open=True),
        Operation("readyz", "GET", "/readyz", "Whether all it needs answers", whole, open=True),
    ]
    return Description("health", "For load balancers.", operations)
