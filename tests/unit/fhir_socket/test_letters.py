"""What a socket is sent, read from a real store: in order, once, within the rights of whoever is bound."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from interop.access import Agent, system_agent
from interop.auth import Bindings, Keys, Tokens
from interop.errors import ForbiddenError, MalformedError, NotFoundError, UnauthenticatedError
from interop.fhir_socket.commands import Command, command
from interop.fhir_socket.letters import AT_ONCE, BehindError, EndedError, Letters
from interop.store import Store, Tx
from interop.workflow import subscription_events, subscriptions
from interop.workflow.subscription_events import Noted
from tests.fhir_door import patient
from tests.sites import a_site
from tests.sockets import criteria, topic

KEYS = Keys(b"k" * 32)
AT = "2026-08-01T10:00:00.000Z"


@dataclass
class Clock:
    now: float = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


def bearer(*scopes: str, patient: str | None = None, now: float | None = None) -> Agent:
    until = (now or datetime.now(UTC).timestamp()) + 600
    return Agent("emr", client="app", scopes=frozenset(scopes or ("system/*.cruds",)), patient=patient, expires=until)


async def running(store: Store, resource: dict[str, Any]) -> str:
    """The id of a subscription that is active."""

    def work(tx: Tx) -> str:
        made = subscriptions.create(tx, a_site(), resource)
        subscriptions.activate(tx, made.id, made.version)
        return made.id

    return await store.unit(bearer(), work)


async def happened(store: Store, id: str, count: int) -> list[str]:
    """So many patients, each an event of the subscription; their references."""

    def work(tx: Tx) -> list[str]:
        made = [tx.create(patient(str(n))) for n in range(count)]
        for one in made:
            number = subscriptions.next_event(tx, id)
            subscription_events.note(tx, id, Noted(number, "Patient", one.id, 1, AT, one.reference))
        return [one.reference for one in made]

    return await store.unit(system_agent("test"), work)


@pytest.fixture
def letters(store: Store) -> Letters:
    return Letters(store, Bindings(Tokens(KEYS), "http://127.0.0.1:8000"), "http://127.0.0.1:8000/fhir")


async def test_many_events_come_in_parts_in_their_order(store: Store, letters: Letters) -> None:
    id = await running(store, topic("patient-merged"))
    (first,) = await letters.bind(bearer(), id)
    made = await happened(store, id, AT_ONCE + 3)
    one = await letters.due(first.bound, ("a", "1"))
    rest = await letters.due(one.bound, ("a", "1"))
    assert (len(one.frames), one.more, len(rest.frames), rest.more) == (AT_ONCE, True, 3, False)
    read = [json.loads(frame)["entry"][1]["fullUrl"] for frame in (*one.frames, *rest.frames)]
    assert read == [f"http://127.0.0.1:8000/fhir/{reference}" for reference in made]
    assert (await letters.due(rest.bound, ("a", "1"))).frames == ()


async def test_resources_are_read_together_up_to_so_many_bytes(
    store: Store, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interop.fhir_socket.letters.MOST_BYTES", 10)
    id = await running(store, topic("patient-merged"))
    (first,) = await letters.bind(bearer(), id)
    await happened(store, id, 3)
    one = await letters.due(first.bound, None)
    assert (len(one.frames), one.bound.told, one.more) == (1, 1, True)


async def test_who_is_further_behind_than_is_kept_is_told_so(
    store: Store, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_events, "KEPT", 3)
    id = await running(store, criteria("Patient"))
    (first,) = await letters.bind(bearer(), id)
    await happened(store, id, 3)
    assert (await letters.due(first.bound, None)).frames == (f"ping {id}",) * 3
    await happened(store, id, 1)
    with pytest.raises(BehindError):
        await letters.due(first.bound, None)


async def test_what_may_not_be_read_is_passed_over(store: Store, letters: Letters) -> None:
    id = await running(store, criteria("Patient"))
    made = await happened(store, id, 1)
    mine = bearer("patient/Patient.rs", "user/Subscription.r", patient=made[0].partition("/")[2])
    (first,) = await letters.bind(mine, id)
    await happened(store, id, 2)
    letter = await letters.due(first.bound, None)
    assert (letter.frames, letter.bound.told) == ((), 3)


async def test_what_has_ended_or_is_no_websocket_is_not_bound(store: Store, letters: Letters) -> None:
    id = await running(store, criteria("Patient"))
    (first,) = await letters.bind(bearer(), id)
    with pytest.raises(ForbiddenError):
        await letters.bind(bearer("user/Patient.rs"), id)
    await store.unit(bearer(), lambda tx: subscriptions.stop(tx, id))
    for waiting in (letters.due(first.bound, None), letters.heartbeat(first.bound)):
        with pytest.raises(EndedError):
            await waiting
    with pytest.raises(NotFoundError):
        await letters.bind(bearer(), id)
    await store.unit(bearer(), lambda tx: subscriptions.delete(tx, id))
    with pytest.raises(NotFoundError):
        await letters.bind(bearer(), "../x")


async def test_deleting_forgets_the_events(store: Store) -> None:
    id = await running(store, criteria("Patient"))
    await happened(store, id, 2)
    assert len(await store.view(lambda tx: subscription_events.noted(tx, id, 0, 9))) == 2
    await store.unit(bearer(), lambda tx: subscriptions.delete(tx, id))
    assert await store.view(lambda tx: subscription_events.noted(tx, id, 0, 9)) == []


async def test_a_token_binds_once_in_its_minute_and_for_its_owner(store: Store) -> None:
    clock = Clock()
    bindings = Bindings(Tokens(KEYS, clock=clock), "https://interop.example", clock=clock)
    agent = bearer("user/Patient.r", patient="p", now=clock.now)

    async def issued() -> Any:
        return await store.unit(agent, lambda tx: bindings.issue(tx, agent, ["a", "b"]))

    given = await issued()
    assert given.url.startswith("wss://interop.example/fhir/websocket/")
    assert given.token not in given.url
    granted = await store.unit(agent, lambda tx: bindings.redeem(tx, given.token))
    assert granted.subscriptions == ("a", "b")
    assert granted.agent == agent
    with pytest.raises(UnauthenticatedError):
        await store.unit(agent, lambda tx: bindings.redeem(tx, given.token))
    path = given.url.removeprefix("wss://interop.example")
    connected = await store.unit(agent, lambda tx: bindings.connect(tx, path))
    assert (connected.who, connected.scopes, connected.expires) == ("emr", frozenset(), agent.expires)
    with pytest.raises(UnauthenticatedError):
        await store.unit(agent, lambda tx: bindings.connect(tx, path))
    late = await issued()
    clock.now += 61
    for useless in (late.token, Tokens(KEYS).issue("emr", ["user/Patient.r"]), "x"):
        with pytest.raises(UnauthenticatedError):
            await store.unit(agent, lambda tx, token=useless: bindings.redeem(tx, token))
    clock.now += 600
    with pytest.raises(UnauthenticatedError):
        await issued()
    with pytest.raises(ForbiddenError):
        await store.unit(agent, lambda tx: bindings.issue(tx, replace(agent, expires=None), ["a"]))


async def test_a_binding_token_is_no_bearer_token(store: Store) -> None:
    agent = bearer()
    given = await store.unit(agent, lambda tx: Bindings(Tokens(KEYS), "http://x").issue(tx, agent, ["a"]))
    with pytest.raises(UnauthenticatedError):
        Tokens(KEYS).verify(given.token)


def test_a_command_is_a_word_and_what_it_is_about() -> None:
    assert command("bind 1-a.B") == Command("bind", "1-a.B")
    assert command("bind-with-token x.y.z\n") == Command("bind-with-token", "x.y.z")
    for text in (
        "",
        "bind",
        "bind ",
        "Bind 1",
        "bind 1 2",
        "ping 1",
        "bind ü",
        "bind " + "x" * 9000,
        '{"type":"bind"}',
    ):
        with pytest.raises(MalformedError):
            command(text)
