"""FHIR clients that nobody here wrote, against the running server: fhirpy, SMART's fhirclient, fhir-kit-client."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import fhirclient.models.bundle as fhirclient_bundle
import fhirclient.models.humanname as fhirclient_name
import fhirclient.models.identifier as fhirclient_identifier
import fhirclient.models.patient as fhirclient_patient
import pytest
from fhirclient.client import FHIRClient
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from tests.real_server import RealServer

ROOT = Path(__file__).resolve().parents[2]
MODULES = str(ROOT / "build/peers/node_modules")


@pytest.fixture
def base(shared_server: RealServer) -> str:
    return f"{shared_server.settings.base_url}/fhir"


@pytest.fixture
def bearer(shared_server: RealServer) -> str:
    return str(shared_server.http.headers["authorization"])


def person(system: str, value: str, **more: Any) -> dict[str, Any]:
    return {"identifier": [{"system": system, "value": value}], "name": [{"family": "Πελάτης"}], **more}


def test_fhirpy(base: str, bearer: str) -> None:
    client = SyncFHIRClient(base, authorization=bearer, extra_headers={"Prefer": "handling=lenient"})
    made = client.resource("Patient", **person("urn:fhirpy", "1"))
    made.save()
    assert made.id
    made["gender"] = "female"
    made.save()
    assert client.reference("Patient", made.id).to_resource()["gender"] == "female"
    found = client.resources("Patient").search(identifier="urn:fhirpy|1")
    assert [each.id for each in found.fetch()] == [made.id]
    assert found.count() == 1
    again, fresh = found.update(client.resource("Patient", **person("urn:fhirpy", "1", active=True)))
    assert (again.id, fresh, again["active"]) == (made.id, False, True)
    for value in ("2", "3"):
        client.resource("Patient", **person("urn:fhirpy-many", value)).save()
    many = client.resources("Patient").search(identifier="urn:fhirpy-many|")
    assert len(list(many.limit(1))) == 2  # by the links of the pages
    with pytest.raises(MultipleResourcesFound):
        many.delete()
    with pytest.raises(OperationOutcome) as refused:
        client.resource("Patient", gender="man").save()
    assert "code-invalid" in str(refused.value)
    found.delete()
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", made.id).to_resource()


async def test_fhirpy_without_waiting(base: str, bearer: str) -> None:
    client = AsyncFHIRClient(base, authorization=bearer)
    made = client.resource("Patient", **person("urn:fhirpy-async", "1"))
    await made.save()
    found = client.resources("Patient").search(identifier="urn:fhirpy-async|1")
    assert [each.id async for each in found] == [made.id]
    entry = {"request": {"method": "GET", "url": f"Patient/{made.id}"}}
    bundle = client.resource("Bundle", type="batch", entry=[entry])
    done = await client.execute("", method="post", data=bundle.serialize())
    assert done["entry"][0]["resource"]["id"] == made.id
    await made.delete()
    with pytest.raises(ResourceNotFound):
        await client.reference("Patient", made.id).to_resource()


def test_smart_fhirclient(base: str, bearer: str) -> None:
    smart = FHIRClient(settings={"app_id": "tests", "api_base": base})
    smart.server.session.headers["Authorization"] = bearer
    made = fhirclient_patient.Patient()
    made.identifier = [fhirclient_identifier.Identifier({"system": "urn:smart", "value": "1"})]
    made.name = [fhirclient_name.HumanName({"family": "Πελάτης", "given": ["Α", "Β"]})]
    answer = made.create(smart.server)
    assert answer["resourceType"] == "Patient"
    read = fhirclient_patient.Patient.read(answer["id"], smart.server)
    assert read.name[0].as_json() == {"family": "Πελάτης", "given": ["Α", "Β"]}
    read.gender = "female"
    assert read.update(smart.server)["meta"]["versionId"] == "2"
    search = fhirclient_patient.Patient.where({"identifier": "urn:smart|1"})
    assert [each.id for each in search.perform_resources_iter(smart.server)] == [read.id]
    history = smart.server.request_json(f"Patient/{read.id}/_history")
    assert len(fhirclient_bundle.Bundle(history).entry) == 2
    read.delete()
    assert list(search.perform_resources_iter(smart.server)) == []


def test_fhir_kit_client(base: str, bearer: str) -> None:
    script = ROOT / "tests/peers/fhir.mjs"
    ran = subprocess.run(
        ["node", str(script), base, bearer.removeprefix("Bearer ")],
        env={**os.environ, "NODE_PATH": MODULES},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert json.loads(ran.stdout) == {
        "version": "4.0.1",
        "family": "Κιτ",
        "genders": ["female", "male", None],
        "conditional": [True, True],
        "found": 1,
        "inside": [True],
        "history": ["PUT", "PUT", "PUT", "POST"],
        "page": "history",
        "done": ["204 No Content", "200 OK"],
        "gone": 410,
    }
