"""The one storage room: schema, migrations, units of work; resources, search index, orders, messages, jobs, audit."""

from interop.store.messages import NewMessage
from interop.store.migrating import HEAD as SCHEMA
from interop.store.opening import open_store
from interop.store.reading import Reader, engine_version, open_reader
from interop.store.reindexing import Progress
from interop.store.rows import (
    EVERY_KEY,
    EVERY_KIND,
    Decision,
    DuplicateIdentityError,
    Job,
    KeyRange,
    MessageLine,
    MessageLink,
    MessageQuery,
    MessageRow,
    OrderRow,
    Page,
    PeerCounts,
    PeerNote,
    PeerQueue,
    PerformedRow,
    PlannedRow,
    SeriesPart,
    Stats,
    StepRow,
    Stored,
    StoreInUseError,
    WorklistFilter,
)
from interop.store.session_ends import SessionEnd
from interop.store.shares import ShareRow
from interop.store.store import Store
from interop.store.tx import Tx

__all__ = [
    "EVERY_KEY",
    "EVERY_KIND",
    "SCHEMA",
    "Decision",
    "DuplicateIdentityError",
    "Job",
    "KeyRange",
    "MessageLine",
    "MessageLink",
    "MessageQuery",
    "MessageRow",
    "NewMessage",
    "OrderRow",
    "Page",
    "PeerCounts",
    "PeerNote",
    "PeerQueue",
    "PerformedRow",
    "PlannedRow",
    "Progress",
    "Reader",
    "SeriesPart",
    "SessionEnd",
    "ShareRow",
    "Stats",
    "StepRow",
    "Store",
    "StoreInUseError",
    "Stored",
    "Tx",
    "WorklistFilter",
    "engine_version",
    "open_reader",
    "open_store",
]
