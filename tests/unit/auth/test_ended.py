"""Sessions that were ended: known to every process, soon, and asked for no more often than that."""

from __future__ import annotations

from typing import Any

import pytest

from interop.access import system_agent
from interop.auth import EndedSessions, Keys, Sessions, Tokens
from interop.auth.ended import FRESH_SECONDS
from interop.errors import UnavailableError
from interop.store import Store

AGENT = system_agent("test")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """A store that counts its questions, and does not answer while it is down."""

    def __init__(self, store: Store) -> None:
        self.store, self.asked, self.down = store, 0, False

    async def view(self, work: Any) -> Any:
        self.asked += 1
        if self.down:
            raise UnavailableError("the database does not answer")
        return await self.store.view(work)


async def test_what_one_process_ends_others_know_a_second_later(store: Store) -> None:
    clock = Clock()
    here, there = EndedSessions(store, monotonic=clock), EndedSessions(store, monotonic=clock)
    tokens = Tokens(Keys(b"k" * 32))
    sessions = {ended: Sessions(tokens, secure=True, ended=ended) for ended in (here, there)}
    [first] = sessions[here].viewer_cookies({"sub": "dr", "studies": ["1"]}, "")
    cookie = first.split(";")[0]
    console = sessions[here].console_cookie({"sub": "dr", "scope": "system/*.cruds"}).split(";")[0]
    for ended in (here, there):
        await ended.look()
    await store.unit(AGENT, lambda tx: here.end_all(tx, "somebody"))
    await store.unit(AGENT, lambda tx: here.end_all(tx, "dr"))
    await here.refresh()
    assert sessions[here].viewer(cookie) is None
    assert sessions[here].console(console) is None
    await there.look()
    assert sessions[there].viewer(cookie) is not None, "not asked again yet"
    clock.now += FRESH_SECONDS
    await there.look()
    assert sessions[there].viewer(cookie) is None
    late = EndedSessions(store)  # a process that starts afterwards
    await late.look()
    assert Sessions(tokens, secure=True, ended=late).viewer(cookie) is None


async def test_one_session_ends_and_its_owners_others_go_on(store: Store) -> None:
    ended = EndedSessions(store)
    sessions = Sessions(Tokens(Keys(b"k" * 32)), secure=True, ended=ended)
    cookies = [sessions.console_cookie({"sub": "dr", "scope": ""}).split(";")[0] for _ in range(2)]
    agent = sessions.console(cookies[0])
    assert agent is not None
    await store.unit(AGENT, lambda tx: ended.end_one(tx, agent.token_id or ""))
    await ended.refresh()
    assert [sessions.console(cookie) is None for cookie in cookies] == [True, False]


async def test_a_session_that_began_later_is_not_meant(store: Store) -> None:
    ended = EndedSessions(store)
    sessions = Sessions(Tokens(Keys(b"k" * 32)), secure=True, ended=ended)
    at = await store.unit(AGENT, lambda tx: [ended.end_all(tx, "dr"), tx.now.timestamp()][1])
    await ended.refresh()
    for since, ends in ((at - 1, True), (at, True), (at + 0.001, False)):
        [cookie] = sessions.viewer_cookies({"sub": "dr", "studies": ["1"], "since": since}, "")
        assert (sessions.viewer(cookie.split(";")[0]) is None) is ends


async def test_numbers_are_given_once_though_what_is_over_is_forgotten(store: Store) -> None:
    """A process asks for what is behind the last number it saw: one given again would pass unseen."""
    ended = EndedSessions(store)
    for who in ("a", "b"):
        await store.unit(AGENT, lambda tx, w=who: tx.end_sessions(w, before=tx.now, until=tx.now))
    first = await store.view(lambda tx: tx.session_ends())
    await store.unit(AGENT, lambda tx: tx.session.put("DELETE FROM session_end"))
    await store.unit(AGENT, lambda tx: ended.end_all(tx, "c"))
    [last] = await store.view(lambda tx: tx.session_ends(first[-1].seq))
    assert last.name == "who:c"


async def test_the_database_is_asked_once_a_second_and_not_trusted_to_be_silent(store: Store) -> None:
    clock, counting = Clock(), Counting(store)
    ended = EndedSessions(counting, monotonic=clock)  # type: ignore[arg-type]  # two of its methods
    for _ in range(100):
        await ended.look()
    assert counting.asked == 1
    counting.down = True
    clock.now = 5.0
    for _ in range(100):
        await ended.look()  # a short silence: what is known will do
    assert counting.asked == 2
    clock.now = 11.0
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await ended.look()
    assert counting.asked == 3
    counting.down = False
    clock.now = 12.0
    await ended.look()


async def test_what_was_never_known_is_not_taken_for_nothing(store: Store) -> None:
    counting = Counting(store)
    counting.down = True
    with pytest.raises(UnavailableError):
        await EndedSessions(counting).look()  # type: ignore[arg-type]
