"""Cookies: signed, bounded, and each for its own use."""

from __future__ import annotations

import pytest

from interop.auth import Keys, Sessions, Tokens
from interop.auth.sessions import MAX_STUDIES
from interop.errors import InvalidContentError


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1  # no two cookies of one instant
        return self.now


@pytest.fixture
def sessions() -> Sessions:
    return Sessions(Tokens(Keys(b"k" * 32), clock=Clock()), secure=True)


def jar(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def receive(cookies: dict[str, str], set_cookies: list[str]) -> None:
    for each in set_cookies:
        name, _, value = each.split(";")[0].partition("=")
        if "Max-Age=0" in each:
            cookies.pop(name, None)
        else:
            cookies[name] = value


def test_a_viewer_cookie_is_exactly_its_studies_and_kept_from_scripts(sessions: Sessions) -> None:
    [cookie] = sessions.viewer_cookies({"sub": "dr", "studies": ["1.2", "1.3"]}, "")
    for attribute in ("; HttpOnly", "; SameSite=Lax", "; Path=/", "; Secure"):
        assert attribute in cookie
    agent = sessions.viewer(cookie.split(";")[0])
    assert agent is not None
    assert (agent.who, agent.kind, agent.studies, agent.scopes) == ("dr", "viewer", {"1.2", "1.3"}, frozenset())


def test_a_browser_keeps_few_cookies_of_one_person(sessions: Sessions) -> None:
    cookies: dict[str, str] = {}
    for number in range(12):
        receive(cookies, sessions.viewer_cookies({"sub": "dr", "studies": [f"1.{number}"]}, jar(cookies)))
    assert len(cookies) == 6
    agent = sessions.viewer(jar(cookies))
    assert agent is not None
    assert agent.studies == {f"1.{number}" for number in range(6, 12)}
    receive(cookies, sessions.viewer_cookies({"sub": "other", "studies": ["9"]}, jar(cookies)))
    agent = sessions.viewer(jar(cookies))
    assert agent is not None
    assert (agent.who, agent.studies) == ("other", {"9"})


def test_somebody_elses_cookie_beside_ones_own_adds_nothing(sessions: Sessions) -> None:
    cookies: dict[str, str] = {}
    receive(cookies, sessions.viewer_cookies({"sub": "one", "studies": ["1"]}, ""))
    receive(cookies, sessions.viewer_cookies({"sub": "two", "studies": ["2"]}, ""))
    agent = sessions.viewer(jar(cookies))
    assert agent is not None
    assert (agent.who, agent.studies) == ("two", {"2"})


def test_the_largest_session_fits_a_cookie(sessions: Sessions) -> None:
    studies = [f"{number:02d}." + "1" * 61 for number in range(MAX_STUDIES)]
    [cookie] = sessions.viewer_cookies({"sub": "d" * 64, "studies": studies}, "")
    assert len(cookie) <= 4096
    with pytest.raises(InvalidContentError):
        sessions.viewer_cookies({"sub": "dr", "studies": [*studies, "1"]}, "")


@pytest.mark.parametrize(
    "header",
    ["", "x", "interop_viewer_00000000=", "interop_viewer_00000000=a.b.c", "interop_viewer_x=1", "a=b;;=;\x01=2"],
)
def test_what_is_no_cookie_of_ours_is_nobody(sessions: Sessions, header: str) -> None:
    assert sessions.viewer(header) is None
    assert sessions.console(header) is None


def test_one_use_does_not_serve_for_another(sessions: Sessions) -> None:
    console = sessions.console_cookie({"sub": "dr", "scope": "system/*.cruds"}).split(";")[0].split("=", 1)[1]
    [viewer] = sessions.viewer_cookies({"sub": "dr", "studies": ["1"]}, "")
    assert sessions.viewer(f"interop_viewer_00000000={console}") is None
    assert sessions.console(f"interop_console={viewer.split(';')[0].split('=', 1)[1]}") is None
    agent = sessions.console(f"interop_console={console}")
    assert agent is not None
    assert (agent.scopes, agent.studies, agent.kind) == ({"system/*.cruds"}, None, "user")


def test_odd_cookies_of_others_do_no_harm(sessions: Sessions) -> None:
    [cookie] = sessions.viewer_cookies({"sub": "dr", "studies": ["1"]}, "")
    assert sessions.viewer(f'x={{"a": 1}}; y=\x01; ="; {cookie.split(";")[0]}; z') is not None
