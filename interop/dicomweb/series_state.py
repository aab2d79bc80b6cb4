"""What the archive says of a series, or of all series of a study: while it says the same, what was made of them holds.

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

        Of a study: of all its series, for a study alone does not tell of an instance that was deleted. None too where
        the archive's name is not certain. UnavailableError when it does not answer.
        """
        name = await (self._patients.series(target) if target.series else self._patients.study(target))
        if name is None:
            return None
        said = await self._said(f"/series/{name}" if target.series else f"/studies/{name}/series")
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

    async def _said(self, path: str) -> tuple[bytes, datetime] | None:
        answer = await self._archive.get(path.encode("ascii"))
        try:
            if answer.status != 200:
                return None
            said = orjson.loads(await answer.body(_LARGEST))
        except orjson.JSONDecodeError:
            return None
        finally:
            answer.close()
        found = sorted(said, key=lambda each: str(each.get("ID"))) if isinstance(said, list) else [said]
        for each in found:
            for passing in ("IsStable", "Status"):  # they change while the images do not
                each.pop(passing, None)
        moments = [moment for each in found if (moment := _moment(each.get("LastUpdate"))) is not None]
        digest = hashlib.blake2b(orjson.dumps(found, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        return (digest, max(moments)) if found and len(moments) == len(found) else None


def _moment(text: object) -> datetime | None:
    try:
        return datetime.strptime(str(text), _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
