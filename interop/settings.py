"""The one model of every setting, and the only reader of the environment and of settings files."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

CONFIG_VARIABLE = "INTEROP_CONFIG"


class _TomlSource(PydanticBaseSettingsSource):
    """The TOML file that INTEROP_CONFIG names; its keys are the settings' names in lower case, without the prefix."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # whole-file source: __call__ answers for all fields

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            return {}
        with open(path, "rb") as file:
            return tomllib.load(file)


class Settings(BaseSettings):
    """Every value has a default that serves one machine; the environment wins over the TOML file."""

    model_config = SettingsConfigDict(env_prefix="INTEROP_", extra="forbid", frozen=True)

    data_dir: Path = Field(Path("data"), description="Where the database, keys, worklist and private Orthanc live.")
    database_url: str = Field(
        "", description="SQLite in the data directory unless set; `postgresql+psycopg://user@host/name`."
    )
    database_password_file: Path | None = Field(None, description="File with the database password, laid into the URL.")
    http_host: str = Field("127.0.0.1", description="Address the HTTP server binds to.")
    http_port: int = Field(8000, ge=0, le=65535, description="Port of FHIR, DICOMweb, viewer and start page.")
    public_url: str = Field("", description="How clients reach the HTTP server; http://host:port unless set.")
    allow_remote: bool = Field(
        False,
        description="Says that binding beyond loopback is meant: bearer tokens guard HTTP, `mllp_peers` guards MLLP.",
    )
    mllp_host: str = Field("127.0.0.1", description="Address the MLLP listener binds to.")
    mllp_port: int = Field(2575, ge=0, le=65535, description="Port of the MLLP listener.")
    mllp_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Who may send HL7: `address[/bits]` or `address=MSH-3`, comma-separated; empty: any local sender.",
    )
    mllp_max_bytes: int = Field(50_000_000, ge=1024, description="Largest HL7 message accepted, in bytes.")
    fhir_max_bytes: int = Field(20_000_000, ge=1024, description="Largest FHIR body accepted, in bytes.")
    orthanc_url: str = Field("http://127.0.0.1:8042", description="Orthanc's REST and DICOMweb address.")
    orthanc_username: str = Field("interop", description="User for Orthanc.")
    orthanc_password: SecretStr | None = Field(None, description="Password for Orthanc; `up` generates its own.")
    orthanc_password_file: Path | None = Field(None, description="File with the password for Orthanc.")
    orthanc_http_port: int = Field(8042, ge=0, le=65535, description="HTTP port of the private Orthanc of `up`.")
    orthanc_dicom_port: int = Field(4242, ge=0, le=65535, description="DICOM port of the private Orthanc of `up`.")
    orthanc_aet: str = Field(
        "ORTHANC", pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$", description="AE title of the private Orthanc."
    )
    orthanc_config: Path | None = Field(None, description="JSON laid over the generated configuration of Orthanc.")
    worklist_dir: Path | None = Field(
        None, description="Folder of `.wl` files; `worklist` in the data directory unless set."
    )
    ohif_dir: Path | None = Field(None, description="OHIF's dist folder; `build/ohif/dist` of the checkout unless set.")
    modalities_file: Path | None = Field(
        None, description="The list of modalities; the shipped orthanc/modalities.toml unless set."
    )
    peers_file: Path | None = Field(
        None, description="The receivers of messages; the shipped mappings/peers.toml unless set."
    )
    time_zone: str = Field("UTC", description="Zone of DICOM and HL7 times that state none.")
    facility: str = Field("IMG", pattern=r"^[A-Z0-9]{1,4}$", description="Short name in accession numbers and MSH.")

    @field_validator("mllp_peers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
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
        return init_settings, env_settings, _TomlSource(settings_cls)

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
            scheme, rest = url.split("://", 1)
            user, host = rest.split("@", 1)
            url = f"{scheme}://{user}:{password}@{host}"
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
    def orthanc_secret(self) -> str | None:
        """Orthanc's password from the setting or its file; None when neither is set."""
        if self.orthanc_password_file is not None:
            return self.orthanc_password_file.read_text().strip()
        return self.orthanc_password.get_secret_value() if self.orthanc_password else None

    def remote_bindings(self) -> list[str]:
        """The settings whose address is reachable from other machines."""
        named = {"INTEROP_HTTP_HOST": self.http_host, "INTEROP_MLLP_HOST": self.mllp_host}
        return [name for name, host in named.items() if not _loopback(host)]


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment for a child, with these INTEROP_ variables in place of any that are set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTEROP_")}
    return {**kept, **settings}


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
