"""Only files of the folder are read, by Orthanc's own names, and what cannot be read is nothing."""

from pathlib import Path

import pytest

from interop.orthanc.storage import Storage

NAME = "0a1b2c3d-0000-4000-8000-00000000000f"


def test_a_beginning_is_read_where_orthanc_puts_its_files(tmp_path: Path) -> None:
    file = tmp_path / "0a" / "1b" / NAME
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 10_000)
    assert Storage(tmp_path).heads([NAME, NAME]) == [b"x" * 4096] * 2


@pytest.mark.parametrize("name", [NAME, "", "../secret", NAME.upper(), f"{NAME}/..", f"{NAME}\n"])
def test_what_is_not_there_or_no_name_is_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    assert Storage(tmp_path).heads([name]) == [b""]


def test_a_folder_of_that_name_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "0a" / "1b" / NAME).mkdir(parents=True)
    assert Storage(tmp_path).heads([NAME]) == [b""]
