"""/viewer/share: where a shared link leads. A page of a few lines takes the secret out of the address and hands it in.

What stands behind ``#`` is never sent by a browser, so the secret is in no log and in no Referer; the page removes it
from the address, and with it from the history, before it does anything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from interop.access import Agent
from interop.errors import InvalidContentError, TooLargeError
from interop.store import ShareRow

_MAX_FORM = 1024
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem;"
    "color:#1c2733;background:#f6f8fa}h1{font-size:1.3rem}"
)
# A form that is sent while the page is loading takes the page's place in the history (HTML, "navigate": replace).
# The "?" in the form's address makes its answer another document than this one, so that a second link, pasted over a
# refusal of the first, is loaded and not taken for a jump within the page.
_SCRIPT = """
var secret = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
addEventListener("hashchange", function () { location.reload(); });
if (secret) {
  document.forms[0].elements.secret.value = secret;
  document.forms[0].submit();
} else {
  document.querySelector("p").textContent = "This link is not complete. Open it whole, as it was given to you.";
}
"""
_PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Shared images</title><style>{_STYLE}</style></head>
<body>
<h1>Shared images</h1>
<p>Opening…</p>
<noscript>The viewer needs JavaScript.</noscript>
<form method="post" action="share?"><input type="hidden" name="secret"></form>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "same-origin",  # under "no-referrer" the form would come with "Origin: null"
}


class Shares(Protocol):
    """Opens what was shared."""

    async def find(self, secret: str, caller: Agent) -> tuple[ShareRow, Agent]: ...
    async def open(self, share: ShareRow, viewer: Agent, cookies: str) -> list[str]: ...


class Launch(Protocol):
    """Knows whether the archive has the studies."""

    async def require(self, agent: Agent, studies: Sequence[str]) -> object: ...


class SharedLinks:
    """The endpoints."""

    def __init__(self, shares: Shares, launch: Launch) -> None:
        self._shares = shares
        self._launch = launch

    async def page(self, request: Request) -> Response:
        """GET: the page that takes the secret out of its own address."""
        return HTMLResponse(_PAGE, headers=_HEADERS)

    async def open(self, request: Request) -> Response:
        """POST: sets the cookie and leads to the studies, as often as it is asked while the share lasts."""
        secret = await _secret(request)
        share, viewer = await self._shares.find(secret, request.state.agent)
        await self._launch.require(viewer, share.studies)  # OHIF would not say that they are gone
        cookies = "; ".join(request.headers.getlist("cookie"))
        set_cookies = await self._shares.open(share, viewer, cookies)
        named = quote(",".join(share.studies), safe=",")
        response = RedirectResponse(f"../viewer?StudyInstanceUIDs={named}", 303)  # wherever the server is mounted
        for value in set_cookies:
            response.headers.append("set-cookie", value)
        return response


async def _secret(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            raise TooLargeError("the form is too long")
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=2).get("secret", [])
    except ValueError:
        found = []
    if len(found) != 1:
        raise InvalidContentError("the form holds the secret of one link", status=400)
    return found[0]


def shared_link_routes(shares: Shares, launch: Launch) -> Sequence[BaseRoute]:
    """The routes of this part of the door; to stand before the one that takes what is left."""
    door = SharedLinks(shares, launch)
    return [
        Route("/viewer/share", door.page, methods=["GET"]),
        Route("/viewer/share", door.open, methods=["POST"]),
    ]
