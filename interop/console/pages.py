"""How our pages look: server-rendered, escaped, without scripts, and with a policy that would stop any."""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

_HERE = Path(__file__).parent
_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
STYLE = (_HERE / "static" / "style.css").read_bytes()
ICON = (_HERE / "static" / "icon.svg").read_bytes()
# A refusal goes to people who may load nothing else from here, so its few rules come with it.
_ERROR_STYLE = (_HERE / "static" / "error.css").read_text("utf-8")
_ERROR_HASH = base64.b64encode(hashlib.sha256(_ERROR_STYLE.encode()).digest()).decode()
_ERROR_POLICY = f"default-src 'none'; style-src 'sha256-{_ERROR_HASH}'; base-uri 'none'; form-action 'none'"
_SIGN_IN = "The start page opens with a sign-in link of its own, which is good once, for a minute."


def policy(form_target: str) -> str:
    """The start page's policy. A launch form is answered by a redirect to the server's public address."""
    forms = f"'self' {form_target}".strip()
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        f"form-action {forms}; frame-ancestors 'none'"
    )


def start_page(content: dict[str, Any], *, form_target: str) -> Response:
    """The start page."""
    html = _TEMPLATES.get_template("start.html").render(content)
    # Under "no-referrer" a browser would send its forms with "Origin: null", and the gate would refuse them.
    headers = {"content-security-policy": policy(form_target), "referrer-policy": "same-origin"}
    return HTMLResponse(html, headers=headers)


def error_page(
    status: int, title: str, text: str, *, hint: str = "", ancestors: str = "frame-ancestors 'none'"
) -> Response:
    """A refusal for people to read, with what they can do about it, and who may frame it."""
    hint = hint or (_SIGN_IN if status == HTTPStatus.UNAUTHORIZED else "")
    again = status in (HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY) and bool(hint)
    html = _TEMPLATES.get_template("error.html").render(
        status=status, title=title, text=text, hint=hint, again=again, style=_ERROR_STYLE
    )
    return HTMLResponse(html, status, headers={"content-security-policy": f"{_ERROR_POLICY}; {ancestors}"})
