"""The door that knows who is asking: keys, tokens, single-use codes, cookie sessions, and the gate before the rest.

Loaded by need: whoever issues a token needs neither the web framework nor the database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interop.auth.answers import Answers
    from interop.auth.bindings import Bindings
    from interop.auth.ended import EndedSessions
    from interop.auth.ending import session_routes
    from interop.auth.keys import KeyFileError, Keys
    from interop.auth.middleware import AuthMiddleware
    from interop.auth.refusals import Refusals
    from interop.auth.routes import Login, auth_routes
    from interop.auth.sessions import Sessions
    from interop.auth.share_links import ShareLinks
    from interop.auth.tokens import Tokens
    from interop.auth.upgrades import Upgrades
    from interop.auth.viewer_links import ViewerLinks

__all__ = [
    "Answers",
    "AuthMiddleware",
    "Bindings",
    "EndedSessions",
    "KeyFileError",
    "Keys",
    "Login",
    "Refusals",
    "Sessions",
    "ShareLinks",
    "Tokens",
    "Upgrades",
    "ViewerLinks",
    "auth_routes",
    "session_routes",
]

_PLACES = {
    "Answers": "answers",
    "AuthMiddleware": "middleware",
    "Bindings": "bindings",
    "EndedSessions": "ended",
    "KeyFileError": "keys",
    "Keys": "keys",
    "Login": "routes",
    "Refusals": "refusals",
    "Sessions": "sessions",
    "ShareLinks": "share_links",
    "Tokens": "tokens",
    "Upgrades": "upgrades",
    "ViewerLinks": "viewer_links",
    "auth_routes": "routes",
    "session_routes": "ending",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
