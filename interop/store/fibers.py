"""Plain functions that wait as coroutines do: what a unit asks a distant database, it asks from the event loop.

A unit is a plain function over its transaction, on either engine. In a thread of its own each answer would cost it two
turns of the interpreter's lock, which the loop holds; on a stack of its own (greenlet) the loop's thread goes on with
the others while it waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


async def run(work: Callable[[], T]) -> T:
    """What the function returns; where it calls ``wait``, others have their turn."""
    fiber = greenlet(work)
    step = fiber.switch()
    while not fiber.dead:
        try:
            result = await step
        except BaseException as error:  # cancellation, too, is the function's to hear of
            step = fiber.throw(error)
        else:
            step = fiber.switch(result)
    value: T = step
    return value


def wait(awaited: Awaitable[T]) -> T:
    """What comes of it, or what it raises; only in a function that ``run`` carries out."""
    loop = getcurrent().parent
    if loop is None:
        raise RuntimeError("nobody goes on while this waits: it was not begun by run()")
    result: T = loop.switch(awaited)
    return result
