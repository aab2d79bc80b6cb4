"""Which archive holds a study: one for each study that has images."""

from __future__ import annotations

from collections.abc import Sequence

from interop.store import statements as sql
from interop.store.unit import Unit


class Placements(Unit):
    """The places of studies in a transaction."""

    def archive_of_study(self, study_uid: str) -> str | None:
        """The name of the archive that holds the study; None where none is known to."""
        row = self.session.row(sql.PLACE, (study_uid,))
        return None if row is None else str(row[0])

    def place_study(self, study_uid: str, archive: str | None) -> None:
        """The study is in this archive from now on, or in none."""
        if archive is None:
            self.session.put(sql.PLACE_CLEAR, (study_uid,))
        elif self.archive_of_study(study_uid) != archive:
            self.session.put(sql.PLACE_PUT, (study_uid, archive))

    def placed_studies(self, archive: str, *, after: str = "", limit: int = 500) -> Sequence[str]:
        """StudyInstanceUIDs of an archive in their order, from the one after ``after`` on."""
        return [str(row[0]) for row in self.session.rows(sql.PLACED, (archive, after, limit))]

    def placed_counts(self) -> dict[str, int]:
        """How many studies each archive holds, as far as this server knows."""
        return {str(row[0]): int(row[1]) for row in self.session.rows(sql.PLACED_COUNTS)}
