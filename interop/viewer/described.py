"""What this door says of itself in the OpenAPI document."""

from __future__ import annotations

from interop.openapi import Description, Json, Operation, gives, in_path, in_query, pages

_FORM = {
    "type": "object",
    "required": ["secret"],
    "properties": {"secret": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}},
}
_WARNINGS: Json = {
    "type": "object",
    "required": ["warnings"],
    "properties": {
        "warnings": {"type": "array", "items": {"type": "object", "required": ["study", "modality", "text"]}}
    },
}
_IID = ("studyUID", "accessionNumber", "patientID", "mostRecentResults", "lowerDateTime", "upperDateTime")


def described() -> Description:
    """Every operation of the door. OHIF's files stand for one: their paths may have several segments."""
    kinds: Json = {"enum": ["STUDY", "PATIENT"]}
    asked = [in_query("requestType", kinds, required=True), *map(in_query, (*_IID, "modalitiesInStudy"))]
    code = in_path("code", {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"})
    to_images = gives("To the images")
    operations = [
        Operation(
            "viewer-open",
            "GET",
            "/viewer/open/{code}",
            "Redeem a launch",
            {"303": to_images} | pages(410),
            [code],
            open=True,
        ),
        Operation(
            "viewer-iid",
            "GET",
            "/viewer/iid",
            "Invoke Image Display (IHE RAD-106)",
            {"303": to_images} | pages(404, 409, 502),
            asked,
            session="viewer",
        ),
        Operation(
            "viewer-unseen",
            "GET",
            "/viewer/unseen",
            "What of the studies the viewer will not show",
            {"200": gives("As in the answer to a launch", schema=_WARNINGS)} | pages(404, 413, 502),
            [in_query("StudyInstanceUIDs", required=True, text="commas between several")],
            session="viewer",
        ),
        *_shared(to_images),
        Operation(
            "viewer-files",
            "GET",
            "/{path}",
            "The viewer, and OHIF's files",
            {"200": gives("A page or a file of OHIF", "*/*"), "303": to_images, "304": gives("The browser has it")}
            | pages(404, 502),
            [in_path("path")],
            route="/{path:path}",
            session="viewer",
        ),
    ]
    return Description("viewer", "OHIF, and the ways into it.", operations)


def _shared(to_images: Json) -> list[Operation]:
    return [
        Operation(
            "viewer-share",
            "GET",
            "/viewer/share",
            "Where a shared link leads: a page that hands its secret in",
            {"200": gives("The page", "text/html")},
            open=True,
        ),
        Operation(
            "viewer-share-open",
            "POST",
            "/viewer/share",
            "Open a shared link",
            {"303": to_images} | pages(404, 410, 413, 502),
            body={"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _FORM}}},
            open=True,
        ),
    ]
