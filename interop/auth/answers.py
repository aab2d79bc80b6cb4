"""What a refusal looks like outside the FHIR and HL7 doors: an OperationOutcome, a page, or a problem document."""

from __future__ import annotations

import re
from typing import Protocol

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from interop.errors import InteropError, MethodNotOfferedError
from interop.fhir.json import dumps
from interop.fhir.outcome import outcome

_PAGES = re.compile(r"/|/viewer/share|/(login|console)(/.*)?")
_DATA = re.compile(r"/(dicom-web|api)(/.*)?")
_TITLES = {
    400: "Not understood",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not here",
    405: "Not offered",
    410: "No longer here",
    503: "Not available just now",
}


class Page(Protocol):
    """Makes a page of a refusal; ``ancestors`` is the directive about who may frame it."""

    def __call__(
        self, status: int, title: str, text: str, *, hint: str = "", ancestors: str = "frame-ancestors 'none'"
    ) -> Response: ...


class Pages(Protocol):
    """The viewer's pages, which have words of their own and may stand in frames."""

    def covers(self, path: str) -> bool: ...
    def title(self, status: int) -> str | None: ...
    def text(self, status: int, text: str) -> str: ...
    def hint(self, status: int) -> str: ...
    def ancestors(self, otherwise: str) -> str: ...
    def headers(self, scope: Scope) -> dict[str, str]: ...


class Answers:
    """Makes the answer to an error in the tongue of the path it happened on; the page's looks are given."""

    def __init__(self, page: Page, viewer: Pages) -> None:
        self._page = page
        self._viewer = viewer

    def __call__(self, error: InteropError, scope: Scope) -> Response:
        """The answer, with Retry-After where another try makes sense."""
        path = scope["path"]
        title = _TITLES.get(error.status, "Not possible")
        if path == "/fhir" or path.startswith("/fhir/"):
            response = _outcome(error)
        elif self._viewer.covers(path):
            response = self._of_viewer(error, title, scope)
        elif _PAGES.fullmatch(path) or (not _DATA.fullmatch(path) and _wants_page(scope)):
            response = self._page(error.status, title, error.text)
        else:
            response = _problem(error, title)
        if error.status == 401:
            response.headers["www-authenticate"] = _challenge(error, scope)
        if isinstance(error, MethodNotOfferedError):
            response.headers["allow"] = ", ".join(error.allow)
        if error.status == 503:
            response.headers["retry-after"] = str(error.retry_after or 10)
        return response

    def _of_viewer(self, error: InteropError, title: str, scope: Scope) -> Response:
        viewer, status = self._viewer, error.status
        hint, ancestors = viewer.hint(status), viewer.ancestors("'none'")
        text = error.text if "authorization" in Headers(scope=scope) else viewer.text(status, error.text)
        response = self._page(status, viewer.title(status) or title, text, hint=hint, ancestors=ancestors)
        response.headers.update(viewer.headers(scope))
        return response

    async def on_error(self, request: Request, error: Exception) -> Response:
        """For Starlette's table of exception handlers, under InteropError."""
        if not isinstance(error, InteropError):
            raise error
        return self(error, request.scope)


def _challenge(error: InteropError, scope: Scope) -> str:
    """RFC 6750 3: why a token was refused, where one was sent."""
    if "authorization" not in Headers(scope=scope):
        return 'Bearer realm="interop"'
    return f'Bearer realm="interop", error="invalid_token", error_description="{error.text}"'


def _wants_page(scope: Scope) -> bool:
    return "text/html" in Headers(scope=scope).get("accept", "")


def _outcome(error: InteropError) -> Response:
    return Response(dumps(outcome(error)), error.status, media_type="application/fhir+json")


def _problem(error: InteropError, title: str) -> Response:
    """RFC 9457."""
    body = dumps({"title": title, "status": error.status, "detail": error.text, "code": error.issue_code})
    return Response(body, error.status, media_type="application/problem+json")
