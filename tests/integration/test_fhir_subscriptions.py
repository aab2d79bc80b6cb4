"""Subscriptions over the real door, store and wire, to a receiver that listens on a port of its own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from interop.access import system_agent
from interop.access.signatures import subscription_key
from interop.auth import Keys, Tokens
from interop.store import SeriesPart, Store, open_store
from interop.workflow import subscriptions
from tests.fhir_door import JSON, agent, audited, order, patient
from tests.subscribers import (
    BACKPORT,
    SECRET,
    Receiver,
    by_criteria,
    events_of,
    fhir,
    notifying,
    receiving,
    settled,
    site_for,
    stored,
    subscribe,
    to_topic,
    until_status,
)

HOOKS = "http://127.0.0.1"


@pytest.fixture(autouse=True)
def _settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process here, which is told of each subscription at once."""
    monkeypatch.setattr(subscriptions, "SETTLE", timedelta(seconds=0.2))


def allowed(receiver: Receiver) -> Any:
    return site_for(f"http://127.0.0.1:{receiver.port}/hook")


async def quiet(store: Store, receiver: Receiver, count: int) -> None:
    """Nothing is owed any more, and so many requests have come."""
    await settled(store)
    assert len(receiver.received) == count, [(each.method, each.path) for each in receiver.received]


async def test_criteria_without_payload_are_told_by_an_empty_post(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        asked = by_criteria("Patient?family=Chalmers", receiver.url)
        asked["channel"]["header"] = ["Authorization: Bearer secret-of-theirs", "X-Site: a"]
        id = await subscribe(http, store, asked)
        await stored(http, patient("1", name=[{"family": "Someone"}]))
        mine = await stored(http, patient("2", name=[{"family": "Chalmers"}]))
        (told,) = await receiver.until(1)
        await quiet(store, receiver, 1)
    assert (told.method, told.path, told.body) == ("POST", "/hook", b"")
    assert told.headers["authorization"] == "Bearer secret-of-theirs"
    assert told.headers["x-site"] == "a"
    key = subscription_key(SECRET, id).encode()
    assert told.headers["x-interop-signature"] == "sha256=" + hmac.new(key, b"", hashlib.sha256).hexdigest()
    assert ("notification", "0", f"Patient/{mine['id']}", f"Patient/{mine['id']}/_history/1") in await audited(store)


async def test_criteria_with_payload_are_told_by_putting_the_resource(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        id = await subscribe(
            http, store, by_criteria("Patient?gender=female", receiver.url, payload="application/fhir+json")
        )
        made = await stored(http, patient("1", gender="female"))
        await stored(http, {**made, "gender": "male"})  # meets them no more: not told
        await stored(http, {**made, "gender": "female", "active": True})
        told = await receiver.until(2)
        await quiet(store, receiver, 2)
    assert [(each.method, each.path) for each in told] == [("PUT", f"/hook/Patient/{made['id']}")] * 2
    assert told[0].json == made
    assert told[1].json["meta"]["versionId"] == "3"
    assert told[1].headers["content-type"] == "application/fhir+json"
    key = subscription_key(SECRET, id).encode()
    assert told[1].headers["x-interop-signature"] == "sha256=" + hmac.new(key, told[1].body, hashlib.sha256).hexdigest()


async def test_criteria_with_modifiers_are_asked_of_the_store(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        asked = by_criteria("Patient?gender:not=male&active=true", receiver.url, payload="application/fhir+json")
        await subscribe(http, store, asked)
        await stored(http, patient("1", gender="male", active=True))
        await stored(http, patient("2", gender="female", active=False))
        mine = await stored(http, patient("3", gender="female", active=True))
        (told,) = await receiver.until(1)
        await quiet(store, receiver, 1)
    assert told.path == f"/hook/Patient/{mine['id']}"


async def test_a_topic_begins_with_a_handshake_and_numbers_its_events(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        who = await stored(http, patient())
        placed = await subscribe(http, store, to_topic("order-placed", receiver.url))
        handshake = (await receiver.until(1))[0]
        await subscribe(http, store, to_topic("order-changed", receiver.url, "id-only"))
        await receiver.until(2)
        made = await stored(http, order(f"Patient/{who['id']}"))
        await receiver.until(3)
        await stored(http, {**made, "priority": "stat"})
        told = await receiver.until(4)
        status = (await http.get(f"Subscription/{placed}/$status")).json()
        await quiet(store, receiver, 4)
    assert handshake.json["type"] == "history"
    assert events_of(handshake)["type"] == "handshake"
    assert events_of(handshake)["status"] == "requested"
    first, second = events_of(told[2]), events_of(told[3])
    assert first["type"] == "event-notification"
    assert first["status"] == "active"
    assert first["topic"] == "urn:interop:SubscriptionTopic:order-placed"
    assert first["subscription"]["reference"].endswith(f"/fhir/Subscription/{placed}")
    assert first["events-since-subscription-start"] == "1"
    assert first["notification-event"]["event-number"] == "1"
    assert first["notification-event"]["focus"]["reference"].endswith(f"/fhir/ServiceRequest/{made['id']}")
    assert told[2].json["entry"][1]["resource"] == made
    assert told[2].json["entry"][1]["request"] == {"method": "POST", "url": "ServiceRequest"}
    assert second["topic"].endswith("order-changed")
    assert "resource" not in told[3].json["entry"][1]
    assert told[3].json["entry"][1]["request"]["method"] == "PUT"
    (entry,) = status["entry"]
    assert {row["name"]: row.get("valueString") for row in entry["resource"]["parameter"]}[
        "events-since-subscription-start"
    ] == "1"


async def test_an_empty_notification_says_no_more_than_that_there_was_one(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        who = await stored(http, patient())
        await subscribe(http, store, to_topic("order-placed", receiver.url, "empty"))
        made = await stored(http, order(f"Patient/{who['id']}"))
        told = await receiver.until(2)
    assert made["id"] not in told[1].body.decode()
    assert len(told[1].json["entry"]) == 1


async def test_merged_patients_lead_to_their_survivor(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        survivor, prior = await stored(http, patient("1")), await stored(http, patient("2"))
        await subscribe(http, store, to_topic("patient-merged", receiver.url))
        link = [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}]
        await stored(http, {**prior, "active": False, "link": link})
        told = await receiver.until(2)
        await quiet(store, receiver, 2)
    event = events_of(told[1])["notification-event"]
    assert event["focus"]["reference"].endswith(f"Patient/{prior['id']}")
    assert event["additional-context"]["reference"].endswith(f"Patient/{survivor['id']}")


async def test_studies_and_reports_are_told_when_they_can_be_seen_and_when_they_grow(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        who = await stored(http, patient())
        subject = {"reference": f"Patient/{who['id']}"}
        for topic in ("study-available", "study-changed", "report-available", "report-changed"):
            await subscribe(http, store, to_topic(topic, receiver.url, filter=None))
        await receiver.until(4)

        async def grown(count: int) -> None:
            study = {"resourceType": "ImagingStudy", "id": "s", "status": "available", "subject": subject}
            images = [{"uid": f"1.2.{n}", "sopClass": {"code": "1"}} for n in range(count)]
            part = SeriesPart("1.2", {"uid": "1.2", "modality": {"code": "CT"}}, images)
            whole = {**study, "numberOfSeries": 1, "numberOfInstances": count}
            await store.unit(system_agent("archive-feed"), lambda tx: tx.put_study(whole, [part]))

        await grown(1)
        await receiver.until(5)
        await grown(3)
        await receiver.until(6)
        report = {"resourceType": "DiagnosticReport", "status": "preliminary", "code": {"text": "CT"}}
        made = await stored(http, {**report, "subject": subject})
        await receiver.until(7)
        await stored(http, {**made, "status": "final", "conclusion": "clear"})
        told = await receiver.until(8)
        await quiet(store, receiver, 8)
    assert [events_of(each)["topic"].rpartition(":")[2] for each in told[4:]] == [
        "study-available",
        "study-changed",
        "report-available",
        "report-changed",
    ]
    assert len(told[5].json["entry"][1]["resource"]["series"][0]["instance"]) == 3


async def test_a_filter_narrows_a_topic(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        one, other = await stored(http, patient("1")), await stored(http, patient("2"))
        await subscribe(
            http, store, to_topic("order-placed", receiver.url, filter=f"ServiceRequest?patient=Patient/{one['id']}")
        )
        await stored(http, order(f"Patient/{other['id']}"))
        mine = await stored(http, order(f"Patient/{one['id']}"))
        told = await receiver.until(2)
        await quiet(store, receiver, 2)
    assert told[1].json["entry"][1]["resource"]["id"] == mine["id"]


async def test_a_receiver_that_is_down_gets_all_versions_in_order_once_it_is_up(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        await subscribe(http, store, by_criteria("Patient", receiver.url, payload="application/fhir+json"))
        await receiver.down()
        made = [await stored(http, patient(str(n))) for n in range(3)]
        for n in range(4):
            for one in made:
                await stored(http, {**one, "name": [{"family": f"N{n}"}]})
        await asyncio.sleep(0.5)
        assert receiver.received == []
        await receiver.up()
        told = await receiver.until(15)
        await quiet(store, receiver, 15)
    for one in made:
        versions = [each.json["meta"]["versionId"] for each in told if each.path.endswith(one["id"])]
        assert versions == ["1", "2", "3", "4", "5"]


async def test_failures_that_pass_are_tried_again_with_the_same_bytes(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        await subscribe(http, store, to_topic("order-placed", receiver.url))
        who = await stored(http, patient())
        answers = iter([500, 503, 429, 408])
        receiver.status = lambda _: next(answers, 200)
        await stored(http, order(f"Patient/{who['id']}"))
        told = await receiver.until(6)
        await quiet(store, receiver, 6)
    assert len({each.body for each in told[1:]}) == 1


async def test_a_slow_receiver_is_left_after_its_timeout(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        asked = by_criteria("Patient", receiver.url)
        asked["channel"]["extension"] = [{"url": f"{BACKPORT}backport-timeout", "valueUnsignedInt": 1}]
        id = await subscribe(http, store, asked)
        receiver.delay = 5.0
        await stored(http, patient())
        await receiver.until(1)
        receiver.delay = 0.0
        await receiver.until(2)  # at least once: it may have taken the first
        assert (await http.get(f"Subscription/{id}")).json()["status"] == "active"


async def test_a_refusal_puts_it_in_error_until_it_is_requested_anew(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        id = await subscribe(http, store, by_criteria("Patient", receiver.url, payload="application/fhir+json"))
        receiver.status = lambda _: 401
        first = await stored(http, patient("1"))
        failed = await until_status(http, id, "error")
        assert failed["error"] == "the endpoint answered 401"
        assert (await store.view(lambda tx: tx.job_counts()))["dead"] == 1
        receiver.status = lambda _: 200
        again = {name: value for name, value in failed.items() if name != "error"} | {"status": "requested"}
        await stored(http, again)
        await store.look_for_watchers(subscriptions.watched_types)
        mended = await until_status(http, id, "active")
        told = await receiver.until(2)
    assert "error" not in mended
    assert told[1].path == f"/hook/Patient/{first['id']}"
    assert ("notification", "8", f"Patient/{first['id']}", f"Patient/{first['id']}/_history/1") in await audited(store)


async def test_what_gets_through_to_nobody_for_days_ends_in_error(store: Store) -> None:
    site = site_for(f"{HOOKS}:1/hook")
    async with notifying(store, site, give_up=timedelta(seconds=0.5)), fhir(store, site) as http:
        id = await subscribe(http, store, by_criteria("Patient", f"{HOOKS}:1/hook"))
        await stored(http, patient())
        failed = await until_status(http, id, "error")
    assert failed["error"].startswith("no connection to the endpoint; nothing has got through for")


async def test_a_redirect_is_not_followed(store: Store) -> None:
    async with receiving() as elsewhere, receiving() as receiver:
        async with notifying(store, site := allowed(receiver)), fhir(store, site) as http:
            id = await subscribe(http, store, by_criteria("Patient", receiver.url))
            receiver.extra = f"Location: {elsewhere.url}\r\n".encode()
            receiver.status = lambda _: 307
            await stored(http, patient())
            failed = await until_status(http, id, "error")
        assert "redirects are not followed" in failed["error"]
        assert elsewhere.received == []


async def test_a_receiver_that_is_gone_ends_it(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        id = await subscribe(http, store, by_criteria("Patient", receiver.url))
        receiver.status = lambda _: 410
        await stored(http, patient("1"))
        await until_status(http, id, "off")
        await stored(http, patient("2"))
        await quiet(store, receiver, 1)


async def test_off_deleted_and_past_its_end_nobody_is_told(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        off = await subscribe(http, store, by_criteria("Patient", receiver.url))
        gone = await subscribe(http, store, by_criteria("Patient", receiver.url))
        end = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
        past = await subscribe(http, store, by_criteria("Patient", receiver.url, end=end))
        await stored(http, {**(await http.get(f"Subscription/{off}")).json(), "status": "off"})
        assert (await http.delete(f"Subscription/{gone}")).status_code == 204
        await until_status(http, past, "off")
        await stored(http, patient())
        await quiet(store, receiver, 0)


async def test_a_handshake_that_is_not_taken_puts_it_in_error(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        receiver.status = lambda _: 404
        answer = await http.post("Subscription", json=to_topic("order-placed", receiver.url), headers=JSON)
        failed = await until_status(http, answer.json()["id"], "error")
    assert failed["error"] == "no handshake: the endpoint answered 404"


async def test_only_what_the_creator_may_read_is_told(store: Store) -> None:
    async with receiving() as receiver, notifying(store, site := allowed(receiver)), fhir(store, site) as http:
        one, other = await stored(http, patient("1")), await stored(http, patient("2"))
        bound = agent("patient/ServiceRequest.rs", "user/Subscription.cruds", who="app", patient=one["id"])
        async with fhir(store, site, bound) as theirs:
            id = await subscribe(theirs, store, to_topic("order-placed", receiver.url))
            refused = await theirs.post("Subscription", json=by_criteria("Patient", receiver.url), headers=JSON)
            assert refused.status_code == 403
        hidden = await stored(http, order(f"Patient/{other['id']}"))
        mine = await stored(http, order(f"Patient/{one['id']}"))
        told = await receiver.until(2)
        await quiet(store, receiver, 2)
    assert told[1].json["entry"][1]["resource"]["id"] == mine["id"]
    assert events_of(told[1])["events-since-subscription-start"] == "1"
    about = f"ServiceRequest/{hidden['id']}/_history/1"
    assert ("notification", "4", f"Patient/{other['id']}", about) in await audited(store)
    assert id


async def test_what_is_owed_survives_a_restart(database_url: str) -> None:
    async with receiving() as receiver:
        site, store = allowed(receiver), await open_store(database_url)
        async with notifying(store, site), fhir(store, site) as http:
            await subscribe(http, store, by_criteria("Patient", receiver.url, payload="application/fhir+json"))
            await receiver.down()
            made = await stored(http, patient("1"))
            await asyncio.sleep(0.3)
        async with fhir(store, site) as http:  # nobody runs jobs: the notice is owed by the commit
            await stored(http, {**made, "active": True})
        await store.close()
        store = await open_store(database_url)
        await receiver.up()
        async with notifying(store, site):
            told = await receiver.until(2)
        await store.close()
    assert [each.json["meta"]["versionId"] for each in told] == ["1", "2"]


async def test_without_a_subscription_no_write_owes_a_notice(store: Store) -> None:
    async with receiving() as receiver, fhir(store, site := allowed(receiver)) as http:
        await store.look_for_watchers(subscriptions.watched_types)
        await stored(http, patient())
        await subscribe_only(http, by_criteria("Encounter", receiver.url))
        await store.look_for_watchers(subscriptions.watched_types)
        await stored(http, patient("2"))
        counts = await store.view(lambda tx: tx.job_counts())
    assert counts["ready"] + counts["waiting"] == 1  # the one that lets the subscription begin
    assert site.endpoints


async def subscribe_only(http: Any, resource: dict[str, Any]) -> None:
    assert (await http.post("Subscription", json=resource, headers=JSON)).status_code == 201


BEAT = {"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": 1}  # too often for a rest-hook
ORDERS = "urn:interop:SubscriptionTopic:order-placed"
TO_ORDERS = to_topic("order-placed", f"{HOOKS}:9/hook")["channel"]
REFUSED = [
    ({"status": "active"}, "Subscription.status"),
    ({"criteria": "Nothing?x=1"}, "Subscription.criteria"),
    ({"criteria": "Patient?nosuch=1"}, "Subscription.criteria"),
    ({"criteria": "ServiceRequest?subject:Patient.name=x"}, "Subscription.criteria"),
    ({"criteria": "Patient?_has:Observation:patient:code=x"}, "Subscription.criteria"),
    ({"criteria": "Binary"}, "Subscription.criteria"),
    ({"criteria": "AuditEvent?type=rest"}, "Subscription.criteria"),
    ({"criteria": "Subscription?status=active"}, "Subscription.criteria"),
    ({"criteria": "urn:interop:SubscriptionTopic:nosuch"}, "Subscription.criteria"),
    ({"criteria": "urn:interop:SubscriptionTopic:order-placed"}, "Subscription.channel.payload"),
    ({"end": "2020-01-01T00:00:00Z"}, "Subscription.end"),
    ({"channel": {"type": "email"}}, "Subscription.channel.type"),
    ({"channel": {"type": "websocket", "payload": "application/fhir+json"}}, "Subscription.channel.payload"),
    ({"channel": {"type": "websocket", "header": ["X-A: b"]}}, "Subscription.channel.header"),
    ({"channel": {"type": "websocket", "extension": [BEAT]}}, "Subscription.channel.extension"),
    ({"criteria": ORDERS, "channel": {**TO_ORDERS, "extension": [BEAT]}}, "Subscription.channel.extension"),
    ({"channel": {"type": "rest-hook"}}, "Subscription.channel.endpoint"),
    ({"channel": {"type": "rest-hook", "endpoint": "https://elsewhere.example/"}}, "Subscription.channel.endpoint"),
    (
        {"channel": {"type": "rest-hook", "endpoint": f"{HOOKS}:9/hook", "payload": "application/fhir+xml"}},
        "Subscription.channel.payload",
    ),
    (
        {"channel": {"type": "rest-hook", "endpoint": f"{HOOKS}:9/hook", "header": ["Host: inside"]}},
        "Subscription.channel.header[0]",
    ),
]


@pytest.mark.parametrize(("change", "expression"), REFUSED)
async def test_what_cannot_be_served_is_refused_at_once(store: Store, change: Any, expression: str) -> None:
    site = site_for(f"{HOOKS}:9/hook")
    async with fhir(store, site) as http:
        asked = {**by_criteria("Patient", f"{HOOKS}:9/hook"), **change}
        answer = await http.post("Subscription", json=asked, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert [path for issue in answer.json()["issue"] for path in issue["expression"]] == [expression]


async def test_the_capability_statement_lists_the_topics(store: Store) -> None:
    async with fhir(store, site_for()) as http:
        said = (await http.get("metadata")).json()["rest"][0]["resource"]
    (mine,) = (each for each in said if each["type"] == "Subscription")
    assert "urn:interop:SubscriptionTopic:order-placed" in [each["valueCanonical"] for each in mine["extension"]]
    assert [each["name"] for each in mine["operation"] if each["name"] == "status"] == ["status"]


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_the_server_itself_tells_its_subscribers(real_server: Any, backend: str) -> None:
    """As it is started, with its own three seconds, its key, and the address of the receiver in its settings."""
    async with receiving() as receiver:
        server = real_server(command="serve", subscription_endpoints=f"http://127.0.0.1:{receiver.port}/hook")
        server.launch()
        await asyncio.to_thread(server.until, "/healthz")
        token = Tokens(Keys.load(server.folder)).issue("emr", ["system/*.cruds"], client="test", minutes=5)
        headers = {**JSON, "Authorization": f"Bearer {token}"}
        base = f"http://127.0.0.1:{server.settings.http_port}/fhir/"
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as http:
            asked = to_topic("order-placed", receiver.url)
            id = (await http.post("Subscription", json=asked)).json()["id"]
            await until_status(http, id, "active", 30)
            who = (await http.post("Patient", json=patient())).json()
            made = (await http.post("ServiceRequest", json=order(f"Patient/{who['id']}"))).json()
            told = await receiver.until(2, 30)
        command = [sys.executable, "-m", "interop", "subscription-key", id]
        shown = await asyncio.to_thread(
            subprocess.run, command, env=server.environment, capture_output=True, check=True
        )
    assert told[1].json["entry"][1]["resource"]["id"] == made["id"]
    key = shown.stdout.strip()
    assert told[1].headers["x-interop-signature"] == "sha256=" + hmac.new(key, told[1].body, hashlib.sha256).hexdigest()
    assert (server.folder / "subscription.key").stat().st_mode & 0o077 == 0
