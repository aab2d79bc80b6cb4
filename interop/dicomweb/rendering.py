"""What a rendering may ask for (PS3.18 8.3.5), checked before an archive sees it: Orthanc's plugin 1.7 does not.

A viewport without width or height, or one of 99,999 by 99,999, ends the whole of Orthanc with a segmentation fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl

from interop.errors import UnsupportedError

LARGEST_SIDE = 8192  # of a picture, in pixels
_VIEWPORT = re.compile(r"([0-9]{1,5}),([0-9]{1,5})")
_WINDOW = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{0,8})?),([0-9]{1,12}(?:\.[0-9]{0,8})?)(?:,([A-Za-z-]{1,16}))?")
_FUNCTIONS = frozenset({"linear", "linear-exact", "sigmoid"})


def rendering(query: str, *, size: str = "") -> str:
    """The parameters of a rendering, decoded: Orthanc does not understand ``viewport=256%2C256``.

    ``size`` is that of the picture where none is asked for. What else is in the query is left out. UnsupportedError
    (400) for a value that no picture has.
    """
    given = {"viewport": size} if size else {}
    for name, value in parse_qsl(query):
        check = _CHECKS.get(name)
        if check is not None:
            given[name] = check(value)
    return "&".join(f"{name}={value}" for name, value in given.items())


def viewport(value: str) -> str:
    """``width,height``; UnsupportedError for another size than pictures have, and for a part of the image."""
    found = _VIEWPORT.fullmatch(re.sub(r",+$", "", value))  # OHIF writes an empty source rectangle as trailing commas
    if found is None:
        raise UnsupportedError("viewport is width,height in pixels; parts of an image are not rendered")
    if not all(1 <= int(side) <= LARGEST_SIDE for side in found.groups()):
        raise UnsupportedError(f"a picture is 1 to {LARGEST_SIDE} pixels wide and high")
    return found[0]


def window(value: str) -> str:
    """``centre,width,function``, linear where none is named; UnsupportedError for what is no window."""
    found = _WINDOW.fullmatch(value)
    function = (found[3] or "linear").lower() if found is not None else ""
    if found is None or function not in _FUNCTIONS:
        raise UnsupportedError("window is centre,width,function, the function linear, linear-exact or sigmoid")
    if float(found[2]) < 1 if function == "linear" else float(found[2]) <= 0:  # PS3.3 C.11.2.1.2, C.11.2.1.3
        raise UnsupportedError("a window is wider than 0, a linear one at least 1")
    return f"{found[1]},{found[2]},{function}"


def quality(value: str) -> str:
    """That of a JPEG; UnsupportedError unless it is 1 to 100."""
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 100:
        raise UnsupportedError("quality is a number from 1 to 100")
    return str(int(value))


_CHECKS: dict[str, Callable[[str], str]] = {"viewport": viewport, "window": window, "quality": quality}


def as_orthanc_draws(query: str) -> str:
    """The same for plugin 1.7, which draws every window as a line and that of ``linear-exact`` wrongly.

    UnsupportedError for a curve.
    """
    if ",sigmoid" in query:
        raise UnsupportedError("this archive draws no sigmoid windows")
    return query.replace(",linear-exact", ",linear")  # half a grey level apart
