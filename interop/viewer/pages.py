"""Which addresses are pages that people look at, who may frame them, and the words of their refusals."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from interop.access.origins import frame_ancestors, in_frame

# OHIF's modes, which show studies, and its own error pages: paths that its router answers in the browser.
LAUNCHED = frozenset({"viewer", "basic", "segmentation", "tmtv", "microscopy", "dynamic-volume", "usAnnotation"})
MODES = LAUNCHED | {"notfoundstudy", "notfoundserver"}
_TITLES = {404: "No images here", 409: "Which images?", 502: "The archive failed"}
_WORDS = {401: "no images are open in this browser, or no longer"}
_AGAIN = "Open the images again from the system that lists them: each of its links is good once, for a minute."
_HINTS = {
    401: f"{_AGAIN} The session that it opens lasts eight hours.",
    403: "This browser shows the studies that it was opened for, and no others. Open this one from the system that "
    "lists it.",
    404: "They may not have arrived yet, or may be kept elsewhere. Try again in a moment; if they stay away, ask "
    "whoever looks after the archive.",
    410: f"{_AGAIN} Or ask whoever gave you the link for another.",
    503: "Nothing is lost, and this page opens the images as soon as that is possible.",
}


class ViewerPages:
    """The viewer's pages; ``origins`` are those whose pages may frame them, ``path`` is where browsers find them."""

    def __init__(self, origins: Sequence[str] = (), path: str = "") -> None:
        self._origins = tuple(origins)
        self.path = path
        self.framed_by_others = bool(origins)

    def covers(self, path: str) -> bool:
        """Whether the address is one of the viewer's pages: a shared link's is not, and has other words."""
        return path[1:].split("/", 1)[0] in MODES and path != "/viewer/share"

    def title(self, status: int) -> str | None:
        """What is written over a refusal, where the viewer has a word of its own for it."""
        return _TITLES.get(status)

    def text(self, status: int, text: str) -> str:
        """The reason, in words for somebody who has a browser and no token."""
        return _WORDS.get(status, text)

    def hint(self, status: int) -> str:
        """What somebody who wants to see images can do about it."""
        return _HINTS.get(status, "")

    def framed(self, headers: Headers) -> bool:
        """Whether the browser asks for a frame, and pages of others may have frames."""
        return self.framed_by_others and in_frame(headers.get("sec-fetch-dest"))

    def ancestors(self, otherwise: str) -> str:
        """The directive about who may frame a page; ``otherwise`` where no other origin is named."""
        return frame_ancestors(self._origins, otherwise)

    def headers(self, scope: Scope) -> dict[str, str]:
        """What a page, or the way to it, needs to come into a frame.

        A page that is isolated itself (COEP require-corp) takes only frames that are so too and say that they are for
        other origins (HTML 7.1.4.1, Fetch 3.6); which origins, frame-ancestors says.
        """
        if not self.framed(Headers(scope=scope)):
            return {}
        return {"cross-origin-resource-policy": "cross-origin", "cross-origin-embedder-policy": "require-corp"}
