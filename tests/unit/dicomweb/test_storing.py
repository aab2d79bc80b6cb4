"""What the archive is asked before it is given an image: once for a new series, else about each image."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from interop.dicom.instance_identity import InstanceIdentity
from interop.dicomweb.intake import Intake, Part
from interop.dicomweb.patient_ids import orthanc_id
from interop.dicomweb.storing import DUPLICATE, Instance, Storing
from interop.dicomweb.taken import Room


@dataclass
class Answer:
    status: int
    content: bytes = b""

    async def body(self, limit: int) -> bytes:
        return self.content

    def close(self) -> None:
        return


@dataclass
class Archive:
    """An Orthanc that has these images, by its own names."""

    has: dict[str, bytes] = field(default_factory=dict)
    series: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    given: int = 0

    async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
        await asyncio.sleep(0)
        _, level, name, *_ = target.decode().split("/")
        self.asked.append(level)
        if level == "series":
            return Answer(200 if name in self.series else 404)
        held = self.has.get(name)
        digest = b"" if held is None else hashlib.md5(held, usedforsecurity=False).hexdigest().encode()
        return Answer(404 if held is None else 200, digest)

    async def post(
        self, target: bytes, length: int, pieces: Callable[[], AsyncIterator[bytes]], *, again: bool
    ) -> Answer:
        content = b"".join([bytes(piece) async for piece in pieces()])
        assert len(content) == length
        self.given += 1
        return Answer(200, b'{"Status": "Success"}')


async def request(number: int, *, patient: str = "P1", series: str = "1.2") -> tuple[Intake, list[Instance]]:
    """So many images of one series."""
    intake = Intake(b"b", 1000, Room(1000, 1000))
    found = []
    for count in range(1, number + 1):
        content = b"image %d" % count
        part = Part(7 * (count - 1), len(content))
        await intake.taken.append([memoryview(content)])
        found.append(Instance(InstanceIdentity(patient, "1", series, f"1.2.{count}", "1.2.840"), part))
    return intake, found


async def test_of_a_new_series_it_is_asked_once() -> None:
    archive = Archive()
    assert await Storing(archive).store(*await request(5)) == {}  # type: ignore[arg-type]
    assert (archive.asked, archive.given) == (["series"], 5)


async def test_one_image_is_asked_about_itself() -> None:
    archive = Archive()
    assert await Storing(archive).store(*await request(1)) == {}  # type: ignore[arg-type]
    assert (archive.asked, archive.given) == (["instances"], 1)


async def test_of_a_series_that_is_there_it_is_asked_about_each() -> None:
    names = [orthanc_id("P1", "1", "1.2", f"1.2.{number}") for number in (1, 2)]
    archive = Archive(dict(zip(names, (b"image 1", b"another"), strict=True)), {orthanc_id("P1", "1", "1.2")})
    reasons = await Storing(archive).store(*await request(3))  # type: ignore[arg-type]
    assert reasons == {"1.2.2": DUPLICATE}
    assert (archive.asked, archive.given) == (["series", *["instances"] * 3], 1)


async def test_two_who_bring_the_same_series_have_it_asked_about_each() -> None:
    archive = Archive()
    storing = Storing(archive)  # type: ignore[arg-type]
    both = [await request(4), await request(4)]
    await asyncio.gather(*(storing.store(*each) for each in both))
    assert archive.asked.count("instances") >= 7, "the first image of the first may have gone unasked"


async def test_where_the_archives_name_is_not_certain_it_is_asked_about_each() -> None:
    class Searched(Archive):
        async def get(self, target: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> Answer:
            if b"?SOPInstanceUID=" in target:
                self.asked.append("search")
                return Answer(204)
            return await super().get(target, headers)

    archive = Searched()
    assert await Storing(archive).store(*await request(2, patient="Ά1")) == {}  # type: ignore[arg-type]
    assert archive.asked == ["instances", "search"] * 2
