"""The door that knows who is asking: keys, tokens, single-use codes, cookie sessions, and the gate before the rest."""

from interop.auth.answers import Answers
from interop.auth.keys import KeyFileError, Keys
from interop.auth.middleware import AuthMiddleware
from interop.auth.refusals import Refusals
from interop.auth.routes import Login, auth_routes
from interop.auth.sessions import Sessions
from interop.auth.tokens import Tokens
from interop.auth.viewer_links import ViewerLinks

__all__ = [
    "Answers",
    "AuthMiddleware",
    "KeyFileError",
    "Keys",
    "Login",
    "Refusals",
    "Sessions",
    "Tokens",
    "ViewerLinks",
    "auth_routes",
]
