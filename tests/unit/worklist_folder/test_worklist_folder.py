"""An order's worklist files are exactly those asked for, each whole, and named by us alone."""

import os
from pathlib import Path

import pytest

from interop.errors import UnavailableError
from interop.worklist_folder import WorklistFolder


@pytest.fixture
def folder(tmp_path: Path) -> WorklistFolder:
    return WorklistFolder(tmp_path / "worklist")


def contents(path: Path) -> list[bytes]:
    return sorted(file.read_bytes() for file in path.iterdir())


async def test_files_are_made_changed_and_removed(folder: WorklistFolder, tmp_path: Path) -> None:
    path = tmp_path / "worklist"
    assert await folder.make("o-1", {"CT1": b"one", "CT2": b"two"})
    assert contents(path) == [b"one", b"two"]
    assert await folder.make("o-1", {"CT2": b"three"})
    assert contents(path) == [b"three"]
    assert await folder.make("o-1", {})
    assert contents(path) == []
    assert not await folder.make("o-1", {})


async def test_equal_files_are_not_written_again(folder: WorklistFolder, tmp_path: Path) -> None:
    await folder.make("o-1", {"CT1": b"one"})
    (file,) = (tmp_path / "worklist").iterdir()
    before = file.stat()
    assert not await folder.make("o-1", {"CT1": b"one"})
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_orders_do_not_touch_one_another(folder: WorklistFolder) -> None:
    await folder.make("o-1", {"CT1": b"one"})
    await folder.make("o-1.2", {"CT1": b"two"})
    await folder.make("o-12", {"CT1": b"three"})
    await folder.make("o-1", {})
    assert await folder.names() == tuple(sorted((folder.name("o-1.2", "CT1"), folder.name("o-12", "CT1"))))


@pytest.mark.parametrize("order_id", ["", "../x", "a/b", ".hidden", "a~b", "a\0b", "x" * 65, "a\n", "C:\\x"])
async def test_no_name_is_made_of_what_is_no_id(folder: WorklistFolder, order_id: str) -> None:
    with pytest.raises(ValueError, match="order id"):
        await folder.make(order_id, {"CT1": b"x"})


@pytest.mark.parametrize("key", ["../../x", "/etc/passwd", "A\0B", "Ω" * 300])
async def test_a_key_never_shows_in_a_name(folder: WorklistFolder, tmp_path: Path, key: str) -> None:
    await folder.make("o-1", {key: b"x"})
    (name,) = os.listdir(tmp_path / "worklist")
    assert name.startswith("o-1~")
    assert name.endswith(".wl")
    assert len(name) == len("o-1~") + 16 + 3
    assert os.listdir(tmp_path) == ["worklist"]


async def test_a_link_in_place_of_a_file_is_replaced_not_followed(folder: WorklistFolder, tmp_path: Path) -> None:
    await folder.make("o-1", {"CT1": b"one"})
    (file,) = (tmp_path / "worklist").iterdir()
    target = tmp_path / "target"
    target.write_bytes(b"keep")
    file.unlink()
    file.symlink_to(target)
    assert await folder.make("o-1", {"CT1": b"one"})
    assert target.read_bytes() == b"keep"
    assert not file.is_symlink()


async def test_a_failed_write_leaves_nothing_half(
    folder: WorklistFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await folder.make("o-1", {"CT1": b"one"})

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match="No space left"):
            await folder.make("o-1", {"CT1": b"two"})
    assert contents(tmp_path / "worklist") == [b"one"]


async def test_every_file_is_synced_before_it_is_renamed_and_the_folder_after(
    folder: WorklistFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.rename

    def fsync(file: int) -> None:
        calls.append("sync folder" if os.path.isdir(f"/proc/self/fd/{file}") else "sync file")
        sync(file)

    def renamed(source: str, target: str, **where: int) -> None:
        calls.append("rename")
        assert not source.endswith(".wl")
        rename(source, target, **where)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    await folder.make("o-1", {"CT1": b"one"})
    assert calls == ["sync file", "rename", "sync folder"]


async def test_leftovers_are_swept_and_files_of_others_stay(folder: WorklistFolder, tmp_path: Path) -> None:
    path = tmp_path / "worklist"
    await folder.make("o-1", {"CT1": b"one"})
    old, fresh, foreign = path / "o-2~x.wl.aa.part", path / "o-3~x.wl.bb.part", path / "somebody.wl"
    for file in (old, fresh, foreign):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert await folder.sweep() == 1
    assert not old.exists()
    assert fresh.exists()
    assert foreign.exists()
    assert len(await folder.names()) == 1


async def test_a_folder_that_vanished_is_said_to_be_unavailable(folder: WorklistFolder, tmp_path: Path) -> None:
    (tmp_path / "worklist").rmdir()
    with pytest.raises(UnavailableError, match="worklist folder"):
        await folder.make("o-1", {"CT1": b"one"})


def test_every_file_of_many_orders_is_synced_before_it_is_renamed(
    folder: WorklistFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    sync, rename = os.fsync, os.rename

    def fsync(file: int) -> None:
        synced.add(Path(os.readlink(f"/proc/self/fd/{file}")).name)
        sync(file)

    def renamed(source: str, target: str, **where: int) -> None:
        assert source in synced
        rename(source, target, **where)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    before = len(os.listdir("/proc/self/fd"))
    wanted = [(f"o-{n}", {"CT1": f"{n}".encode(), "CT2": b"x" * n * 100}, ()) for n in range(100)]
    assert folder.make_all(wanted) == [True] * 100
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(contents(tmp_path / "worklist")) == 200
    assert len(synced) == 201  # and the folder


def test_many_orders_share_one_sync_of_the_folder_and_fail_one_by_one(
    folder: WorklistFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[int] = []
    sync = os.fsync

    def fsync(file: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{file}"):
            folders.append(file)
        elif Path(f"/proc/self/fd/{file}").read_bytes() == b"full":
            raise OSError(28, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    first, second, third = folder.make_all(
        [("o-1", {"CT1": b"one"}, None), ("o-2", {"CT1": b"full"}, None), ("o-3", {"CT1": b"three"}, ("CT2",))]
    )
    assert (first, third, len(folders)) == (True, True, 1)
    assert isinstance(second, UnavailableError)
    assert not list((tmp_path / "worklist").glob("*.part"))
    assert sorted(contents(tmp_path / "worklist")) == [b"one", b"three"]


async def test_what_would_be_changed_is_said_and_left(folder: WorklistFolder, tmp_path: Path) -> None:
    for order in ("o-1", "o-2", "o-3", "o-4"):
        await folder.make(order, {"CT1": b"one", "CT2": b"two"})
    (tmp_path / "worklist" / folder.name("o-2", "CT1")).write_bytes(b"")
    (tmp_path / "worklist" / folder.name("o-3", "CT1")).rename(tmp_path / "worklist" / folder.name("o-3", "XX1"))
    before = {file.name: file.read_bytes() for file in (tmp_path / "worklist").iterdir()}
    wanted = {"CT1": b"one", "CT2": b"two"}
    changes = [*((order, wanted, None) for order in ("o-1", "o-2", "o-3")), ("o-4", {}, None), ("o-5", {}, None)]
    assert folder.looked_at().make_all(changes) == [False, True, True, True, False]
    assert {file.name: file.read_bytes() for file in (tmp_path / "worklist").iterdir()} == before
    for file in (tmp_path / "worklist").iterdir():
        file.unlink()
    (tmp_path / "worklist").rmdir()
    (failed, _) = folder.looked_at().make_all([("o-1", {}, None), ("o-2", {}, None)])
    assert isinstance(failed, UnavailableError)


async def test_a_pipe_in_place_of_a_file_is_replaced_not_waited_for(folder: WorklistFolder, tmp_path: Path) -> None:
    pipe = tmp_path / "worklist" / folder.name("o-1", "CT1")
    os.mkfifo(pipe)
    assert folder.looked_at().make_all([("o-1", {"CT1": b"one"}, None)]) == [True]
    assert await folder.make("o-1", {"CT1": b"one"})
    assert (pipe.is_fifo(), pipe.read_bytes()) == (False, b"one")


async def test_another_s_files_are_named(folder: WorklistFolder, tmp_path: Path) -> None:
    await folder.make("o-1", {"CT1": b"one"})
    for name in ("theirs.wl", "o-1~short.wl", "notes.txt"):
        (tmp_path / "worklist" / name).write_bytes(b"x")
    assert await folder.foreign() == ("o-1~short.wl", "theirs.wl")


def test_a_file_in_the_folder_s_place_is_named(tmp_path: Path) -> None:
    place = tmp_path / "worklist"
    place.write_text("")
    with pytest.raises(UnavailableError, match=f"{place} cannot be made: File exists"):
        WorklistFolder(place)
