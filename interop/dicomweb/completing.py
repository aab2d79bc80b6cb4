"""What viewers need of every study in a search, where the archive leaves it out: PS3.18 table 10.6.3-3 requires it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interop.dicomweb.search import study_of
from interop.store import Store, Tx

Row = dict[str, Any]

_MODALITIES, _SERIES, _INSTANCES = "00080061", "00201206", "00201208"


async def completed(store: Store, rows: Sequence[Row]) -> list[Row]:
    """The rows with ModalitiesInStudy and the numbers of series and instances, from what is registered here."""
    lacking = {uid for row in rows if not _complete(row) and (uid := study_of(row))}
    if not lacking:
        return list(rows)
    known = await store.view(lambda tx: {uid: _known(tx, uid) for uid in lacking})
    return [row if _complete(row) else known.get(study_of(row) or "", _known(None, "")) | row for row in rows]


def _complete(row: Row) -> bool:
    return all(tag in row for tag in (_MODALITIES, _SERIES, _INSTANCES))


def _known(tx: Tx | None, uid: str) -> Row:
    """The attributes; without values where the study is not registered yet."""
    stored = tx.study(uid) if tx is not None else None
    if stored is None:
        return {_MODALITIES: {"vr": "CS"}, _SERIES: {"vr": "IS"}, _INSTANCES: {"vr": "IS"}}
    study = stored.resource()
    codes = [coding["code"] for coding in study.get("modality", [])]
    return {
        _MODALITIES: {"vr": "CS", "Value": codes} if codes else {"vr": "CS"},
        _SERIES: {"vr": "IS", "Value": [study.get("numberOfSeries", 0)]},
        _INSTANCES: {"vr": "IS", "Value": [study.get("numberOfInstances", 0)]},
    }
