"""``interop doctor --pacs`` before a real Orthanc: as one, and as DICOMweb alone behind TLS and a bearer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from interop.cli import app
from interop.cli.archive_doctor import examine_archive
from interop.dicom.test_object import PATIENT_ID
from interop.orthanc.child import PrivateOrthanc
from interop.settings import Settings
from interop.testing.ports import free_port
from tests.certificates import Authority
from tests.integration.conftest import make_orthanc
from tests.integration.web.test_two_archives import fill
from tests.tls_front import TlsFront

CT, SR = "1.2.826.0.1.9.69.6", "1.2.826.0.1.9.69.7"


@dataclass
class Ward:
    """An archive, and what stands before it."""

    folder: Path
    orthanc: PrivateOrthanc
    front: TlsFront
    secrets: dict[str, Path] = field(default_factory=dict)

    def secret(self, text: str) -> Path:
        path = self.folder / f"secret-{len(list(self.folder.glob('secret-*')))}"
        path.write_text(f"{text}\n")
        return path

    def settings(self, **rows: object) -> Settings:
        """With one entry: dicomweb behind the front unless the rows say otherwise."""
        token = {} if {"password_file", "token_env", "token_file"} & set(rows) else {"token_env": "WARD_TOKEN"}
        entry = {"name": "ward", "driver": "dicomweb", "url": self.front.url, "ca_file": self.front.ca, **token, **rows}
        lines = [f"{name} = {shown(value)}" for name, value in entry.items() if value is not None]
        file = self.folder / "archives.toml"
        file.write_text("\n".join(["[[archive]]", *lines]))
        return Settings(pacs=file, data_dir=self.folder)

    def as_orthanc(self, **rows: object) -> Settings:
        credentials = {"username": self.orthanc.credentials.username}
        password = self.secret(self.orthanc.credentials.password)
        own = {"driver": "orthanc", "url": self.orthanc.url, "ca_file": None, "password_file": password}
        return self.settings(**{**own, **credentials, **rows})

    def studies(self) -> list[str]:
        auth = (self.orthanc.credentials.username, self.orthanc.credentials.password)
        found = httpx.get(f"{self.orthanc.url}/studies?expand", auth=auth, trust_env=False).json()
        return [each["PatientMainDicomTags"]["PatientID"] for each in found]


def shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if not isinstance(value, int) else str(value)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    orthanc = make_orthanc(folder / "orthanc")
    asyncio.run(orthanc.start())
    auth = (orthanc.credentials.username, orthanc.credentials.password)
    front = TlsFront(folder, orthanc.url, auth)
    front.start()
    yield Ward(folder, orthanc, front)
    front.stop()
    asyncio.run(orthanc.stop(grace=0.0))


@pytest.fixture(autouse=True)
def token(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WARD_TOKEN", ward.front.token)
    yield
    ward.front.quirk = lambda target, accept: None


Examined = Callable[..., tuple[int, dict[str, str]]]


@pytest.fixture
def examined(capsys: pytest.CaptureFixture[str]) -> Examined:
    """Exit status, and by subject the level and the rest of the line."""

    def run(settings: Settings, name: str | None = None, *, store: bool = False) -> tuple[int, dict[str, str]]:
        status = asyncio.run(examine_archive(settings, name, store=store))
        lines = capsys.readouterr().out.splitlines()
        return status, {line[9:33].strip(): f"{line[:8].strip()} {line[34:]}" for line in lines}

    return run


def test_an_empty_archive_has_nothing_to_look_at(ward: Ward, examined: Examined) -> None:
    status, found = examined(ward.as_orthanc())
    assert (status, found["studies"]) == (
        0,
        "warning none: nothing more can be looked at  ->  "
        "look again when there is one, or with --store, which stores a test object",
    )


def test_an_orthanc_gets_a_test_object_and_is_rid_of_it(ward: Ward, examined: Examined) -> None:
    status, found = examined(ward.as_orthanc(), "ward", store=True)
    assert status == 0, found
    assert {text.split()[0] for text in found.values()} == {"ok"}
    [stored] = re.findall(r"study ([0-9.]+) of patient INTEROP-DOCTOR", found["STOW-RS"])
    assert stored in found["studies"]
    assert found["test object"] == f"ok study {stored} is deleted again"
    assert ward.studies() == []


def test_the_study_with_images_is_looked_at_where_nothing_is_stored(ward: Ward, examined: Examined) -> None:
    auth = (ward.orthanc.credentials.username, ward.orthanc.credentials.password)
    fill(ward.orthanc.url, auth, "SR", SR, 1)
    fill(ward.orthanc.url, auth, "CT", CT, 2)
    status, found = examined(ward.as_orthanc())
    assert status == 0, found
    assert found["studies"] == f"ok {CT} is looked at"
    for subject in ("limit, offset", "includefield", "fuzzymatching", "ModalitiesInStudy", "metadata", "frames"):
        assert found[subject].startswith("ok"), found
    assert found["series, instances"] == "ok 1 series, 2 in one"
    assert found["rendered"] == "ok 200 image/jpeg"
    assert "test object" not in found
    assert len(ward.studies()) == 2


def test_an_archive_of_dicomweb_alone_keeps_the_test_object_which_is_named(ward: Ward, examined: Examined) -> None:
    before = len(ward.studies())
    status, found = examined(ward.settings(), store=True)
    assert status == 0, found
    assert found["credentials"] == "ok taken: the bearer of WARD_TOKEN"
    [stored] = re.findall(r"study ([0-9.]+) of patient INTEROP-DOCTOR", found["STOW-RS"])
    assert found["test object"].startswith(f"warning study {stored} of patient {PATIENT_ID}")
    assert "delete it there" in found["test object"]
    assert found["escaped characters"].startswith("warning not read")
    assert ward.studies().count(PATIENT_ID) == 1 == len(ward.studies()) - before


def test_habits_that_the_entry_does_not_allow_for_are_named_with_the_setting(ward: Ward, examined: Examined) -> None:
    def quirk(target: str, accept: str) -> int | None:
        fields = [part for part in target.partition("?")[2].split("&") if part.startswith("includefield=")]
        if "fuzzymatching" in target or any(part != "includefield=all" for part in fields):
            return 400
        return 406 if "transfer-syntax=*" in accept else 500 if target.endswith("/rendered") else None

    ward.front.quirk = quirk
    status, found = examined(ward.settings(thumbnails=True))
    assert status == 1
    wanted = {
        "includefield": 'include_field = "all"',
        "fuzzymatching": "fuzzy_matching = false",
        "instance": "any_syntax = false",
        "frames": "any_syntax = false",
        "thumbnail": "thumbnails = false",
    }
    for subject, setting in wanted.items():
        assert found[subject].startswith("fault"), found
        assert f"set {setting}" in found[subject]
    assert found["rendered"].startswith("warning answers 500")
    status, found = examined(ward.settings(include_field="all", fuzzy_matching=False, any_syntax=False))
    assert status == 0, found


def test_an_archive_that_breaks_off_or_pages_wrongly_is_told_of(ward: Ward, examined: Examined) -> None:
    ward.front.quirk = lambda target, accept: 500 if "/series" in target else 400 if "StudyDate=" in target else None
    status, found = examined(ward.settings())
    assert (status, found["series"].split()[0], found["poll_key"].split()[0]) == (1, "fault", "fault")
    ward.front.quirk = lambda target, accept: 507 if re.fullmatch(r"/dicom-web/studies/[0-9.]+", target) else None
    status, found = examined(ward.settings(), store=True)
    assert (status, "fault answers 507" in found["STOW-RS"], "test object" in found) == (1, True, False)


@pytest.mark.parametrize(
    ("rows", "subject", "seen", "remedy"),
    [
        ({"token_file": "wrong"}, "credentials", "refused (401), with the bearer of", "renew the bearer"),
        ({"root": "/nothing"}, "QIDO-RS", "404: none at /nothing/studies", "correct root (or qido)"),
        ({"root": "/instances"}, "QIDO-RS", "/instances/studies", "correct root (or qido)"),
        ({"ca_file": "other"}, "reachable", "its certificate is not trusted", "set ca_file"),
        ({"url": "dead"}, "reachable", "nothing listens there", "correct the port"),
        ({"url": "plain"}, "reachable", "no TLS there", "is it http"),
        ({"url": "nowhere"}, "reachable", "nowhere.invalid", "correct the host"),
    ],
)
def test_what_keeps_an_archive_from_being_asked(
    ward: Ward, examined: Examined, tmp_path: Path, rows: dict[str, object], subject: str, seen: str, remedy: str
) -> None:
    named: dict[object, object] = {
        "wrong": ward.secret("wrong"),
        "other": Authority(tmp_path, "Other CA").ca,
        "dead": f"https://localhost:{free_port()}",
        "plain": ward.orthanc.url.replace("http://", "https://"),
        "nowhere": "https://nowhere.invalid",
    }
    status, found = examined(ward.settings(**{name: named.get(value, value) for name, value in rows.items()}))
    assert status == 1
    assert list(found) == ["archive ward", subject]
    assert found[subject].startswith("fault")
    assert seen in found[subject]
    assert remedy in found[subject]


@pytest.mark.parametrize("driver", ["orthanc", "dicomweb"])
def test_a_wrong_password_and_a_dead_port(ward: Ward, examined: Examined, driver: str) -> None:
    status, found = examined(ward.as_orthanc(driver=driver, password_file=ward.secret("wrong")))
    assert (status, list(found)) == (1, ["archive ward", "credentials"])
    assert found["credentials"].startswith("fault refused (401), with user interop and the password of")
    status, found = examined(ward.as_orthanc(driver=driver, url=f"http://127.0.0.1:{free_port()}"))
    assert (status, found["reachable"].split(":")[0]) == (1, "fault http")


def test_the_command_names_the_archives_that_there_are(ward: Ward) -> None:
    ward.settings()
    environment = {"INTEROP_PACS": str(ward.folder / "archives.toml"), "INTEROP_DATA_DIR": str(ward.folder)}
    asked = CliRunner().invoke(app, ["doctor", "--pacs", "other"], env=environment)
    assert "there is no archive other: ward" in str(asked.exception)
    alone = CliRunner().invoke(app, ["doctor", "--store"], env=environment)
    assert (alone.exit_code, "go with --pacs" in alone.output) == (2, True)
    whole = CliRunner().invoke(app, ["doctor", "--pacs"], env=environment)
    assert (whole.exit_code, "archive ward" in whole.output) == (0, True), whole.output
