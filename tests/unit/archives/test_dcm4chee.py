"""A dcm4chee-arc 5, played: its answers are written from the sources of dcm4chee-arc-light (QidoRS, WadoRS, StowRS),
none was recorded from a live archive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from interop.archive_entries import read_archives
from interop.archive_feed.qido_stock import QidoStock
from interop.archive_feed.reconciling import Holdings
from interop.dicomweb_relay import Dialect, PlainArchive, Relay
from interop.errors import InvalidContentError, UnavailableError
from tests.scripted_archive import listening

ROOT = "/dcm4chee-arc/aets/DCM4CHEE/rs"
HERE = (b"Forwarded", b"host=viewer.example:8000;proto=https")
STUDY = "1.2.40.0.13.1.1.1"
URL = f"http://dcm4chee:8080{ROOT}/studies/{STUDY}"
SERIES = f"{URL}/series/1.2.3"


def row(uid: str, instances: int = 2) -> dict[str, Any]:
    return {
        "00080061": {"vr": "CS", "Value": ["CT"]},
        "00081190": {"vr": "UR", "Value": [f"http://dcm4chee:8080{ROOT}/studies/{uid}"]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00201206": {"vr": "IS", "Value": [1]},
        "00201208": {"vr": "IS", "Value": [instances]},
    }


def metadata(number: int) -> dict[str, Any]:
    return {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00080018": {"vr": "UI", "Value": [f"1.2.3.{number}"]},
        "00080020": {"vr": "DA", "Value": ["20260801"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
        "00200013": {"vr": "IS", "Value": [number]},
        "00420011": {"vr": "OB", "BulkDataURI": f"{SERIES}/instances/1.2.3.{number}/bulkdata/00420011"},
        "7FE00010": {"vr": "OW", "BulkDataURI": f"{SERIES}/instances/1.2.3.{number}"},
    }


@dataclass
class Dcm4chee:
    """What it has, and what it was asked."""

    studies: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    serving: list[asyncio.Task[None] | None] = field(default_factory=list)

    def answer(self, target: str) -> tuple[int, Any]:
        path, _, query = target.partition("?")
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if path == f"{ROOT}/studies":
            if "nonsense" in asked.get("includefield", ""):
                return 400, {"errorMessage": "includefield=nonsense"}
            start = int(asked.get("offset", 0))
            found = self.studies[start : start + int(asked.get("limit", 1000))]
            return (200, found) if found else (204, None)
        if path == f"{ROOT}/studies/{STUDY}/metadata":
            return 200, [metadata(1), metadata(2)]
        return 404, {"errorMessage": "not found"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.current_task())
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.asked.append(head.split(" ")[1])
                self.heads.append(head)
                status, said = self.answer(self.asked[-1])
                body = b"" if said is None else orjson.dumps(said)
                kind = "" if said is None else "Content-Type: application/dicom+json\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def archive(peer: Dcm4chee, **dialect: Any) -> AsyncIterator[PlainArchive]:
    async with listening(peer.serve) as port:
        wire = PlainArchive(
            Relay(f"http://127.0.0.1:{port}", bearer=lambda: "t0ken"), Dialect(ROOT, ROOT, ROOT, **dialect)
        )
        yield wire
        await wire.close()
        await asyncio.gather(*filter(None, peer.serving))


async def test_urls_of_its_json_lead_to_this_server() -> None:
    peer = Dcm4chee([row(STUDY)])
    async with archive(peer) as wire:
        found = await wire.get(f"/dicom-web/studies/{STUDY}/metadata".encode(), [HERE])
        said = orjson.loads(await found.body(10**6))
        listed = await wire.get(b"/dicom-web/studies?limit=1", [HERE])
        [shown] = orjson.loads(await listed.body(10**6))
    own = f"https://viewer.example:8000/dicom-web/studies/{STUDY}"
    assert said[0]["7FE00010"]["BulkDataURI"] == f"{own}/series/1.2.3/instances/1.2.3.1"
    assert said[0]["00420011"]["BulkDataURI"] == f"{own}/series/1.2.3/instances/1.2.3.1/bulkdata/00420011"
    assert shown["00081190"]["Value"] == [own]
    assert peer.asked == [f"{ROOT}/studies/{STUDY}/metadata", f"{ROOT}/studies?limit=1"]
    assert all("Authorization: Bearer t0ken" in head and "Forwarded" not in head for head in peer.heads)


async def test_its_studies_come_page_by_page_and_whole() -> None:
    peer = Dcm4chee([row(f"1.2.{number}") for number in range(5)])
    async with archive(peer) as wire:
        stock = QidoStock(wire, UTC, page=2)
        found = [each async for each in stock.studies(date(2026, 8, 1))]
        facts = await stock.whole(STUDY)
        nothing = await stock.whole("1.2.99")
    assert found == [(f"1.2.{number}", Holdings(2, 1, "P1")) for number in range(5)]
    assert all("StudyDate=20260801-" in target for target in peer.asked[:3])
    assert nothing is None
    assert facts is not None
    assert (facts.patient_name, facts.patient_id, facts.whole) == ("Yamada^Tarou=山田^太郎", "P1", True)
    assert [each.sop_instance_uid for each in facts.series[0].instances] == ["1.2.3.1", "1.2.3.2"]


async def test_what_it_does_not_understand_is_left_out() -> None:
    peer = Dcm4chee([row(STUDY)])
    async with archive(peer, include_field="none", fuzzy_matching=False, any_syntax=False) as wire:
        target = b"/dicom-web/studies?PatientName=A*&includefield=nonsense&fuzzymatching=true&limit=1"
        assert (await wire.get(target, [(b"Accept", b"x/y; transfer-syntax=*")])).status == 200
    assert peer.asked == [f"{ROOT}/studies?PatientName=A*&limit=1"]
    assert "Accept: x/y\r\n" in peer.heads[0]


async def test_a_refused_search_is_no_empty_archive() -> None:
    async with archive(Dcm4chee()) as wire:
        with pytest.raises(UnavailableError, match="400"):
            await wire.search("studies", [("includefield", "nonsense")])
        assert await wire.search("studies", [("limit", "1")]) == []


def test_the_file_names_archives_the_default_one_first() -> None:
    text = """
[[archive]]
name = "vna"
driver = "dicomweb"
url = "https://pacs.example.org"
ae = "DCM4CHEE"
root = "/dcm4chee-arc/aets/{ae}/rs/"

[[archive]]
name = "main"
driver = "orthanc"
default = true
"""
    main, vna = read_archives(text, "archives.toml")
    assert (main.name, vna.paths()) == ("main", (ROOT, ROOT, ROOT))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('driver = "pacs"', "driver"),
        ('driver = "dicomweb"', "needs its url"),
        ('driver = "dicomweb"\nurl = "http://me:secret@x"', "without user and password"),
        ('driver = "dicomweb"\nurl = "http://x"\npassword = "secret"', "password: Extra"),
        ('driver = "dicomweb"\nurl = "http://x"\nroot = "/{ae}"', "ae is not set"),
        ('driver = "dicomweb"\nurl = "http://x"\ntoken_env = "INTEROP_X"', "settings of the server"),
        ('driver = "orthanc"\npage = 5', "page: for the driver dicomweb only"),
        ('driver = "orthanc"\nusername = "u"', "credentials included"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(line: str, said: str) -> None:
    with pytest.raises(InvalidContentError, match=f"a.toml: archive 1.*{said}") as refused:
        read_archives(f'[[archive]]\nname = "one"\n{line}\n', "a.toml")
    assert "secret" not in refused.value.text
