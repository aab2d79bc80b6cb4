"""What this door says of itself in the OpenAPI document: the grammar of ``paths``, resource by resource."""

from __future__ import annotations

from interop.dicomweb.paths import ROOT
from interop.dicomweb.wado_uri import PATH as WADO_URI
from interop.openapi import Description, Json, Operation, gives, in_path, in_query, problems, ref

DOOR = f"{ROOT}/{{rest:path}}"
_UID: Json = {"type": "string", "pattern": r"^[0-9]+(?:\.[0-9]+)*$", "maxLength": 64}
_ROWS: Json = {"type": "array", "items": {"type": "object"}}
_DICOM = 'multipart/related; type="application/dicom"'
_OCTETS = 'multipart/related; type="application/octet-stream"'
_STUDY, _SERIES, _INSTANCE = "/studies/{study}", "/series/{series}", "/instances/{instance}"
_PAGE = [
    in_query("limit", {"type": "integer", "minimum": 0}),
    in_query("offset", {"type": "integer", "minimum": 0}),
    in_query("includefield"),
    in_query("fuzzymatching", {"enum": ["true", "false"]}),
]
_RENDERING = [
    in_query("viewport", {"type": "string", "pattern": "^[1-9][0-9]{0,3},[1-9][0-9]{0,3}$"}),
    in_query("window", {"type": "string", "pattern": r"^-?[0-9]{1,12},[1-9][0-9]{0,11}(?:,linear(?:-exact)?)?$"}),
    in_query("quality", {"type": "string", "pattern": "^(?:[1-9][0-9]?|100)$"}),
]
_KEYS = ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "ModalitiesInStudy", "StudyInstanceUID")
_LEVELS = (("study", _STUDY), ("series", _STUDY + _SERIES), ("instance", _STUDY + _SERIES + _INSTANCE))


def described() -> Description:
    """Every operation of the door."""
    operations = [*_searches(), *_retrievals(), *_frames(), *_bulk(), *_storing(), _wado_uri(), _report()]
    text = "DICOMweb (PS3.18): QIDO-RS, WADO-RS, WADO-URI, STOW-RS."
    return Description("dicomweb", text, operations, {"schemas": {"DicomJson": _ROWS}})


def _one(name: str, path: str, summary: str, answer: Json, parameters: list[Json]) -> Operation:
    placed = [in_path(level, _UID) for level in ("study", "series", "instance") if f"{{{level}}}" in path]
    answers = {"200": answer} | problems(404, 406, 502)
    if path.startswith(_STUDY):  # what Orthanc, or our memory of it, knows to be as the client has it
        answers |= {"206": answer, "304": gives("The client has it")}
    given = [*placed, *parameters]
    return Operation(name, "GET", ROOT + path, summary, answers, given, route=DOOR, session="viewer")


def _rows(text: str) -> Json:
    return gives(text, "application/dicom+json", schema=ref("schemas", "DicomJson"))


def _searches() -> list[Operation]:
    asked = [*(in_query(key) for key in _KEYS), *_PAGE]
    root = [
        _one(f"search-{what}", f"/{what}", f"QIDO-RS: {what}", _rows("What was found"), asked)
        for what in ("studies", "series", "instances")
    ]
    below = [("study", _STUDY, "series"), ("study", _STUDY, "instances"), ("series", _STUDY + _SERIES, "instances")]
    found = _rows("What was found")
    found["content"] |= {'multipart/related; type="application/dicom+xml"': {}}
    return root + [
        _one(f"search-{what}-of-{level}", f"{path}/{what}", f"QIDO-RS: {what} of a {level}", found, _PAGE)
        for level, path, what in below
    ]


def _retrievals() -> list[Operation]:
    pictures = gives("A picture", "image/jpeg", "image/png")
    found = []
    for level, path in _LEVELS:
        files = gives("Instances", _DICOM, *(("application/dicom",) if level == "instance" else ()))
        about = _rows("Their metadata")
        about["content"] |= {'multipart/related; type="application/dicom+xml"': {}}
        found.append(_one(f"retrieve-{level}", path, f"WADO-RS: {level}", files, []))
        found.append(_one(f"metadata-{level}", f"{path}/metadata", f"WADO-RS: metadata of a {level}", about, []))
        for what in ("rendered", "thumbnail"):
            found.append(_one(f"{what}-{level}", f"{path}/{what}", f"WADO-RS: {what}", pictures, _RENDERING))
    return found


def _frames() -> list[Operation]:
    path = f"{_LEVELS[-1][1]}/frames/{{frames}}"
    which = in_path("frames", {"type": "string", "pattern": "^[0-9]{1,6}(?:,[0-9]{1,6}){0,63}$"})
    octets = gives("Frames", _OCTETS, "application/octet-stream")
    pictures = gives("A picture", "image/jpeg", "image/png")
    return [
        _one("frames", path, "WADO-RS: frames", octets, [which]),
        _one("rendered-frames", f"{path}/rendered", "WADO-RS: a frame as a picture", pictures, [which, *_RENDERING]),
        _one("thumbnail-frames", f"{path}/thumbnail", "WADO-RS: a frame, small", pictures, [which, *_RENDERING]),
    ]


def _bulk() -> list[Operation]:
    """An element's tag; where it is in an item, the sequence's tag, the item's number and so on before it."""
    tag = in_path("tag", {"type": "string", "pattern": "^[0-9A-Fa-f]{8}$"})
    data = gives("The value", _OCTETS, "application/octet-stream", "application/pdf")
    return [_one("bulk-data", f"{_LEVELS[-1][1]}/bulk/{{tag}}", "WADO-RS: bulk data", data, [tag])]


def _storing() -> list[Operation]:
    body: Json = {"required": True, "content": {"multipart/related": {"schema": {"type": "string"}}}}
    stored = {
        "200": gives("All are in the archive", "application/dicom+json", schema={"type": "object"}),
        "202": gives("Those in FailedSOPSequence are not", "application/dicom+json", schema={"type": "object"}),
    }
    refused = problems(406, 408, 409, 413, 415, 502)
    refused["409"] = gives(
        "None is: of several studies or patients, or the archive has them otherwise",
        "application/problem+json",
        "application/dicom+json",
        schema={"type": "object"},
    )
    return [
        Operation(
            f"store-{name}",
            "POST",
            f"{ROOT}/studies{end}",
            "STOW-RS",
            stored | refused,
            [in_path("study", _UID)] if end else [],
            body,
            DOOR,
            session="viewer",
        )
        for name, end in (("instances", ""), ("instances-of-study", "/{study}"))
    ]


def _wado_uri() -> Operation:
    named = [in_query(name, _UID, required=True) for name in ("studyUID", "seriesUID", "objectUID")]
    more = ("contentType", "transferSyntax", "frameNumber", "rows", "columns", "windowCenter", "windowWidth")
    given = [in_query("requestType", {"const": "WADO"}, required=True), *named, *map(in_query, (*more, "imageQuality"))]
    answer = gives("The instance, or a picture of it", "image/jpeg", "image/png", "application/dicom")
    return _one("wado-uri", WADO_URI.removeprefix(ROOT), "WADO-URI", answer, given)


def _report() -> Operation:
    answer = gives(
        "How what is kept of the archive fares",
        schema={"type": "object", "required": ["series_metadata", "thumbnails"]},
    )
    return Operation(
        "dicomweb-report",
        "GET",
        "/api/v1/dicomweb",
        "How often series metadata came from memory",
        {"200": answer} | problems(),
    )
