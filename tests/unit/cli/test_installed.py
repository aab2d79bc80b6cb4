"""What is installed is told by what it is, not by a name that others bear too."""

from pathlib import Path

import pytest

from interop.cli.installed import programs


def program(folder: Path, name: str, says: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(0o755)


async def test_another_findscu_before_dcmtks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dcmtk, other = tmp_path / "dcmtk", tmp_path / "other"
    for name in ("findscu", "dcmdump"):
        program(dcmtk, name, f"$dcmtk: {name} v3.6.7 2022-04-22 $")
    program(other, "findscu", "findscu.py v0.4.2")
    monkeypatch.setenv("PATH", f"{other}:{dcmtk}")
    found = {each.subject: each for each in await programs(private_orthanc=False)}
    assert found["dcmtk"].seen == f"3.6.7, {dcmtk}/dcmdump"
    assert (found["findscu"].level, found["findscu"].remedy) == ("warning", f"call {dcmtk}/findscu")
    monkeypatch.setenv("PATH", f"{dcmtk}:{other}")
    assert "findscu" not in {each.subject for each in await programs(private_orthanc=False)}


async def test_a_findscu_alone_is_no_dcmtk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "other", "findscu", "findscu.py v0.4.2")
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    found = {each.subject: each for each in await programs(private_orthanc=False)}
    assert (found["dcmtk"].level, found["dcmtk"].remedy) == ("warning", "apt-get install dcmtk")
