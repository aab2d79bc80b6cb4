"""What the archive says of a series: as long as it says the same, what was made of the series still holds.

``/series/{id}`` names every instance and the second of the last change, and costs a thousandth of an answer about the
series. A second is coarse: what was made within two seconds of a change, by the archive's own clock, proves nothing.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import orjson

from interop.dicomweb.archive import Archive
from interop.dicomweb.paths import Target
from interop.dicomweb.patient_ids import PatientIds

_LARGEST = 16 * 1024 * 1024
_SETTLED = timedelta(seconds=2)
_MOMENT = "%Y%m%dT%H%M%S"
_NEVER = datetime.min.replace(tzinfo=UTC)


class SeriesStates:
    """Asks an Orthanc how its series are now."""

    def __init__(self, archive: Archive, patients: PatientIds) -> None:
        self._archive = archive
        self._patients = patients

    async def of(self, target: Target) -> tuple[bytes, datetime] | None:
        """A digest of what the archive says of the series, and when it last changed; None where it has none such.

        None too where the archive's name of the series is not certain. UnavailableError when it does not answer.
        """
        name = await self._patients.series(target)
        if name is None:
            return None
        said = await self._said(name)
        if said is None:  # no such series, under this name at least
            self._patients.forget(str(target.study))
        return said

    async def settled(self, changed: datetime) -> bool:
        """Whether a further change would be told of by another second."""
        answer = await self._archive.get(b"/tools/now")
        try:
            text = (await answer.body(64)).decode("ascii", "replace") if answer.status == 200 else ""
        finally:
            answer.close()
        return (_moment(text.strip()) or _NEVER) - changed >= _SETTLED

    async def _said(self, name: str) -> tuple[bytes, datetime] | None:
        answer = await self._archive.get(f"/series/{name}".encode("ascii"))
        try:
            if answer.status != 200:
                return None
            said = orjson.loads(await answer.body(_LARGEST))
        except orjson.JSONDecodeError:
            return None
        finally:
            answer.close()
        for passing in ("IsStable", "Status"):  # they change while the images do not
            said.pop(passing, None)
        changed = _moment(said.get("LastUpdate"))
        digest = hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        return None if changed is None else (digest, changed)


def _moment(text: object) -> datetime | None:
    try:
        return datetime.strptime(str(text), _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
