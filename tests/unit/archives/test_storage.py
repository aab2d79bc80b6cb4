"""Where Orthanc's files are, so far as this server knows."""

from __future__ import annotations

from pathlib import Path

from interop.parts import archive_storage
from interop.settings import Settings


def test_only_what_is_set_or_our_own_is_known(tmp_path: Path) -> None:
    own = Settings(data_dir=tmp_path)
    assert archive_storage(own) is None
    (tmp_path / "orthanc").mkdir()
    (tmp_path / "orthanc" / "orthanc.json").write_text('{"StorageDirectory": "/var/somewhere"}')
    assert archive_storage(own) == Path("/var/somewhere")
    other = own.model_copy(update={"orthanc_url": "http://orthanc:8042"})
    assert archive_storage(other) is None, "the private Orthanc is not the one that is asked"
    assert archive_storage(other.model_copy(update={"orthanc_storage": Path("/mnt/x")})) == Path("/mnt/x")
