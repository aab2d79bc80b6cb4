"""Cookie sessions: a viewer's, which is exactly its studies, and a person's on the start page.

The content is signed, not secret: study UIDs, whose session it is, its end and its id. Each launch sets a cookie of its
own, so that two tabs with two patients both go on; what a browser may see is the sum of its cookies of one person.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from interop.access import Agent
from interop.auth.tokens import CONSOLE, VIEWER, Tokens
from interop.errors import InvalidContentError, UnauthenticatedError

VIEWER_SECONDS = 8 * 3600  # a reading session; re-launching is one click
CONSOLE_SECONDS = 8 * 3600
MAX_STUDIES = 30  # 64 characters each in a cookie of at most 4,096 bytes (RFC 6265 6.1)
_KEPT = 6  # viewer cookies that one browser holds
_CONSOLE = "interop_console"
_VIEWER = re.compile(r"interop_viewer_([0-9a-f]{8})")


class Ended(Protocol):
    """Knows which sessions were ended before their time."""

    def covers(self, claims: Mapping[str, Any]) -> bool: ...


class Sessions:
    """Makes and reads the cookies."""

    def __init__(
        self, tokens: Tokens, *, secure: bool, ended: Ended | None = None, framed: bool = False, path: str = "/"
    ) -> None:
        """``framed`` where pages of other sites may show the viewer; ``path`` below which the server is found."""
        self._tokens = tokens
        self._ended = ended
        self._secure = secure
        self._framed = framed
        self._path = path

    # viewer

    def check_studies(self, studies: Iterable[str]) -> None:
        """InvalidContentError if the studies do not fit one session."""
        if not 1 <= len(set(studies)) <= MAX_STUDIES:
            raise InvalidContentError(f"a viewer session holds 1 to {MAX_STUDIES} studies", status=400)

    def viewer_cookies(self, opens: Mapping[str, Any], cookie_header: str, *, in_frame: bool = False) -> list[str]:
        """The Set-Cookie values that open a viewer session: the new one, and the end of those it replaces.

        ``since`` is when it was asked for (a launch may wait a minute), ``seconds`` how long it lasts if not as usual.
        ``in_frame``: it is opened in a frame, whose cookies are kept apart for each site that has such frames.
        """
        self.check_studies(opens["studies"])
        name = f"interop_viewer_{secrets.token_hex(4)}"
        seconds = int(opens.get("seconds", VIEWER_SECONDS))
        claims = {"studies": sorted(opens["studies"]), "annotate": opens.get("annotate") is True}
        value = self._tokens.sign(VIEWER, str(opens["sub"]), seconds, claims | _begun(opens))
        mine: list[tuple[int, str]] = []
        ended: list[str] = []
        for other, read in self._viewers(cookie_header):
            if read is not None and read["sub"] == opens["sub"]:
                mine.append((int(read["iat"]), other))
            else:
                ended.append(other)  # somebody else's, or dead: one browser, one person
        ended += [other for _, other in sorted(mine, reverse=True)[_KEPT - 1 :]]
        kinds = (False, True) if self._framed else (False,)  # a browser does not say of which kind a cookie is
        return [
            self._cookie(name, value, seconds, in_frame=in_frame and self._framed),
            *(self._cookie(other, "", 0, in_frame=kind) for other in ended for kind in kinds),
        ]

    def viewer(self, cookie_header: str) -> Agent | None:
        """The viewer whose cookies these are; None if there is no valid one."""
        sessions = [read for _, read in self._viewers(cookie_header) if read is not None]
        if not sessions:
            return None
        newest = max(sessions, key=lambda read: int(read["iat"]))
        mine = [read for read in sessions if read["sub"] == newest["sub"]]
        studies = {study for read in mine for study in read["studies"]}
        annotates = {study for read in mine if read.get("annotate") is True for study in read["studies"]}
        return Agent(
            who=str(newest["sub"]),
            kind="viewer",
            client="viewer",
            studies=frozenset(studies),
            token_id=str(newest["jti"]),
            annotates=frozenset(annotates),
        )

    def _viewers(self, cookie_header: str) -> list[tuple[str, dict[str, Any] | None]]:
        return [
            (name, self._read(VIEWER, value))
            for name, value in _cookies(cookie_header).items()
            if _VIEWER.fullmatch(name)
        ]

    # start page

    def console_cookie(self, opens: Mapping[str, Any]) -> str:
        """The Set-Cookie value that opens a session on the start page."""
        claims = {"scope": opens["scope"], "name": opens.get("name")}
        value = self._tokens.sign(CONSOLE, str(opens["sub"]), CONSOLE_SECONDS, claims | _begun(opens))
        return self._cookie(_CONSOLE, value, CONSOLE_SECONDS)

    def console(self, cookie_header: str) -> Agent | None:
        """The person whose start page this is; None without a valid cookie."""
        read = self._read(CONSOLE, _cookies(cookie_header).get(_CONSOLE, ""))
        if read is None:
            return None
        return Agent(
            who=str(read["sub"]),
            name=read.get("name"),
            client="console",
            scopes=frozenset(str(read.get("scope", "")).split()),
            token_id=str(read["jti"]),
        )

    def console_end(self) -> str:
        """The Set-Cookie value that ends a session on the start page."""
        return self._cookie(_CONSOLE, "", 0)

    def _read(self, audience: str, value: str) -> dict[str, Any] | None:
        if not value:
            return None
        try:
            claims = self._tokens.read(audience, value)
        except UnauthenticatedError:  # an old or foreign cookie is no cookie
            return None
        return None if self._ended is not None and self._ended.covers(claims) else claims

    def _cookie(self, name: str, value: str, seconds: int, *, in_frame: bool = False) -> str:
        # Lax, not Strict: a launch begins on another site (the EMR), whose redirect must already carry the cookie.
        # A frame in another site's page gets no Lax cookie at all, and no unpartitioned one where browsers block those.
        lax = "SameSite=Lax; Secure" if self._secure else "SameSite=Lax"
        kind = "SameSite=None; Secure; Partitioned" if in_frame else lax
        return f"{name}={value}; Max-Age={seconds}; Path={self._path}; HttpOnly; {kind}"


def _begun(opens: Mapping[str, Any]) -> dict[str, float]:
    return {"since": float(opens["since"])} if "since" in opens else {}


def _cookies(header: str) -> dict[str, str]:
    """By name. Python's own parser gives up on the whole header where another application's cookie is odd."""
    pairs = (piece.partition("=") for piece in header.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}
