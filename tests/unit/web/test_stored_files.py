"""Studies and series that leave from the archive's own files: whole, or seen to be short; all else by its DICOMweb."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from interop.dicomweb import file_answer, retrieve, stored_files
from interop.dicomweb.patient_ids import orthanc_id
from interop.fhir.query import Query
from tests.scripted_archive import STUDY, TYPE, Running, found, head

ANY = 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*'
PATH = f"/dicom-web/studies/{STUDY}"
SERIES = f"{PATH}/series/1.2.3.4"
RELAYED = b"--b\r\n\r\nfrom the DICOMweb\r\n--b--\r\n"


def uuid(number: int) -> str:
    return f"{number:08x}-1111-2222-3333-444444444444"


def content(number: int, size: int) -> bytes:
    return bytes(128) + b"DICM" + bytes([number % 256]) * (size - 132)


class Stock:
    """An archive of one study, its files in a folder."""

    def __init__(self, running: Running, folder: Path, sizes: list[int]) -> None:
        self.folder, self.files = folder, [content(number, size) for number, size in enumerate(sizes)]
        self.rows = [{"FileUuid": uuid(number), "FileSize": size} for number, size in enumerate(sizes)]
        for number, data in enumerate(self.files):
            self.path(number).parent.mkdir(parents=True, exist_ok=True)
            self.path(number).write_bytes(data)
        self.slow: asyncio.Event | None = None
        running.others = self.answer
        self.running = running

    def path(self, number: int) -> Path:
        name = uuid(number)
        return self.folder / name[:2] / name[2:4] / name

    async def answer(self, path: str, writer: asyncio.StreamWriter) -> bool:
        if path == "/tools/find":
            self._give(writer, orjson.dumps([found("P1", STUDY)]))
        elif path in (
            f"/studies/{orthanc_id('P1', STUDY)}/instances",
            f"/series/{orthanc_id('P1', STUDY, '1.2.3.4')}/instances",
        ):
            if self.slow is not None:
                await self.slow.wait()
            self._give(writer, orjson.dumps(self.rows[: 1 if path.startswith("/series") else None]))
        elif path in (PATH, SERIES):
            writer.write(b"HTTP/1.1 200 OK\r\n" + TYPE + b"Content-Length: %d\r\n\r\n" % len(RELAYED) + RELAYED)
        else:
            return False
        await writer.drain()
        return True

    def _give(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def listed(self) -> int:
        return sum(path.endswith("/instances") for path in self.running.asked)


@pytest.fixture
def stock(running: Running, tmp_path: Path) -> Callable[..., Stock]:
    return lambda *sizes: Stock(running, tmp_path / "storage", list(sizes))


async def get(running: Running, path: str = PATH, accept: str = ANY) -> tuple[dict[str, str], bytes]:
    reader, writer = await running.connect()
    writer.write(running.request(path, accept).replace(b"Accept: multipart/related\r\n", b""))
    status, headers = await head(reader)
    assert status == 200
    body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 20)
    writer.close()
    return headers, body


def whole(headers: dict[str, str], files: list[bytes]) -> bytes:
    """What PS3.18 8.6.1.2 and the plugin's habits make of the files."""
    mark = headers["content-type"].rpartition("boundary=")[2].encode()
    parts = [
        b"--%b\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\nMIME-Version: 1.0\r\n\r\n%b\r\n"
        % (mark, len(data), data)
        for data in files
    ]
    return b"".join(parts) + b"--%b--\r\n" % mark


async def test_a_study_comes_from_its_files_and_is_written_down(running: Running, stock: Callable[..., Stock]) -> None:
    there = stock(200, 3_000_000, 133)
    for _ in range(2):
        headers, body = await get(running)
        assert body == whole(headers, there.files)
    assert headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert PATH not in running.asked
    rows = await running.store.view(lambda tx: tx.audit_rows(Query("AuditEvent", count=50)))
    assert [row.event.kind for row in rows] == ["dicom-transfer"]


async def test_a_series_is_its_files_alone(running: Running, stock: Callable[..., Stock]) -> None:
    there = stock(5000, 6000)
    headers, body = await get(running, SERIES)
    assert body == whole(headers, there.files[:1])


async def test_the_connection_serves_on(running: Running, stock: Callable[..., Stock]) -> None:
    there = stock(700_000)
    reader, writer = await running.connect()
    asked = running.request(PATH, ANY).replace(b"Accept: multipart/related\r\n", b"")
    writer.write(asked * 3)
    for _ in range(3):
        _, headers = await head(reader)
        body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 20)
        assert body == whole(headers, there.files)
    writer.close()


async def test_who_asks_at_once_shares_the_list(running: Running, stock: Callable[..., Stock]) -> None:
    there = stock(10_000, 20_000)
    there.slow = asyncio.Event()
    asking = [asyncio.create_task(get(running)) for _ in range(6)]
    async with asyncio.timeout(10):
        while not there.listed():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    there.slow.set()
    for headers, body in await asyncio.gather(*asking):
        assert body == whole(headers, there.files)
    assert there.listed() == 1


@pytest.mark.parametrize(
    "accept",
    [
        'Accept: multipart/related; type="application/dicom"',
        'Accept: multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1',
        "Accept: */*",
        f"{ANY}\r\nRange: bytes=0-1",
    ],
)
async def test_what_may_have_to_be_converted_is_relayed(
    running: Running, stock: Callable[..., Stock], accept: str
) -> None:
    stock(1000)
    assert (await get(running, accept=accept))[1] == RELAYED


@pytest.mark.parametrize("fault", ["missing", "compressed", "encrypted", "elsewhere", "no list", "no files"])
async def test_files_that_are_not_as_the_index_says_are_left_alone(
    running: Running, stock: Callable[..., Stock], fault: str
) -> None:
    there = stock(5000, 5000)
    if fault == "missing":
        there.path(0).unlink()
    elif fault == "compressed":
        there.path(0).write_bytes(there.files[0][:-7])
    elif fault == "encrypted":
        there.path(0).write_bytes(os.urandom(5000))
    elif fault == "elsewhere":
        there.rows[0]["FileUuid"] = "../../../../../../etc/passwd-1111-2222-33"
    elif fault == "no list":
        there.rows[0] = {"Type": "Instance"}
    else:
        there.rows = []
    for _ in range(2):
        assert (await get(running))[1] == RELAYED
    assert there.listed() == (1 if fault in ("missing", "compressed", "encrypted") else 2)


async def test_a_file_that_changes_under_way_cuts_the_answer_and_the_next_is_relayed(
    running: Running, stock: Callable[..., Stock], caplog: pytest.LogCaptureFixture
) -> None:
    there = stock(5000, 5000)
    there.path(1).write_bytes(there.files[1][:-1])
    reader, writer = await running.connect()
    writer.write(running.request(PATH, ANY).replace(b"Accept: multipart/related\r\n", b""))
    _, headers = await head(reader)
    assert len(await asyncio.wait_for(reader.read(), 10)) < int(headers["content-length"])
    writer.close()
    assert "ends early" in caplog.text
    assert (await get(running))[1] == RELAYED


async def test_a_process_out_of_file_numbers_says_so_and_cuts_the_answer(
    running: Running, stock: Callable[..., Stock], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stock(5000)

    def none_left(descriptor: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(file_answer.os, "dup", none_left)
    reader, writer = await running.connect()
    writer.write(running.request(PATH, ANY).replace(b"Accept: multipart/related\r\n", b""))
    await head(reader)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    assert "no file number is left" in caplog.text


async def test_what_never_came_to_its_thread_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_answer, "STREAMS", 1)
    sending = file_answer.Sending()
    release, told = threading.Event(), []
    first = asyncio.create_task(sending.run(lambda: release.wait(10), told.append))
    second = asyncio.create_task(sending.run(lambda: True, told.append))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait([second])
    assert told == [True]
    release.set()
    assert await first
    assert told == [True, False]
    assert sending.free


async def test_a_client_that_goes_away_frees_its_thread(
    running: Running, stock: Callable[..., Stock], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(*[8_000_000] * 8)
    ended: list[bool] = []
    send = file_answer.FilesAnswer._send

    def seen(*given: Any) -> bool:
        ended.append(send(*given))
        return ended[-1]

    monkeypatch.setattr(file_answer.FilesAnswer, "_send", seen)
    reader, writer = await running.connect()
    writer.write(running.request(PATH, ANY).replace(b"Accept: multipart/related\r\n", b""))
    await head(reader)
    assert not ended
    writer.transport.abort()
    async with asyncio.timeout(10):
        while not ended:
            await asyncio.sleep(0.05)
    assert ended == [False]


async def test_a_client_that_takes_nothing_is_let_go(
    running: Running, stock: Callable[..., Stock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieve, "_PATIENCE", 0.2)
    stock(*[8_000_000] * 8)
    _, writer = await running.connect()
    writer.write(running.request(PATH, ANY).replace(b"Accept: multipart/related\r\n", b""))
    async with asyncio.timeout(10):
        while not (running.protocols and running.protocols[0].transport.is_closing()):
            await asyncio.sleep(0.05)
    writer.close()


async def test_with_all_threads_busy_the_archive_is_asked(
    running: Running, stock: Callable[..., Stock], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(1000)
    monkeypatch.setattr(file_answer, "STREAMS", 0)
    assert (await get(running))[1] == RELAYED


async def test_a_server_that_lends_no_socket_reads_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for number, path in enumerate(paths):
        path.write_bytes(content(number, 2_500_000))
    files = [file_answer.StoredFile(str(path), 2_500_000) for path in paths]
    left: list[int] = []
    answer = file_answer.FilesAnswer(files, file_answer.Sending(), lambda: left.append(1))
    body = b""
    while data := await answer.chunk():
        body += bytes(data)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    assert body == whole(headers, [path.read_bytes() for path in paths])
    assert len(body) == int(headers["content-length"])
    paths[1].unlink()
    again = file_answer.FilesAnswer(files, file_answer.Sending(), lambda: left.append(1))
    for _ in range(5):  # head, three pieces of the first file, head of the second
        assert await again.chunk()
    with pytest.raises(file_answer.ChangedError):
        await again.chunk()
    assert left == [1]


def test_only_the_form_that_is_stored_goes_this_way() -> None:
    accepted = stored_files._SYNTAX.fullmatch
    assert accepted('multipart/related; type="application/dicom"; transfer-syntax=*')
    assert not accepted('multipart/related; type="application/dicom"; transfer-syntax=1.2')
    assert not accepted('multipart/related; type="application/dicom"')
