"""The tables, the same on both engines. The migrations make them; a test keeps the two alike.

Instants are UTC microseconds. Text that is compared or sorted has the C collation on PostgreSQL, SQLite's BINARY there:
the order of code points, whatever the locale of the database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.sql import text

metadata = MetaData()

Number = BigInteger().with_variant(Integer(), "sqlite")  # an INTEGER PRIMARY KEY is SQLite's rowid itself
Key = Text().with_variant(TEXT(collation="C"), "postgresql")
Bytes = LargeBinary()


def _surrogate(name: str = "pk") -> Column[int]:
    return Column(name, Number, Identity(), primary_key=True)


def _need(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


resource = Table(
    "resource",
    metadata,
    _surrogate(),
    _need("type", Key),
    _need("id", Key),
    _need("version", Integer),
    _need("last_updated", BigInteger),
    _need("deleted", SmallInteger),
    _need("body", Bytes),
    Index("resource_identity", "type", "id", unique=True),
    Index("resource_updated", "type", "last_updated", "id", "deleted"),
)

history = Table(
    "history",
    metadata,
    Column("type", Key, primary_key=True),
    Column("id", Key, primary_key=True),
    Column("version", Integer, primary_key=True),
    _need("last_updated", BigInteger),
    _need("deleted", SmallInteger),
    _need("body", Bytes),
    Index("history_updated", "type", "last_updated", "id", "version"),
)

# The search index: a row's key is what it is searched by, so that SQLite keeps each table as one tree (WITHOUT ROWID).
token_index = Table(
    "token_index",
    metadata,
    Column("type", Key, primary_key=True),
    Column("param", Key, primary_key=True),
    Column("value", Key, primary_key=True),
    Column("pk", BigInteger, primary_key=True),
    Column("system", Key, primary_key=True),
    Index("token_index_resource", "pk"),
    sqlite_with_rowid=False,
)

reference_index = Table(
    "reference_index",
    metadata,
    Column("value", Key, primary_key=True),  # first: "who refers to this?" asks over all types
    Column("type", Key, primary_key=True),
    Column("param", Key, primary_key=True),
    Column("pk", BigInteger, primary_key=True),
    Column("system", Key, primary_key=True),
    Index("reference_index_resource", "pk"),
    sqlite_with_rowid=False,
)

date_index = Table(
    "date_index",
    metadata,
    Column("type", Key, primary_key=True),
    Column("param", Key, primary_key=True),
    Column("low", BigInteger, primary_key=True),
    Column("high", BigInteger, primary_key=True),
    Column("pk", BigInteger, primary_key=True),
    Index("date_index_resource", "pk"),
    sqlite_with_rowid=False,
)

string_index = Table(
    "string_index",
    metadata,
    Column("type", Key, primary_key=True),
    Column("param", Key, primary_key=True),
    Column("value", Key, primary_key=True),
    Column("pk", BigInteger, primary_key=True),
    Index("string_index_resource", "pk"),
    sqlite_with_rowid=False,
)

# Numbers and composites: two facts of one part of a resource. Few types have any, so plain indexes do.
tuple_index = Table(
    "tuple_index",
    metadata,
    _surrogate("row"),
    _need("pk", BigInteger),
    _need("type", Key),
    _need("param", Key),
    _need("value", Key),
    _need("low", Double),
    _need("high", Double),
    _need("system", Key),
    _need("other_system", Key),
    _need("other", Key),
    _need("unit", Key),
    Index("tuple_index_value", "type", "param", "value", "low"),
    Index("tuple_index_high", "type", "param", "value", "high"),
    Index("tuple_index_resource", "pk"),
)

study_part = Table(
    "study_part",
    metadata,
    _surrogate(),
    _need("study_id", Key),
    _need("series_uid", Key),
    _need("header", SmallInteger),  # 1: the series without its instances; 0: some instances, joined by commas
    _need("position", BigInteger),  # of the series within the study: the pk of its first part
    _need("from_version", Integer),
    _need("to_version", Integer),  # the first version that no longer has this part
    _need("body", Bytes),
    Index("study_part_study", "study_id", "to_version"),
)

imaging_order = Table(
    "imaging_order",
    metadata,
    Column("id", Key, primary_key=True),
    _need("patient_id", Key),
    Column("placer_system", Key),
    Column("placer", Key),
    Column("filler_system", Key),
    Column("filler", Key),
    Column("accession_system", Key),
    Column("accession", Key),
    Column("study_uid", Key),
    Column("procedure_id", Text),
    Column("step_id", Text),
    _need("status", Text),
    _need("step", Text),
    _need("scheduled", SmallInteger),
    _need("missing", Text),
    Column("modality", Text),
    Column("start", BigInteger),
    _need("stations", Text),  # JSON
    _need("origin", Text),
    _need("updated", BigInteger),
    _need("told", BigInteger, server_default="0"),
    Index("order_placer", "placer", "placer_system", unique=True, **_partial("placer IS NOT NULL")),
    Index("order_filler", "filler", "filler_system", unique=True, **_partial("filler IS NOT NULL")),
    Index("order_accession", "accession", "accession_system", unique=True, **_partial("accession IS NOT NULL")),
    Index("order_study", "study_uid", unique=True, **_partial("study_uid IS NOT NULL")),
    Index("order_patient", "patient_id"),
    Index("order_scheduled", "updated", **_partial("scheduled = 1")),
    Index("order_updated", "updated", "id"),
    Index("order_worklist", "id", **_partial("scheduled = 1")),
    sqlite_with_rowid=False,
)

performed_step = Table(  # what modalities said they did (MPPS), as they said it
    "performed_step",
    metadata,
    Column("uid", Key, primary_key=True),  # SOP Instance UID
    _need("state", Text),  # IN PROGRESS | COMPLETED | DISCONTINUED
    _need("station", Key),  # calling AE title
    Column("order_id", Key),  # of the ServiceRequest; none: nobody scheduled it
    Column("study_uid", Key),
    _need("body", Bytes),  # DICOM JSON
    _need("created", BigInteger),
    _need("updated", BigInteger),
    Index("performed_step_order", "order_id", **_partial("order_id IS NOT NULL")),
    sqlite_with_rowid=False,
)

order_step = Table(  # of orders with several steps: all of them, in their order
    "order_step",
    metadata,
    Column("order_id", Key, primary_key=True),
    Column("position", Integer, primary_key=True),
    _need("step_id", Key),
    _need("status", Text),
    _need("step", Text),
    _need("scheduled", SmallInteger),
    _need("missing", Text),
    Column("modality", Text),
    Column("start", BigInteger),
    _need("stations", Text),  # JSON
    sqlite_with_rowid=False,
)

message = Table(
    "message",
    metadata,
    _surrogate("id"),
    _need("direction", Text),
    _need("peer", Text),
    _need("application", Key),
    _need("facility", Key),
    _need("control_id", Key),
    _need("type", Text),
    _need("raw", Bytes),
    _need("body_hash", Text),
    _need("state", Text),
    Column("ack_code", Text),
    Column("ack", Bytes),
    _need("issues", Text),  # JSON
    Column("order_id", Key),
    _need("at", BigInteger),
    _need("attempts", Integer, server_default=text("0")),
    Column("took", BigInteger),  # microseconds: in, until it was answered; out, until it was sent
    _need("touched", Text, server_default=text("''")),  # references, a space between
    Index("message_control", "control_id", "direction", "application", "facility"),
    Index("message_state", "direction", "state"),
    Index("message_order", "order_id", **_partial("order_id IS NOT NULL")),
)

# Which message answers which: application acknowledgements, ours and others'.
answer = Table(
    "answer",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # the answer's number
    _need("about", BigInteger),  # the number of the message that it answers
    Index("answer_about", "about"),
    sqlite_with_rowid=False,
)

job = Table(
    "job",
    metadata,
    _surrogate("id"),
    _need("kind", Key),
    _need("key", Key),
    _need("payload", Text),  # JSON
    _need("state", Text),  # ready | dead
    _need("run_at", BigInteger),
    _need("lease_until", BigInteger),  # 0: nobody has it
    _need("attempt", Integer),
    _need("created", BigInteger),
    Column("last_error", Text),
    Index("job_key", "kind", "key", "id"),
    Index("job_due", "run_at", "id", **_partial("state = 'ready'")),
    sqlite_autoincrement=True,  # a finished job's number is never given to another
)

audit = Table(
    "audit",
    metadata,
    _surrogate(),
    _need("recorded", BigInteger),
    _need("who", Key),
    _need("agent_kind", Text),
    Column("agent_name", Text),
    Column("client", Text),
    Column("address", Text),
    Column("agent_patient", Text),
    Column("token_id", Text),
    Column("request_id", Text),
    _need("kind", Text),
    _need("subtype", Text),
    _need("type_code", Text),
    Column("subtype_code", Text),
    _need("action", Text),
    _need("outcome", Text),
    Column("patient", Key),
    Column("entity", Key),
    Column("query", Text),
    Column("detail", Text),
    Column("dedupe_key", Key),
    Index("audit_recorded", "recorded", "pk"),
    Index("audit_agent", "who", "recorded"),
    Index("audit_patient", "patient", "recorded", **_partial("patient IS NOT NULL")),
    Index("audit_entity", "entity", "recorded", **_partial("entity IS NOT NULL")),
    Index("audit_dedupe", "dedupe_key", unique=True, **_partial("dedupe_key IS NOT NULL")),
)

study_match = Table(
    "study_match",
    metadata,
    _surrogate(),
    _need("study_uid", Key),
    Column("order_id", Key),
    _need("rule", Text),
    _need("who", Text),
    _need("person", SmallInteger),
    _need("evidence", Text),  # JSON
    _need("before", Text),  # JSON
    _need("at", BigInteger),
    _need("held", SmallInteger),  # 1: the newest of its study
    Index("study_match_held", "study_uid", unique=True, **_partial("held = 1")),
    Index("study_match_study", "study_uid", "pk"),
    Index("study_match_waiting", "pk", **_partial("held = 1 AND order_id IS NULL")),
)

study_archive = Table(
    "study_archive",
    metadata,
    Column("study_uid", Key, primary_key=True),
    _need("archive", Key),
    Index("study_archive_archive", "archive", "study_uid"),
)

share = Table(  # links to some studies that work until their end, or until they are taken back
    "share",
    metadata,
    Column("id", Key, primary_key=True),
    _need("digest", Key),  # of the secret, which is kept nowhere
    _need("who", Key),
    _need("studies", Text),  # JSON
    _need("annotate", SmallInteger),
    Column("label", Text),
    _need("created", BigInteger),
    _need("expires", BigInteger),
    Column("revoked", BigInteger),
    _need("openings", BigInteger),
    Column("opened", BigInteger),  # the last time
    Index("share_digest", "digest", unique=True),
    Index("share_owner", "who", "id"),
    Index("share_expires", "expires"),
    sqlite_with_rowid=False,
)

session_end = Table(  # sessions that were ended before their time
    "session_end",
    metadata,
    _surrogate("seq"),
    _need("name", Key),  # whose, or which one
    _need("before", BigInteger),  # those that began until then
    _need("until", BigInteger),  # when the last of them would have ended by itself
    Index("session_end_until", "until"),
    sqlite_autoincrement=True,  # processes ask for what is new since the last number they saw
)

state = Table("state", metadata, Column("name", Key, primary_key=True), _need("value", Text))

counter = Table("counter", metadata, Column("name", Key, primary_key=True), _need("value", BigInteger))

traffic = Table("traffic", metadata, Column("name", Key, primary_key=True), _need("value", BigInteger))

peer = Table(
    "peer",
    metadata,
    Column("direction", Key, primary_key=True),  # in | out
    Column("name", Key, primary_key=True),  # in: MSH-3|MSH-4, "" of what was no message; out: the receiver's name
    Column("address", Key, primary_key=True),  # in: from where; out: ""
    _need("messages", BigInteger),
    _need("refused", BigInteger),
    Column("last_at", BigInteger),
    Column("last_error", Text),
    Column("last_error_at", BigInteger),
)
