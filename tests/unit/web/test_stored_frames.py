"""Frames out of stored files when the archive is slow, dies, or has another file by then; clients on bare sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass, field

import httpx
import pytest

from interop.dicomweb.patient_ids import orthanc_id
from interop.dicomweb_relay.buffers import SIZE
from interop.fhir.query import Query
from tests.scripted_archive import FRAME, STUDY, Running, found, head
from tests.unit.dicom.test_stored_image import compressed, image, written

SERIES, INSTANCE = "1.2.3.4", "1.2.3.5"
NAME = orthanc_id("P1", STUDY, SERIES, INSTANCE)
ANY_SYNTAX = 'Accept: multipart/related; type="application/octet-stream"; transfer-syntax=*'
PLUGIN = b"from the plugin"


def ct(rows: int = 64, *, instance: str = INSTANCE, header: int = 0) -> bytes:
    dataset = image(rows=rows, columns=64)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = STUDY, SERIES, instance
    if header:
        dataset.private_block(0x0009, "TEST", create=True).add_new(1, "OB", bytes(header))
    return written(dataset)


def cine() -> bytes:
    dataset = compressed([b"first!", b"second"], frames=2)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = STUDY, SERIES, INSTANCE
    return written(dataset)


@dataclass
class Stored:
    """An archive of one file, and what goes wrong in it."""

    file: bytes
    patients: tuple[str, ...] = ("P1",)
    pieces: int = 65536  # the file comes in writes of this size
    pause: float = 0.0  # between them
    stop_at: int = -1  # of the file; then the connection breaks, or
    silent: bool = False  # nothing more comes
    md5s: list[str | None] = field(default_factory=list)  # one after the other, before the true one; None: no file
    raw: int = 200
    sent: int = 0

    @property
    def md5(self) -> str:
        return hashlib.md5(self.file, usedforsecurity=False).hexdigest()

    async def __call__(self, path: str, writer: asyncio.StreamWriter) -> bool:
        if path == "/tools/find":
            writer.write(self.answer(json.dumps([found(one, STUDY) for one in self.patients]).encode()))
        elif path == f"/instances/{NAME}/attachments/dicom/data":
            await self.data(writer)
        elif path == f"/instances/{NAME}/attachments/dicom/md5":
            md5 = self.md5s.pop(0) if self.md5s else self.md5
            if md5 is None:
                return False
            writer.write(self.answer(md5.encode()))
        elif path == f"/instances/{NAME}/frames/1/raw":
            writer.write(self.answer(b"second", self.raw))
        else:
            return False
        return True

    def answer(self, body: bytes, status: int = 200) -> bytes:
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body

    async def data(self, writer: asyncio.StreamWriter) -> None:
        lines = f'HTTP/1.1 200 OK\r\nETag: "0-{self.md5}"\r\nContent-Length: {len(self.file)}\r\n\r\n'
        writer.write(lines.encode())
        end = len(self.file) if self.stop_at < 0 else self.stop_at
        for start in range(0, end, self.pieces):
            writer.write(self.file[start : min(end, start + self.pieces)])
            await writer.drain()
            self.sent += self.pieces
            await asyncio.sleep(self.pause)
        if end < len(self.file):
            if self.silent:
                await asyncio.sleep(5)
            writer.transport.abort()


async def plugin(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n" % len(PLUGIN) + PLUGIN)


async def ask(running: Running, stored: Stored, frame: int = 1) -> tuple[int, dict[str, str], bytes]:
    """One request for the frame; status, headers, body."""
    running.others, running.script = stored, plugin
    reader, writer = await running.connect()
    request = running.request(FRAME[:-1] + str(frame), ANY_SYNTAX)
    writer.write(request.replace(b"Accept: multipart/related\r\n", b""))
    status, headers = await head(reader)
    body = b""
    while len(body) < int(headers["content-length"]):
        data = await asyncio.wait_for(reader.read(2**20), 10)
        if not data:
            break
        body += data
    writer.close()
    return status, headers, body


def frame_of(file: bytes) -> bytes:
    return file[file.index(b"\xe0\x7f\x10\x00OW\0\0") + 12 :]


def content(headers: dict[str, str], body: bytes) -> bytes:
    """Of the one part, whose own length has to be right."""
    boundary = headers["content-type"].rpartition("boundary=")[2].encode()
    found = re.fullmatch(
        rb"--%b\r\n(?:[A-Z][^\r]*\r\n)*Content-Length: (\d+)\r\n(?:[^\r]+\r\n)*\r\n(.*)\r\n--%b--\r\n"
        % (boundary, boundary),
        body,
        re.DOTALL,
    )
    assert found is not None
    assert len(found.group(2)) == int(found.group(1))
    return found.group(2)


@pytest.mark.parametrize("pieces", [97, 700, 5000, 2**20])
@pytest.mark.parametrize("header", [0, 100_000])
async def test_the_frame_comes_whole_however_the_file_arrives(running: Running, pieces: int, header: int) -> None:
    stored = Stored(ct(header=header), pieces=pieces if pieces > 100 or not header else 9700)
    for _ in range(2):
        status, headers, body = await ask(running, stored)
        assert status == 200
        assert content(headers, body) == frame_of(stored.file)
    assert FRAME not in running.asked
    rows = await running.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=50)))
    assert [row.event.kind for row in rows] == ["dicom-transfer"]


async def test_it_comes_whole_without_the_servers_own_way_as_well(running: Running) -> None:
    stored = Stored(ct(rows=6000), pieces=50_000)
    running.others, running.script = stored, plugin
    transport = httpx.ASGITransport(app=running.http.app)
    token = running.http.tokens.issue("dr", ("system/*.cruds",))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        for accept in (ANY_SYNTAX.removeprefix("Accept: "), "application/octet-stream"):
            answer = await client.get(FRAME, headers={"Accept": accept, "Authorization": f"Bearer {token}"})
            assert frame_of(stored.file) in answer.content
        assert answer.content == frame_of(stored.file)
        assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "stored",
    [
        Stored(ct(instance="1.2.3.6")),  # another instance under this name
        Stored(ct(), patients=("P1", "P2")),
        Stored(ct(), patients=("P2",)),
        Stored(ct(), patients=()),
        Stored(ct(), patients=("P|1",)),
        Stored(ct(header=500_000)),
        Stored(b"no DICOM at all" * 100),
        Stored(ct()[:-2]),
    ],
)
async def test_what_is_not_plain_goes_to_the_plugin(running: Running, stored: Stored) -> None:
    for _ in range(2):
        assert (await ask(running, stored))[2] == PLUGIN


async def test_a_frame_by_the_archives_index_is_held_against_the_file(running: Running) -> None:
    stored = Stored(cine())
    second = FRAME[:-1] + "2"
    assert content(*(await ask(running, stored, 2))[1:]) == b"second"
    assert second not in running.asked
    other = hashlib.md5(b"other", usedforsecurity=False).hexdigest()
    for md5 in (other, None):
        running.asked.clear()
        stored.md5s = [md5]
        running.others = stored
        await refused(running, stored, second)
        running.asked.clear()
        assert content(*(await ask(running, stored, 2))[1:]) == b"second"
        assert f"/instances/{NAME}/attachments/dicom/data" in running.asked, "what it is, is looked at again"
    stored.raw = 500
    await refused(running, stored, second)
    running.asked.clear()
    stored.raw = 200
    assert (await ask(running, stored, 3))[0] == 404
    assert running.asked == [FRAME[:-1] + "3"]


async def refused(running: Running, stored: Stored, path: str) -> None:
    """The plugin was asked, which this archive has not for that frame."""
    assert (await ask(running, stored, 2))[0] == 404
    assert running.asked[-1] == path


@pytest.mark.parametrize("silent", [True, False])
async def test_an_archive_that_fails_before_the_pixels_is_told(
    running: Running, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.relay, "_idle_timeout", 0.3)
    status, headers, _ = await ask(running, Stored(ct(), pieces=150, stop_at=300, silent=silent))
    assert status == 503
    assert int(headers["retry-after"]) > 0


@pytest.mark.parametrize("silent", [True, False])
async def test_an_archive_that_fails_amid_the_pixels_leaves_an_answer_that_is_seen_to_be_short(
    running: Running, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.relay, "_idle_timeout", 0.3)
    stored = Stored(ct(rows=20_000), stop_at=1_000_000, silent=silent)
    status, headers, body = await ask(running, stored)
    assert status == 200
    assert len(body) < int(headers["content-length"])


async def test_a_slow_client_costs_one_buffer_and_then_gets_all(running: Running) -> None:
    stored = Stored(ct(rows=60_000))
    running.others = stored
    reader, writer = await running.connect()
    writer.write(running.request(FRAME, ANY_SYNTAX).replace(b"Accept: multipart/related\r\n", b""))
    _, headers = await head(reader)
    before = -1
    while before < stored.sent:
        before = stored.sent
        await asyncio.sleep(0.2)
    waiting = running.protocols[0].transport.get_write_buffer_size()
    assert waiting <= SIZE + 4096
    body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 20)
    assert content(headers, body) == frame_of(stored.file)
    writer.close()


async def test_a_client_that_goes_away_lets_the_archive_go(running: Running) -> None:
    stored = Stored(ct(rows=60_000), pause=0.01)
    running.others = stored
    reader, writer = await running.connect()
    writer.write(running.request(FRAME, ANY_SYNTAX).replace(b"Accept: multipart/related\r\n", b""))
    await head(reader)
    writer.transport.abort()
    await asyncio.wait_for(running.closed.wait(), 10)
    assert stored.sent < len(stored.file)
    assert (await ask(running, Stored(ct())))[0] == 200


async def test_requests_on_one_connection_are_answered_in_their_order(running: Running) -> None:
    stored = Stored(ct(), pieces=3000)
    running.others, running.script = stored, plugin
    reader, writer = await running.connect()
    one = running.request(FRAME, ANY_SYNTAX).replace(b"Accept: multipart/related\r\n", b"")
    writer.write(one * 4)
    for _ in range(4):
        _, headers = await head(reader)
        body = await reader.readexactly(int(headers["content-length"]))
        assert content(headers, body) == frame_of(stored.file)
    writer.close()
