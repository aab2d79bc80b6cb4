"""What ``interop doctor`` finds of the worklist: whether it is what the database says, and what to do where it is not.

Every item is rendered and compared, and nothing is written. Three things are told apart: orders that no worklist item
can hold, which somebody has to correct; items that cannot be written now, which the worker goes on trying; and items
that are simply others, which the worker finds and mends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from interop.cli.installed import Finding
from interop.errors import UnavailableError
from interop.settings import Settings

if TYPE_CHECKING:
    from interop.jobs import Made, WorklistItems
    from interop.orthanc.worklists import OrthancWorklists
    from interop.store import Reader, Tx
    from interop.worklist_folder import WorklistFolder

_SETTLING = 1.5  # seconds that a change may take
_NAMED = 5  # orders or files that are named; of more only the number is told
_TOGETHER = 256

_CORRECT = "correct the order or its patient: it is then shown by itself; or cancel it. A restart changes nothing"
_RETRY = "interop jobs retry --kind worklist: by now they can be shown"
_DROP = "interop jobs drop --kind worklist: nothing is wanted of them any more"
_MENDED = (
    "a worker that runs mends lost files within a minute, all else within an hour, or at once at its start: restart it"
)


async def worklist_findings(store: Reader, settings: Settings) -> list[Finding]:
    """The worklist against the database; what differs for longer than a change may take is told."""
    from interop.parts import open_worklist

    if settings.worklist_driver == "folder" and not settings.worklist.is_dir():
        return [await _absent(store, settings)]
    try:
        worklist = open_worklist(settings)
        found = await _compared(store, settings, worklist)
        strange = [] if settings.worklist_driver != "folder" else await worklist.foreign()  # type: ignore[union-attr]
    except UnavailableError as error:
        return [Finding("fault", "worklist", error.text, _where(settings))]
    return [*found, *_foreign(strange, settings)]


async def _absent(store: Reader, settings: Settings) -> Finding:
    planned = len(await store.view(lambda tx: tx.shown_items()))
    if settings.worklist.exists():
        remedy = "take it away, or set INTEROP_WORKLIST_DIR to a folder"
        return Finding("fault", "worklist", f"{settings.worklist}: no folder", remedy)
    if not planned:
        return Finding("warning", "worklist", f"{settings.worklist}: not there yet", "interop up makes it")
    remedy = "bring it back (a mount?): the worker fills it within a minute; or restart the server, which makes it"
    return Finding(
        "fault", "worklist", f"{settings.worklist}: not there, and orders are to be shown: {planned}", remedy
    )


async def _compared(store: Reader, settings: Settings, worklist: WorklistFolder | OrthancWorklists) -> list[Finding]:
    from interop.jobs import WorklistItems
    from interop.parts import site, worklist_render

    planned = await store.view(lambda tx: tuple(tx.shown_items()))
    named = {name.partition("~")[0] for name in await worklist.names()}
    items = WorklistItems(store, site(settings), worklist.looked_at(), worklist_render(settings))
    made = await _looked(items, {*planned, *named})
    off = [id for id, one in made.items() if one.changed or one.fault]
    if off:
        await asyncio.sleep(_SETTLING)
        made |= await _looked(items, off)
    unfit = {one.order: one.fault for one in made.values() if one.fault and one.lasting}
    differing = [one.order for one in made.values() if one.changed and not one.fault]
    unread = [one.fault for one in made.values() if one.fault and not one.lasting]
    findings = _unfit(unfit)
    if unread:
        findings.append(
            Finding(
                "fault", "worklist", f"orders that cannot be compared: {len(unread)}: {unread[0]}", _where(settings)
            )
        )
    if differing:
        findings.append(await store.view(lambda tx: _differing(tx, differing, settings)))
    findings += await store.view(lambda tx: _left(tx, unfit, differing))
    if not differing and not unread:
        shown = sum(one.shown for one in made.values())
        findings.insert(0, Finding("ok", "worklist", f"as the database has it: {shown} orders"))
    return findings


async def _looked(items: WorklistItems, ids: Collection[str]) -> dict[str, Made]:
    """What making the items of these orders would come to."""
    from interop.jobs import Wanted

    made: dict[str, Made] = {}
    wanted = [Wanted(id, thorough=True) for id in sorted(ids)]
    for start in range(0, len(wanted), _TOGETHER):
        made |= {one.order: one for one in await items.write(wanted[start : start + _TOGETHER])}
    return made


def _unfit(orders: Mapping[str, str]) -> list[Finding]:
    findings = [
        Finding("fault", "worklist item", f"ServiceRequest/{id}: {why}", _CORRECT)
        for id, why in list(orders.items())[:_NAMED]
    ]
    if len(orders) > _NAMED:
        seen, remedy = f"and {len(orders) - _NAMED} more", "interop jobs list --kind worklist names them"
        findings.append(Finding("fault", "worklist item", seen, remedy))
    return findings


def _differing(tx: Tx, orders: Collection[str], settings: Settings) -> Finding:
    count, why = tx.failing_jobs("worklist")
    if count:
        remedy = f"{_where(settings)}; the worker tries again by itself, at most a minute later"
        return Finding("fault", "worklist", f"orders not shown as they are: {len(orders)}: {why}", remedy)
    remedy = _MENDED if len(orders) < len(tx.shown_items()) else f"{_MENDED}; or doctor has other settings than it"
    return Finding("fault", "worklist", f"orders that differ from the database: {len(orders)}: {_some(orders)}", remedy)


def _left(tx: Tx, unfit: Mapping[str, str], differing: Collection[str]) -> list[Finding]:
    """Dead letters of orders that could be shown, or are to be shown no more."""
    keys = {job.key for job in tx.dead_jobs(kinds=["worklist"], limit=1_000_000)} - unfit.keys()
    if not keys:
        return []
    remedy = (
        _RETRY if keys & set(differing) else "interop jobs drop --kind worklist: nothing is wanted of them any more"
    )
    return [Finding("warning", "dead letters", f"{len(keys)} worklist: {_some(keys)}", remedy)]


def _foreign(names: Collection[str], settings: Settings) -> list[Finding]:
    if not names:
        return []
    shown = ", ".join(_first(names))
    seen = f"another's files in {settings.worklist}, shown to modalities too: {len(names)}: {shown}"
    return [Finding("warning", "worklist", seen, "remove them, unless another program is meant to put them there")]


def _where(settings: Settings) -> str:
    if settings.worklist_driver == "folder":
        return f"see that this server's user may write to {settings.worklist}, and that there is room"
    return "INTEROP_WORKLIST_DRIVER says how Orthanc is told of it"


def _some(ids: Iterable[str]) -> str:
    return ", ".join(f"ServiceRequest/{id}" for id in _first(ids))


def _first(names: Iterable[str]) -> list[str]:
    found = sorted(names)
    return found if len(found) <= _NAMED else [*found[:_NAMED], f"and {len(found) - _NAMED} more"]
