"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.openapi import Description, Operation, gives, pages

_FORM = {
    "type": "object",
    "required": ["study"],
    "properties": {"study": {"type": "string", "pattern": "^[0-9.]{1,64}$"}},
}


def described() -> Description:
    """Every operation of the door."""

    def shown(id: str, path: str, summary: str, kind: str) -> Operation:
        return Operation(id, "GET", path, summary, {"200": gives(summary, kind)} | pages(), session="console")

    launch = Operation(
        "console-launch",
        "POST",
        "/console/launch",
        "From the start page into the viewer",
        {"303": gives("To the one-time link")} | pages(404, 413, 502),
        body={"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _FORM}}},
        session="console",
    )
    operations = [
        shown("start-page", "/", "The start page", "text/html"),
        launch,
        shown("start-page-style", "/console/style.css", "How it looks", "text/css"),
        shown("start-page-icon", "/console/icon.svg", "Its icon", "image/svg+xml"),
    ]
    return Description("console", "The start page.", operations)
