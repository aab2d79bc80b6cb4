"""The file of archives (INTEROP_PACS): which there are, and how each is to be spoken to. Secrets never stand in it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from interop.errors import InvalidContentError

_DICOMWEB_ONLY = frozenset(
    {
        "ae",
        "root",
        "qido",
        "wado",
        "stow",
        "include_field",
        "fuzzy_matching",
        "any_syntax",
        "thumbnails",
        "page",
        "poll_seconds",
        "poll_days",
        "poll_key",
        "compare_hours",
        "token_file",
        "token_env",
    }
)


class ArchiveEntry(BaseModel):
    """One archive. Without an address it is the Orthanc of the INTEROP_ORTHANC_ settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    driver: Literal["orthanc", "dicomweb"]
    default: bool = False  # where new studies are stored
    url: str = ""
    username: str = ""
    password_file: Path | None = None
    password_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    token_file: Path | None = None  # a bearer token; read again for each request
    token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    ca_file: Path | None = None  # authorities that sign its certificate
    ae: str = ""  # stands for {ae} in the roots
    root: str = "/dicom-web"
    qido: str = ""  # the root unless set
    wado: str = ""
    stow: str = ""
    include_field: Literal["names", "all", "none"] = "names"
    fuzzy_matching: bool = True
    any_syntax: bool = True
    thumbnails: bool = False
    page: int = Field(100, ge=1, le=1000)
    poll_seconds: float = Field(30.0, ge=1.0, le=3600.0)
    poll_days: int = Field(2, ge=0, le=3650)
    poll_key: str = Field("StudyDate", pattern=r"^[A-Za-z]{4,64}$")
    compare_hours: float = Field(24.0, ge=0.1, le=720.0)

    @field_validator("url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username):
            raise ValueError("has to be an http(s) address without user and password")
        return value

    @field_validator("password_env", "token_env")
    @classmethod
    def _foreign(cls, value: str | None) -> str | None:
        if value is not None and value.upper().startswith("INTEROP_"):
            raise ValueError("INTEROP_ variables are settings of the server: name another one")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = self.model_fields_set
        if self.driver == "dicomweb":
            if not self.url:
                raise ValueError("a dicomweb archive needs its url")
            if any("{ae}" in path for path in self.roots) and not self.ae:
                raise ValueError("a root names {ae}, and ae is not set")
        elif wrong := given & _DICOMWEB_ONLY:
            raise ValueError(f"{', '.join(sorted(wrong))}: for the driver dicomweb only")
        if not self.url and (given & {"username", "password_file", "password_env", "ca_file"}):
            raise ValueError("without a url it is the Orthanc of the INTEROP_ORTHANC_ settings, credentials included")
        if sum(given >= {each} for each in ("password_file", "password_env", "token_file", "token_env")) > 1:
            raise ValueError("name one of password_file, password_env, token_file and token_env")
        return self

    @property
    def roots(self) -> tuple[str, str, str]:
        """The paths of QIDO-RS, WADO-RS and STOW-RS, as they are set."""
        return self.qido or self.root, self.wado or self.root, self.stow or self.root

    def paths(self) -> tuple[str, str, str]:
        """The same, with the AE title put in and no slash at the end."""
        qido, wado, stow = (path.replace("{ae}", self.ae).rstrip("/") for path in self.roots)
        return qido, wado, stow


def read_archives(text: str, name: str) -> tuple[ArchiveEntry, ...]:
    """The archives, the default one first; InvalidContentError says what is wrong with which."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidContentError(f"{name} is not TOML: {error}") from error
    rows = found.get("archive")
    if found.keys() - {"archive"} or not isinstance(rows, list) or not rows:
        raise InvalidContentError(f"{name}: has to hold [[archive]] tables and nothing else")
    entries = [_entry(row, number, name) for number, row in enumerate(rows, 1)]
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise InvalidContentError(f"{name}: two archives have the same name")
    if sum(entry.default for entry in entries) > 1:
        raise InvalidContentError(f"{name}: two archives are the default")
    if sum(not entry.url for entry in entries) > 1:
        raise InvalidContentError(f"{name}: only one archive can be the Orthanc of the INTEROP_ORTHANC_ settings")
    return tuple(sorted(entries, key=lambda entry: not entry.default))


def _entry(row: object, number: int, name: str) -> ArchiveEntry:
    try:
        return ArchiveEntry.model_validate(row)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        text = fault["msg"].removeprefix("Value error, ")
        raise InvalidContentError(f"{name}: archive {number}{': ' + place if place else ''}: {text}") from None
