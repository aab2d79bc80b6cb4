"""The README's order by curl does what it says, typed as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from interop.demo.world import World, stage
from interop.testing.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(tmp_path: Path):
    http, mllp, orthanc_http, dicom, ris, emr = map(str, free_ports(6))
    environment = {
        "INTEROP_HTTP_PORT": http,
        "INTEROP_MLLP_PORT": mllp,
        "INTEROP_ORTHANC_HTTP_PORT": orthanc_http,
        "INTEROP_ORTHANC_DICOM_PORT": dicom,
    }
    with stage(tmp_path / "data", environment, ris_port=int(ris), emr_port=int(emr)) as world:
        yield world


def commands(page: str, heading: str) -> str:
    """The fenced shell commands under a heading."""
    part = (ROOT / page).read_text().split(f"\n## {heading}\n", 1)[1]
    found = re.search(r"```sh\n(.*?)```", part, re.S)
    assert found
    return found.group(1)


def typed(world: World, text: str) -> str:
    """Run them from the checkout as a reader would, with this interpreter and this server's address."""
    text = text.replace(".venv/bin/interop", f"{sys.executable} -m interop")
    text = text.replace("http://127.0.0.1:8000", world.base)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=ROOT,
        env=dict(world.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{(world.settings.data_dir / 'server.log').read_text()}"
    return done.stdout


def test_one_order_by_curl(world: World) -> None:
    text = commands("README.md", "One order, by curl")
    assert len(text.splitlines()) <= 30
    printed = typed(world, text)
    decoder, answers, rest = json.JSONDecoder(), [], printed
    while "{" in rest:
        answer, end = decoder.raw_decode(rest, rest.index("{"))
        answers.append(answer)
        rest = rest[end:]
    placed, found, launch, audited = answers
    assert [entry["response"]["status"][:3] for entry in placed["entry"]] == ["201", "201"]
    study = found["entry"][0]["resource"]
    assert study["numberOfInstances"] == 20
    assert study["basedOn"][0]["reference"].startswith("ServiceRequest/")
    assert {endpoint["reference"].split("/")[0] for endpoint in study["endpoint"]} == {"Endpoint"}
    opened = httpx.get(launch["url"], follow_redirects=False, trust_env=False)
    assert opened.status_code == 303
    assert "/viewer?StudyInstanceUIDs=" in opened.headers["location"]
    assert len(audited["entry"]) == 10


def test_an_order_from_the_ris_by_the_quickstart(world: World) -> None:
    printed = typed(world, commands("docs/quickstart.md", "4. An order from the RIS"))
    preview = printed[: printed.index("\nMSH|")]
    named = [line for line in preview.splitlines() if "Γεωργίου" in line]
    assert any("PID-5" in line for line in named), preview
    assert "AccessionNumber" in preview, "the worklist item stands below"
    assert "MSA|AA|MSG-1" in printed
    assert "PL-77^HOSP" in printed.split("MSA|AA|MSG-1", 1)[1], "shown as kept"
    with world.client("reader", "system/*.cruds") as client:
        found = client.get("/fhir/ServiceRequest", params={"identifier": "PL-77"}).raise_for_status().json()
    assert [entry["resource"]["status"] for entry in found["entry"]] == ["active"]
