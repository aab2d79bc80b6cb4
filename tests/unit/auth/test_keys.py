"""The signing key: one per data directory, private, whole or not there."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from interop.auth import KeyFileError, Keys, Tokens
from interop.auth.keys import KEY_FILE


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    token = Tokens(Keys.load(folder)).issue("dr", ["system/*.cruds"])
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert Tokens(Keys.load(folder)).verify(token).who == "dr"
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Keys.load(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Keys.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"c2hvcnQ=", b"not base64 at all!", b"\xff\xfe"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        Keys.load(tmp_path)


def _load(folder: str, ready: object, found: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    Keys.load(Path(folder))
    found.put((Path(folder) / KEY_FILE).read_bytes())  # type: ignore[attr-defined]


def test_two_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, found = context.Event(), context.Queue()
    processes = [context.Process(target=_load, args=(os.fspath(tmp_path), ready, found)) for _ in range(4)]
    for process in processes:
        process.start()
    ready.set()
    keys = {found.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(keys) == 1
