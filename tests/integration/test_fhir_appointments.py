"""An appointment of a FHIR client is an event in its order's life, as a scheduler's message is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from interop.fhir.orders import OrderFacts, order_facts
from interop.store import Store
from interop.workflow import resources
from tests.fhir_door import client, expressions, patient
from tests.sites import a_site

DCM = "http://dicom.nema.org/resources/ontology/DCM"


@pytest.fixture
async def http(store: Store) -> httpx.AsyncClient:
    """A door by the rules, a patient with a CT order, and another patient."""
    door = client(store, site=a_site(), writer=resources)
    for id in ("p", "q"):
        await door.put(f"Patient/{id}", json=patient(id, id=id, name=[{"family": "Pappas"}]))
    order = {
        "resourceType": "ServiceRequest",
        "id": "o",
        "status": "active",
        "intent": "order",
        "code": {"text": "CT"},
        "orderDetail": [{"coding": [{"system": DCM, "code": "CT"}]}],
        "subject": {"reference": "Patient/p"},
        "occurrenceDateTime": "2026-01-01T10:00:00Z",
    }
    assert (await door.put("ServiceRequest/o", json=order)).status_code == 201
    return door


def appointment(status: str = "booked", start: str | None = "2026-01-02T09:30:00Z", **more: Any) -> dict[str, Any]:
    times = {"start": start, "end": "2026-01-02T23:00:00Z"} if start else {}
    return {
        "resourceType": "Appointment",
        "id": "a",
        "status": status,
        **times,
        "basedOn": [{"reference": "ServiceRequest/o"}],
        "participant": [{"actor": {"reference": "Patient/p"}, "status": "accepted"}],
        **more,
    }


async def put(http: httpx.AsyncClient, resource: dict[str, Any], *, status: int = 0) -> httpx.Response:
    answer = await http.put(f"Appointment/{resource['id']}", json=resource)
    assert answer.status_code == status if status else answer.status_code in (200, 201), answer.text
    return answer


async def order(http: httpx.AsyncClient) -> OrderFacts:
    return order_facts((await http.get("ServiceRequest/o")).json(), a_site().zone)


async def stands(http: httpx.AsyncClient) -> tuple[str, str | None, str]:
    facts = await order(http)
    assert facts.start is not None
    return facts.status, facts.step, f"{facts.start:%d %H:%M}"


async def test_a_booking_moves_the_order_and_a_later_one_moves_it_again(http: httpx.AsyncClient) -> None:
    await put(http, appointment())
    assert await stands(http) == ("active", "scheduled", "02 09:30")
    await put(http, appointment(start="2026-01-02T14:00:00Z"))
    assert await stands(http) == ("active", "scheduled", "02 14:00")


@pytest.mark.parametrize("status", ["cancelled", "noshow", "entered-in-error"])
async def test_an_appointment_that_falls_away_holds_the_order_until_the_next(
    http: httpx.AsyncClient, status: str
) -> None:
    await put(http, appointment())
    await put(http, appointment(status))
    assert (await order(http)).status == "on-hold"
    await put(http, appointment(start="2026-01-02T16:00:00Z") | {"id": "b"})
    assert await stands(http) == ("active", "scheduled", "02 16:00")


async def test_a_deleted_appointment_holds_the_order(http: httpx.AsyncClient) -> None:
    await put(http, appointment())
    assert (await http.delete("Appointment/a")).status_code == 204
    assert (await order(http)).status == "on-hold"


@pytest.mark.parametrize("status", ["arrived", "checked-in"])
async def test_the_patient_arrives(http: httpx.AsyncClient, status: str) -> None:
    await put(http, appointment())
    await put(http, appointment(status))
    assert await stands(http) == ("active", "arrived", "02 09:30")
    await put(http, appointment(status, description="waits in room 2"))
    assert await stands(http) == ("active", "arrived", "02 09:30")


@pytest.mark.parametrize("status", ["proposed", "pending", "waitlist"])
async def test_what_is_not_booked_yet_changes_nothing(http: httpx.AsyncClient, status: str) -> None:
    await put(http, appointment(status))
    assert await stands(http) == ("active", "scheduled", "01 10:00")
    await put(http, appointment("cancelled"))
    assert await stands(http) == ("active", "scheduled", "01 10:00")


async def test_an_order_that_was_held_by_somebody_else_stays_on_hold(http: httpx.AsyncClient) -> None:
    held = (await http.get("ServiceRequest/o")).json() | {"status": "on-hold"}
    assert (await http.put("ServiceRequest/o", json=held)).status_code == 200
    await put(http, appointment())
    assert await stands(http) == ("on-hold", "scheduled", "02 09:30")


async def test_an_order_that_is_over_refuses_a_booking_and_nothing_is_stored(http: httpx.AsyncClient) -> None:
    over = (await http.get("ServiceRequest/o")).json() | {"status": "revoked"}
    assert (await http.put("ServiceRequest/o", json=over)).status_code == 200
    refused = await put(http, appointment("arrived"), status=422)
    assert refused.json()["issue"][0]["code"] == "business-rule"
    assert (await http.get("Appointment/a")).status_code == 404


async def test_an_appointment_of_another_patient_is_refused(http: httpx.AsyncClient) -> None:
    other = [{"actor": {"reference": "Patient/q"}, "status": "accepted"}]
    refused = await put(http, appointment(participant=other), status=422)
    assert expressions(refused) == ["Appointment.basedOn"]
    assert await stands(http) == ("active", "scheduled", "01 10:00")


async def test_an_order_that_an_appointment_no_longer_is_for_waits(http: httpx.AsyncClient) -> None:
    await put(http, appointment())
    await put(http, {name: value for name, value in appointment().items() if name != "basedOn"})
    assert (await order(http)).status == "on-hold"
