"""Which origins may be named, and what the session's cookies say in a frame."""

from __future__ import annotations

import pytest

from interop.access.origins import frame_ancestors, frames_need_https, parse_origin
from interop.auth import Keys, Sessions, Tokens
from interop.settings import Settings


@pytest.mark.parametrize("text", ["https://emr.example.org", "http://localhost:8080", "HTTPS://EMR.example.org:443"])
def test_an_origin_is_scheme_host_and_port(text: str) -> None:
    assert parse_origin(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "https://*.example.org",
        "https://emr.example.org/",
        "https://emr.example.org/path",
        "emr.example.org",
        "ftp://emr.example.org",
        "https://user@emr.example.org",
        "https://emr.example.org:0",
        "https://emr.example.org:70000",
        "https://emr.example.org;script-src",
        "https://emr example.org",
        "https://[::1]",
        "'self'",
        "data:",
        "",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"origin|port"):
        parse_origin(text)


def test_without_an_origin_nothing_changes() -> None:
    assert frame_ancestors((), "'none'") == "frame-ancestors 'none'"
    assert frame_ancestors(("https://a.example",), "'none'") == "frame-ancestors 'self' https://a.example"


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        ("https://pacs.example.org", False),
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000", False),
        ("http://[::1]:8000", False),
        ("http://pacs.example.org", True),
        ("http://0.0.0.0:8000", True),
        ("http://127.example.org", True),
    ],
)
def test_frames_need_an_address_that_browsers_trust(url: str, needed: bool) -> None:
    assert frames_need_https(url) is needed


def test_the_setting_says_what_is_wrong_with_it() -> None:
    named = {"INTEROP_FRAME_ANCESTORS": "https://emr.example.org, https://ris.example.org,https://emr.example.org"}
    https = {**named, "INTEROP_PUBLIC_URL": "https://pacs.example.org"}
    assert Settings.of(https).frame_ancestors == ("https://emr.example.org", "https://ris.example.org")
    with pytest.raises(ValueError, match="public_url with https"):
        Settings.of({**named, "INTEROP_PUBLIC_URL": "http://pacs.example.org"})
    with pytest.raises(ValueError, match="without"):
        Settings.of({"INTEROP_FRAME_ANCESTORS": "*"})


def test_a_frames_cookie_is_kept_apart_and_its_end_reaches_both_kinds() -> None:
    sessions = Sessions(Tokens(Keys(b"k" * 32)), secure=True, framed=True)
    opens = {"sub": "dr", "studies": ["1.2"]}
    [framed] = sessions.viewer_cookies(opens, "", in_frame=True)
    assert framed.endswith("HttpOnly; SameSite=None; Secure; Partitioned")
    other = {"sub": "another", "studies": ["1.3"]}
    first, *ends = sessions.viewer_cookies(other, framed.split(";")[0])
    assert first.endswith("HttpOnly; SameSite=Lax; Secure")
    assert [end.rpartition("SameSite=")[2] for end in ends] == ["Lax; Secure", "None; Secure; Partitioned"]
    assert all("Max-Age=0" in end for end in ends)


def test_without_the_setting_no_cookie_is_for_frames() -> None:
    sessions = Sessions(Tokens(Keys(b"k" * 32)), secure=False)
    [cookie] = sessions.viewer_cookies({"sub": "dr", "studies": ["1.2"]}, "", in_frame=True)
    assert cookie.endswith("HttpOnly; SameSite=Lax")
