"""Which archive holds a study. What was registered before came from the one Orthanc that there was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0014"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
_FEED = "archive-feed:"  # and a StudyInstanceUID: the name under which the feed keeps a study's PatientID


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "study_archive",
        sa.Column("study_uid", _KEY, primary_key=True),
        sa.Column("archive", _KEY, nullable=False),
    )
    op.create_index("study_archive_archive", "study_archive", ["archive", "study_uid"])
    op.execute(
        f"INSERT INTO study_archive (study_uid, archive) SELECT substr(name, {len(_FEED) + 1}), 'orthanc' "  # noqa: S608
        f"FROM state WHERE name > '{_FEED}' AND name < '{_FEED}~'"
    )
