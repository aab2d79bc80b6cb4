"""The one model of every setting, and the only reader of the environment and of settings files."""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from interop.access.endpoints import parse_prefix
from interop.access.origins import check_place, frames_need_https, parse_origin
from interop.errors import InteropError

PREFIX = "INTEROP_"
CONFIG_VARIABLE = "INTEROP_CONFIG"
CORPUS_VARIABLE = "INTEROP_CORPUS"  # where tests find real-world messages; no setting of the server


class SettingsError(InteropError):
    """The settings cannot be read."""


class _TomlSource(PydanticBaseSettingsSource):
    """The TOML file that INTEROP_CONFIG names; its keys are the settings' names in lower case, without the prefix."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # whole-file source: __call__ answers for all fields

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            return {}
        try:
            with open(path, "rb") as file:
                return tomllib.load(file)
        except OSError as error:
            raise SettingsError(f"{CONFIG_VARIABLE}: {path}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"{CONFIG_VARIABLE}: {path} is not TOML: {error}") from error


class _UnknownSource(PydanticBaseSettingsSource):
    """INTEROP_ variables that are no setting. A misspelt name that is passed over would leave a default in force."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # no field of its own: __call__ answers with what no field is

    def __call__(self) -> dict[str, Any]:
        known = {PREFIX + name.upper() for name in self.settings_cls.model_fields} | {CONFIG_VARIABLE, CORPUS_VARIABLE}
        names = [name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known]
        return {name[len(PREFIX) :].lower(): os.environ[name] for name in names}


class Settings(BaseSettings):
    """Every value has a default that serves one machine; the environment wins over the TOML file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(Path("data"), description="Where the database, keys, worklist and private Orthanc live.")
    database_url: str = Field(
        "", description="SQLite in the data directory unless set; `postgresql+psycopg://user@host/name`."
    )
    database_password_file: Path | None = Field(None, description="File with the database password, laid into the URL.")
    http_host: str = Field("127.0.0.1", description="Address the HTTP server binds to.")
    http_port: int = Field(8000, ge=0, le=65535, description="Port of FHIR, DICOMweb, viewer and start page.")
    public_url: str = Field(
        "",
        description="How clients reach the HTTP server; http://host:port unless set. May have a path "
        "(`https://host/imaging`), which a proxy takes off or leaves on what it passes here.",
    )
    frame_ancestors: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins (`https://emr.example.org`), comma-separated, whose pages may show the viewer in a frame; "
        "empty: none. Clients then have to reach this server by https, or on their own machine.",
    )
    allow_remote: bool = Field(
        False,
        description="Says that binding beyond loopback is meant: bearer tokens guard HTTP, `mllp_peers` guards "
        "MLLP, the list of modalities DICOM.",
    )
    mllp_host: str = Field("127.0.0.1", description="Address the MLLP listener binds to.")
    mllp_port: int = Field(2575, ge=0, le=65535, description="Port of the MLLP listener.")
    mllp_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Who may send HL7, comma-separated: `who[=MSH-3[|MSH-4]]`, where who is `address[/bits]`, over TLS "
        "also `cn:NAME` (a name in the client's certificate) or `sha256:HEX` (its fingerprint), or some joined by `+`; "
        "empty: any local sender.",
    )
    mllp_plain: bool = Field(True, description="Whether `mllp_port` is listened on, which is without TLS.")
    mllp_tls_port: int = Field(12575, ge=0, le=65535, description="Port of MLLP over TLS, once it has a certificate.")
    mllp_tls_cert: Path | None = Field(
        None, description="PEM certificate (and chain) of the MLLP listener: it then listens on `mllp_tls_port` too."
    )
    mllp_tls_key: Path | None = Field(None, description="Its key in PEM, unless that is in the same file.")
    mllp_tls_client_ca: Path | None = Field(
        None, description="PEM authorities that sign the senders' certificates; one is then required of every sender."
    )
    mllp_max_bytes: int = Field(50_000_000, ge=1024, description="Largest HL7 message accepted, in bytes.")
    mllp_release: int = Field(1, ge=1, le=2, description="MLLP release of `mllp_port`; 2: commit blocks (ACK, NAK).")
    mllp_tls_release: int | None = Field(None, ge=1, le=2, description="That of `mllp_tls_port`, if it is another.")
    mllp_batch_answer: str = Field(
        "each",
        pattern="^(each|batch)$",
        description="How an HL7 batch (FHS, BHS) is answered: every message by itself, or all of them in a batch.",
    )
    dimse: bool = Field(
        False, description="Whether modalities may ask this server itself for the worklist, and tell it what they do."
    )
    dimse_host: str = Field("127.0.0.1", description="Address that the worklist and MPPS provider binds to.")
    dimse_port: int = Field(4243, ge=0, le=65535, description="Port of the worklist and MPPS provider.")
    dimse_aet: str = Field(
        "INTEROP", pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$", description="AE title of the worklist and MPPS provider."
    )
    dimse_fold_accents: bool = Field(
        True, description="Whether names in worklist queries match without their accents, as they do without case."
    )
    message_days: int = Field(
        0, ge=0, le=36500, description="Days that settled HL7 messages are kept; 0: for ever. Owed and dead ones stay."
    )
    fhir_max_bytes: int = Field(20_000_000, ge=1024, description="Largest FHIR body accepted, in bytes.")
    fhir_delete_multiple: bool = Field(
        False, description="Whether a FHIR conditional delete may end several resources (up to 100), not one only."
    )
    stow_max_bytes: int = Field(1_000_000_000, ge=1024, description="Largest STOW-RS body in bytes; a file holds it.")
    metadata_cache_bytes: int = Field(
        64_000_000,
        ge=0,
        description="Memory for series metadata of the archive, compressed; an eighth more for thumbnails; 0: none.",
    )
    read_ahead_series: int = Field(
        20, ge=0, description="Series of a complete study whose metadata and thumbnail are read ahead; 0: none."
    )
    share_max_minutes: int = Field(
        43_200,
        ge=0,
        le=527_040,
        description="Longest that a shared link to studies lasts, in minutes; 0: none is made.",
    )
    subscription_endpoints: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Where notifications may go, comma-separated: `https://host[:port]/path[=address[/bits][|…]]`; the "
        "addresses say where a name inside the house leads, without them it has to be public. Empty: nowhere.",
    )
    subscription_key_file: Path | None = Field(
        None, description="Secret that signs notifications; `subscription.key` in the data directory unless set."
    )
    orthanc_url: str = Field(
        "", description="Orthanc's REST and DICOMweb address; this machine at `orthanc_http_port` unless set."
    )
    orthanc_username: str = Field("interop", description="User for Orthanc.")
    orthanc_password: SecretStr | None = Field(None, description="Password for Orthanc; `up` generates its own.")
    orthanc_password_file: Path | None = Field(None, description="File with its password.")
    orthanc_storage: Path | None = Field(None, description="Its files, to send studies and name images; `up` knows it.")
    orthanc_http_port: int = Field(8042, ge=0, le=65535, description="HTTP port of the private Orthanc of `up`.")
    orthanc_dicom_port: int = Field(4242, ge=0, le=65535, description="DICOM port of the private Orthanc of `up`.")
    orthanc_aet: str = Field(
        "ORTHANC", pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$", description="AE title of the private Orthanc."
    )
    orthanc_config: Path | None = Field(None, description="JSON laid over the generated configuration of Orthanc.")
    pacs: Path | None = Field(
        None,
        description="TOML file that names several archives, or one that is no Orthanc "
        "(docs/how-to/several-archives.md); unless set there is one, the Orthanc of the `orthanc_` settings.",
    )
    worklist_driver: str = Field(
        "folder",
        pattern="^(folder|orthanc-rest)$",
        description="How Orthanc learns it: `.wl` files in `worklist_dir`, or REST of its worklists plugin (from 0.9).",
    )
    worklist_days: int = Field(
        0, ge=0, le=3650, description="Days after its planned time that an order nobody began is shown; 0: for ever."
    )
    worklist_dir: Path | None = Field(
        None, description="Folder of `.wl` files; `worklist` in the data directory unless set."
    )
    ohif_dir: Path | None = Field(None, description="OHIF's dist folder; `build/ohif/dist` of the checkout unless set.")
    ohif_config: Path | None = Field(
        None,
        description="JavaScript or JSON laid over our configuration of OHIF (docs/how-to/viewer-configuration.md)",
    )
    modalities_file: Path | None = Field(
        None, description="The list of modalities; the shipped orthanc/modalities.toml unless set."
    )
    peers_file: Path | None = Field(
        None, description="The receivers of messages; the shipped mappings/peers.toml unless set."
    )
    archive_reports: bool = Field(
        False, description="Whether the PDF of a final report is stored in its study in the archive, beside the images."
    )
    time_zone: str = Field("UTC", description="Zone of DICOM and HL7 times that state none.")
    match_hours_before: int = Field(
        4, ge=0, le=168, description="Hours before its scheduled start that images may be an order's by time alone."
    )
    match_hours_after: int = Field(
        24, ge=0, le=168, description="Hours after its scheduled start that images may be an order's by time alone."
    )
    facility: str = Field("IMG", pattern=r"^[A-Z0-9]{1,4}$", description="Short name in accession numbers and MSH.")

    @field_validator("mllp_peers", "subscription_endpoints", "frame_ancestors", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("subscription_endpoints")
    @classmethod
    def _endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                parse_prefix(text)
            except ValueError as error:
                raise ValueError(f"{text!r}: {error}") from error
        return value

    @field_validator("frame_ancestors")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for text in value:
            try:
                found.append(parse_origin(text))
            except ValueError as error:
                raise ValueError(f"{text!r}: {error}") from error
        return tuple(dict.fromkeys(found))

    @model_validator(mode="after")
    def _listens(self) -> Self:
        if self.mllp_tls_cert is None and (self.mllp_tls_key or self.mllp_tls_client_ca):
            raise ValueError("mllp_tls_key and mllp_tls_client_ca are of no use without mllp_tls_cert")
        if self.mllp_tls_cert is None and not self.mllp_plain:
            raise ValueError("mllp_plain=false leaves no MLLP listener without mllp_tls_cert")
        if self.frame_ancestors and frames_need_https(self.base_url):
            raise ValueError(
                f"frame_ancestors needs a public_url with https: in frames browsers keep no session at {self.base_url}"
            )
        return self

    @field_validator("public_url")
    @classmethod
    def _placed(cls, value: str) -> str:
        check_place(value)
        return value

    @field_validator("orthanc_url", "public_url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
            raise ValueError(f"{value!r} is not the address of a server, e.g. http://127.0.0.1:8042")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone, e.g. Asia/Nicosia") from error
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _UnknownSource(settings_cls), _TomlSource(settings_cls)

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Settings:
        """The settings that a child process with exactly this environment would read."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(variables)
        try:
            return cls()
        finally:
            os.environ.clear()
            os.environ.update(before)

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def database(self) -> str:
        """The database URL with its default and the password from its file filled in."""
        url = self.database_url or f"sqlite:///{self.data_dir.resolve() / 'interop.db'}"
        if self.database_password_file is not None:
            password = self.database_password_file.read_text().strip()
            scheme, _, rest = url.partition("://")
            user, at, host = rest.partition("@")
            if not at or ":" in user:
                text = "INTEROP_DATABASE_PASSWORD_FILE needs an INTEROP_DATABASE_URL with a user and without a password"
                raise SettingsError(text)
            url = f"{scheme}://{user}:{quote(password, safe='')}@{host}"
        return url

    @property
    def worklist(self) -> Path:
        """The worklist folder."""
        return self.worklist_dir or self.data_dir / "worklist"

    @property
    def base_url(self) -> str:
        """The address that clients see, without a trailing slash."""
        host = f"[{self.http_host}]" if ":" in self.http_host else self.http_host
        return (self.public_url or f"http://{host}:{self.http_port}").rstrip("/")

    @property
    def base_path(self) -> str:
        """The path of that address, empty for the root of its site."""
        return urlsplit(self.base_url).path

    @property
    def orthanc_secret(self) -> str | None:
        """Orthanc's password from the setting or its file; None when neither is set."""
        if self.orthanc_password_file is not None:
            return self.orthanc_password_file.read_text().strip()
        return self.orthanc_password.get_secret_value() if self.orthanc_password else None

    def remote_bindings(self) -> list[str]:
        """The settings whose address is reachable from other machines."""
        named = {"INTEROP_HTTP_HOST": self.http_host, "INTEROP_MLLP_HOST": self.mllp_host}
        if self.dimse:
            named["INTEROP_DIMSE_HOST"] = self.dimse_host
        return [name for name, host in named.items() if not _loopback(host)]

    def binding_refusals(self) -> dict[str, str]:
        """By setting, why an address beyond loopback is not to be used as the settings stand (fail closed)."""
        remote, found = self.remote_bindings(), {}
        reachable = "is reachable from other machines: set INTEROP_ALLOW_REMOTE=true"
        if "INTEROP_HTTP_HOST" in remote and not self.allow_remote:
            found["INTEROP_HTTP_HOST"] = (
                f"INTEROP_HTTP_HOST={self.http_host} {reachable} to say that it is meant, and INTEROP_PUBLIC_URL to "
                "the https address that clients use"
            )
        if "INTEROP_MLLP_HOST" in remote and not (self.allow_remote and self.mllp_peers):
            found["INTEROP_MLLP_HOST"] = (
                f"INTEROP_MLLP_HOST={self.mllp_host} {reachable} and name the senders in INTEROP_MLLP_PEERS"
            )
        if not _loopback(self.dimse_host) and not (self.allow_remote and self.modalities_file):
            found["INTEROP_DIMSE_HOST"] = (
                f"INTEROP_DIMSE_HOST={self.dimse_host} {reachable} and name the modalities in INTEROP_MODALITIES_FILE"
            )
        return found


def named_secret(name: str) -> str | None:
    """The environment variable that a file of settings names for a secret; None where it is not set."""
    return os.environ.get(name) or None


def faults(error: ValidationError) -> list[str]:
    """What is wrong with the settings, a sentence each, without their values: one may be a password."""
    return [_fault(line["type"], [str(part) for part in line["loc"]], line["msg"]) for line in error.errors()]


def _fault(kind: str, place: list[str], text: str) -> str:
    if not place:  # settings that do not go together, which the text names
        return text.removeprefix("Value error, ")
    name = ".".join(place)
    variable = PREFIX + name.upper()
    from_environment = any(each.upper() == variable for each in os.environ)
    shown = variable if from_environment else f"{name} in {os.environ.get(CONFIG_VARIABLE, CONFIG_VARIABLE)}"
    if kind != "extra_forbidden":
        return f"{shown}: {text.removeprefix('Value error, ')}"
    near = difflib.get_close_matches(name.lower(), Settings.model_fields, n=1, cutoff=0.7)
    meant = "" if not near else PREFIX + near[0].upper() if from_environment else near[0]
    return f"{shown}: there is no such setting" + (
        f"; is {meant} meant?" if meant else "; see docs/reference/settings.md"
    )


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a child, with these INTEROP_ variables in place of any that are set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, **settings}


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
