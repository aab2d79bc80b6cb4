"""Orthanc's configuration, generated from the shipped template, the list of modalities and the site's overlay.

The overlay may tune storage, caches, jobs and plugins. What decides who gets in, and what this server relies on, is
refused by name: silently dropping it would leave an operator believing in a setting that is not there.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from interop.errors import InvalidContentError


class Node(Protocol):
    """A DICOM node as the list of modalities has it."""

    @property
    def aet(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def retrieve(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one user that Orthanc knows. Never shown: not by repr, not in a log."""

    username: str
    password: str = field(repr=False)

    @classmethod
    def generated(cls, username: str = "interop") -> Credentials:
        """A new password of 256 bits."""
        return cls(username, secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class PostgresIndex:
    """The database that holds Orthanc's index in the compose set-up."""

    host: str
    database: str
    username: str
    password: str = field(repr=False)
    port: int = 5432


# Compared without regard to case: a key that differs in case only is a mistake in either reading of it.
_REFUSED = {
    name.casefold(): reason
    for reason, names in {
        "it decides who may reach the archive": (
            "RemoteAccessAllowed",
            "AuthenticationEnabled",
            "RegisteredUsers",
            "HttpServerEnabled",
            "HttpBindAddresses",
            "SslEnabled",
            "DicomCheckModalityHost",
            "DicomModalities",
            "DicomModalitiesInDatabase",
            "OrthancPeersInDatabase",
            "DicomServerEnabled",
            "ExecuteLuaEnabled",
            "LuaScripts",
            "LuaHeartBeatPeriod",
            "RestApiWriteToFileSystemEnabled",
            "OrthancExplorerEnabled",
            "DeidentifyLogs",
            "DicomTlsRemoteCertificateRequired",
            "StrictAetComparison",
        ),
        "it is a setting of this server (INTEROP_ORTHANC_…)": ("HttpPort", "DicomPort", "DicomAet"),
        "this server relies on it": (
            "DefaultEncoding",
            "OverwriteInstances",
            "StoreDicom",
            "DicomWeb.Enable",
            "DicomWeb.Root",
            "DicomWeb.EnableWado",
            "Worklists.Enable",
            "Worklists.Database",
            "Worklists.Directory",
            "Worklists.FilterIssuerAet",
            "Worklists.SaveInOrthancDatabase",
            "Worklists.DeleteWorklistsDelay",
            "Worklists.DeleteWorklistsOnStableStudy",
            "Worklists.SetStudyInstanceUidIfMissing",
        ),
    }.items()
    for name in names
}
_REFUSED_PREFIXES = ("DicomAlwaysAllow", "WebDav", "Authorization.")


def read_template(text: str) -> dict[str, Any]:
    """The shipped template; it holds everything that is the same for every site."""
    template = json.loads(text)
    if not isinstance(template, dict):
        raise InvalidContentError("Orthanc's template has to be a JSON object")
    return template


def read_overlay(text: str) -> dict[str, Any]:
    """A site's overlay; InvalidContentError names every key that may not stand in it."""
    try:
        overlay = json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        raise InvalidContentError(f"INTEROP_ORTHANC_CONFIG: not JSON: {error}") from error
    if not isinstance(overlay, dict):
        raise InvalidContentError("INTEROP_ORTHANC_CONFIG: has to be a JSON object")
    refused = [f"{name} ({reason})" for name in _names(overlay) if (reason := _refusal(name))]
    if refused:
        raise InvalidContentError(f"INTEROP_ORTHANC_CONFIG may not set {', '.join(refused)}")
    if "${" in text:
        raise InvalidContentError("INTEROP_ORTHANC_CONFIG may not hold ${…}: Orthanc would put in what is not checked")
    return overlay


def private_configuration(
    template: Mapping[str, Any],
    stations: Sequence[Node],
    *,
    http_port: int,
    dicom_port: int,
    aet: str,
    storage: Path,
    worklist: Path,
    plugins: Sequence[Path],
    credentials: Credentials,
    overlay: Mapping[str, Any] | None = None,
) -> str:
    """The configuration of the private Orthanc, as JSON text."""
    configuration = _common(template, stations, aet=aet, credentials=credentials)
    configuration["HttpPort"] = http_port
    configuration["HttpBindAddresses"] = ["127.0.0.1"]  # later releases heed it; 1.10.1 listens on all addresses
    configuration["DicomPort"] = dicom_port
    configuration["StorageDirectory"] = str(storage)
    configuration["IndexDirectory"] = str(storage)
    configuration["Plugins"] = [str(plugin) for plugin in plugins]
    configuration["Worklists"]["Database"] = str(worklist)
    return _text(_laid_over(configuration, overlay or {}))


def docker_configuration(
    template: Mapping[str, Any],
    stations: Sequence[Node],
    *,
    aet: str,
    credentials: Credentials,
    index: PostgresIndex | None = None,
    worklist: str | None = "/var/lib/interop/worklist",
    storage: str = "/var/lib/orthanc/db",
    overlay: Mapping[str, Any] | None = None,
) -> str:
    """The configuration for the orthancteam image (Orthanc 1.12.11 or later) of the compose file, as JSON text.

    A section enables its plugin there, so Plugins is left alone. The image enables the GDCM plugin and Orthanc Explorer
    2 unless GDCM_PLUGIN_ENABLED and ORTHANC_EXPLORER_2_ENABLED are "false". Its HTTP port is reached by this server's
    container alone: remote access is allowed, with the password, and the port is not published. Without a folder for
    the worklist its items are in Orthanc's database, told by REST; when they go is for this server to say.
    """
    configuration = _common(template, stations, aet=aet, credentials=credentials)
    configuration |= {
        "HttpPort": 8042,
        "DicomPort": 4242,
        "RemoteAccessAllowed": True,
        "StorageDirectory": storage,
        "ExtraMainDicomTags": {"Instance": ["ImageType"]},
        "PostgreSQL": {"EnableIndex": True, "EnableStorage": False, "Lock": True},
    }
    if index is not None:  # else the image's environment names the database
        configuration["PostgreSQL"] |= {
            "Host": index.host,
            "Port": index.port,
            "Database": index.database,
            "Username": index.username,
            "Password": index.password,
            "IndexConnectionsCount": 50,
        }
    place: dict[str, Any] = {"Directory": worklist, "SaveInOrthancDatabase": False}
    if worklist is None:
        place = {"SaveInOrthancDatabase": True, "DeleteWorklistsDelay": 0}
    kept = {"DeleteWorklistsOnStableStudy": False, "SetStudyInstanceUidIfMissing": False}
    configuration["Worklists"] |= place | kept
    text = _text(_laid_over(configuration, overlay or {}))
    if "$" in text:
        raise InvalidContentError("Orthanc's image substitutes $ in its configuration: no value may hold one")
    return text


def write_configuration(path: Path, text: str) -> None:
    """Put the text in place in one step, readable by its owner alone from its first byte on."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.rename(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _common(
    template: Mapping[str, Any], stations: Sequence[Node], *, aet: str, credentials: Credentials
) -> dict[str, Any]:
    configuration = deepcopy(dict(template))
    configuration["DicomAet"] = aet
    configuration["RegisteredUsers"] = {credentials.username: credentials.password}
    configuration["DicomModalities"] = {station.aet: _modality(station) for station in stations}
    return configuration


def _modality(station: Node) -> dict[str, Any]:
    return {
        "AET": station.aet,
        "Host": station.host,
        "Port": station.port,
        "Manufacturer": "Generic",
        "AllowEcho": True,
        "AllowFind": True,
        "AllowFindWorklist": True,
        "AllowStore": True,
        "AllowGet": station.retrieve,
        "AllowMove": station.retrieve,
        "AllowStorageCommitment": True,
        "AllowTranscoding": True,
    }


def _laid_over(configuration: dict[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in overlay.items():
        present = configuration.get(key)
        if isinstance(present, (dict, list)) and type(value) is not type(present):
            raise InvalidContentError(f"INTEROP_ORTHANC_CONFIG: {key} has to be of the kind it is in Orthanc")
        if isinstance(present, dict):
            configuration[key] = _laid_over(present, value)
        elif key == "Plugins" and isinstance(present, list):
            configuration[key] = [*present, *(one for one in value if one not in present)]
        else:
            configuration[key] = deepcopy(value)
    return configuration


def _names(overlay: Mapping[str, Any]) -> Iterator[str]:
    for key, value in overlay.items():
        yield key
        if isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in value)


def _refusal(name: str) -> str | None:
    folded = name.casefold()
    if any(folded.startswith(prefix.casefold()) for prefix in _REFUSED_PREFIXES):
        return "it decides who may reach the archive"
    if folded in ("worklists", "dicomweb") and name not in ("Worklists", "DicomWeb"):
        return "its case differs from Orthanc's own key"
    return _REFUSED.get(folded)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _value in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _text(configuration: Mapping[str, Any]) -> str:
    return json.dumps(configuration, indent=2, ensure_ascii=False) + "\n"
