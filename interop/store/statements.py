"""The hot statements, written once: both engines prepare them by their text."""

# ruff: noqa: S608 (what is put into the text here are the constants above it)

from __future__ import annotations

from functools import cache

# resources
_COLUMNS = "type, id, version, last_updated, deleted, body"
RESOURCE = f"SELECT pk, {_COLUMNS} FROM resource WHERE type = ? AND id = ?"
RESOURCE_FOR_CHANGE = RESOURCE + " FOR UPDATE"  # PostgreSQL
RESOURCE_INSERT = """
    INSERT INTO resource (type, id, version, last_updated, deleted, body) VALUES (?, ?, ?, ?, 0, ?) RETURNING pk"""
RESOURCE_UPDATE = "UPDATE resource SET version = ?, last_updated = ?, deleted = ?, body = ? WHERE pk = ?"
RESOURCES_BY_ID = """
    SELECT type, id, version, last_updated, deleted, body FROM resource WHERE type = ? AND id > ? ORDER BY id LIMIT ?"""
HISTORY_AS_OF = """
    SELECT type, id, version, last_updated, deleted, body FROM history
    WHERE type = ? AND id = ? AND last_updated <= ? ORDER BY version DESC LIMIT 1"""
RESOURCE_COUNTS = "SELECT type, count(*) FROM resource WHERE deleted = 0 GROUP BY type ORDER BY type"
RESOURCE_TYPES = """
    WITH RECURSIVE t (type) AS (
        SELECT min(type) FROM resource
        UNION ALL SELECT (SELECT min(r.type) FROM resource r WHERE r.type > t.type) FROM t WHERE t.type IS NOT NULL)
    SELECT type FROM t WHERE type IS NOT NULL"""  # a step per type, where DISTINCT would read the whole index
HISTORY_INSERT = f"""
    INSERT INTO history ({_COLUMNS}) SELECT {_COLUMNS} FROM resource WHERE pk = ?"""
HISTORY_VERSION = f"SELECT {_COLUMNS} FROM history WHERE type = ? AND id = ? AND version = ?"
NOT_SUPERSEDED = {  # no later version of t had come by then
    table: f"NOT EXISTS (SELECT 1 FROM {table} n WHERE n.type = t.type AND n.id = t.id "
    "AND n.version = t.version + 1 AND n.last_updated <= ?)"
    for table in ("resource", "history")
}
BY_IDENTIFIER = """
    SELECT r.type, r.id, r.version, r.last_updated, r.deleted, r.body FROM token_index t JOIN resource r ON r.pk = t.pk
    WHERE t.type = ? AND t.param = 'identifier' AND t.value = ? AND t.system = ? ORDER BY r.last_updated, r.id"""
BY_IDENTIFIER_ANY_SYSTEM = """
    SELECT DISTINCT r.type, r.id, r.version, r.last_updated, r.deleted, r.body
    FROM token_index t JOIN resource r ON r.pk = t.pk
    WHERE t.type = ? AND t.param = 'identifier' AND t.value = ? ORDER BY r.last_updated, r.id"""
BY_IDENTIFIER_ANY_SYSTEM_IDS = """
    SELECT DISTINCT r.id FROM token_index t JOIN resource r ON r.pk = t.pk
    WHERE t.type = ? AND t.param = 'identifier' AND t.value = ?"""
REFERRERS = """
    SELECT DISTINCT r.type, r.id FROM reference_index x JOIN resource r ON r.pk = x.pk
    WHERE x.value = ? AND x.system = ? LIMIT ?"""

# the search index: table, columns behind pk
INDEX_TABLES = {
    "token": ("token_index", "type, param, value, system"),
    "reference": ("reference_index", "type, param, value, system"),
    "date": ("date_index", "type, param, low, high"),
    "string": ("string_index", "type, param, value"),
    "tuple": ("tuple_index", "type, param, value, low, high, system, other_system, other, unit"),
}


def _index_insert(table: str, columns: str) -> str:
    marks = ", ".join("?" for _ in columns.split(","))
    return f"INSERT INTO {table} (pk, {columns}) VALUES (?, {marks}) ON CONFLICT DO NOTHING"


INDEX_INSERT = {kind: _index_insert(table, columns) for kind, (table, columns) in INDEX_TABLES.items()}


def _index_insert_arrays(table: str, columns: str) -> str:
    number = "float8" if table == "tuple_index" else "bigint"
    kinds = ", ".join(f"?::{number}[]" if column in ("low", "high") else "?::text[]" for column in columns.split(", "))
    return (
        f"INSERT INTO {table} (pk, {columns}) SELECT coalesce(pk, currval('resource_pk_seq')), {columns} "
        f"FROM unnest(?::bigint[], {kinds}) AS given (pk, {columns}) ON CONFLICT DO NOTHING"
    )


# PostgreSQL: a column of values each, one statement for all rows; a key that is null is that of the newest resource.
AS_ARRAYS = {
    INDEX_INSERT[kind]: _index_insert_arrays(table, columns) for kind, (table, columns) in INDEX_TABLES.items()
}
INDEX_OF = {kind: f"SELECT pk, {columns} FROM {table} WHERE pk = ?" for kind, (table, columns) in INDEX_TABLES.items()}
INDEX_OF_NAMED = {  # the same for who knows what the resource is called, but not its key
    kind: f"SELECT pk, {columns} FROM {table} WHERE pk = (SELECT pk FROM resource WHERE type = ? AND id = ?)"
    for kind, (table, columns) in INDEX_TABLES.items()
}
INDEX_CLEAR = {kind: f"DELETE FROM {table} WHERE pk = ?" for kind, (table, _) in INDEX_TABLES.items()}
INDEX_DELETE = {
    kind: f"DELETE FROM {table} WHERE pk = ? AND " + " AND ".join(f"{c} = ?" for c in columns.split(", "))
    for kind, (table, columns) in INDEX_TABLES.items()
}

# parts of studies
OPEN = 2147483647  # to_version of a part that the current version has
PARTS_OF_VERSION = """
    SELECT series_uid, header, body FROM study_part WHERE study_id = ? AND from_version <= ? AND to_version > ?
    ORDER BY position, header DESC, pk"""
HEADERS_NOW = """
    SELECT series_uid, position, body FROM study_part
    WHERE study_id = ? AND to_version = 2147483647 AND header = 1"""
PARTS_NOW = """
    SELECT series_uid, body FROM study_part WHERE study_id = ? AND to_version = 2147483647 AND header = 0"""
PART_INSERT = """
    INSERT INTO study_part (study_id, series_uid, header, position, from_version, to_version, body)
    VALUES (?, ?, ?, ?, ?, 2147483647, ?)"""
HEADER_CLOSE = """
    UPDATE study_part SET to_version = ?
    WHERE study_id = ? AND to_version = 2147483647 AND series_uid = ? AND header = 1"""
CHUNKS_CLOSE = """
    UPDATE study_part SET to_version = ?
    WHERE study_id = ? AND to_version = 2147483647 AND series_uid = ? AND header = 0"""
SERIES_CLOSE = """
    UPDATE study_part SET to_version = ? WHERE study_id = ? AND to_version = 2147483647 AND series_uid = ?"""
STUDY_CLOSE = "UPDATE study_part SET to_version = ? WHERE study_id = ? AND to_version = 2147483647"
INSTANCE_KNOWN = """
    SELECT value FROM token_index t JOIN resource r ON r.pk = t.pk
    WHERE t.type = 'ImagingStudy' AND t.param = 'instance' AND t.value IN ({marks}) AND r.id = ?"""

# orders
_ORDER_FIELDS = (
    "id, patient_id, placer_system, placer, filler_system, filler, accession_system, accession, study_uid, "
    "procedure_id, step_id, status, step, scheduled, missing, modality, start, stations, origin, updated"
)
ORDER = f"SELECT {_ORDER_FIELDS} FROM imaging_order WHERE id = ?"
ORDERS = f"SELECT {_ORDER_FIELDS} FROM imaging_order"
ORDER_PUT = f"""
    INSERT INTO imaging_order ({_ORDER_FIELDS}) VALUES ({", ".join("?" for _ in _ORDER_FIELDS.split(","))})
    ON CONFLICT (id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _ORDER_FIELDS.split(", ") if name != "id")}"""
ACCESSION_TAKEN = "SELECT 1 FROM imaging_order WHERE accession = ? AND accession_system = ? LIMIT 1"
_ORDER_HOLDERS = {
    "placer": "SELECT 'placer', id FROM imaging_order WHERE placer = ? AND placer_system = ? AND id <> ?",
    "filler": "SELECT 'filler', id FROM imaging_order WHERE filler = ? AND filler_system = ? AND id <> ?",
    "accession": "SELECT 'accession', id FROM imaging_order WHERE accession = ? AND accession_system = ? AND id <> ?",
    "study_uid": "SELECT 'study_uid', id FROM imaging_order WHERE study_uid = ? AND id <> ?",
}


@cache
def order_holders(identities: tuple[str, ...]) -> str:
    """Which other orders have these identities; one question for all of them."""
    return " UNION ALL ".join(_ORDER_HOLDERS[identity] for identity in identities)


# the steps of orders with several
_STEP_FIELDS = "order_id, position, step_id, status, step, scheduled, missing, modality, start, stations"
STEPS = f"SELECT {_STEP_FIELDS} FROM order_step WHERE order_id = ? ORDER BY position"
STEP_INSERT = f"INSERT INTO order_step ({_STEP_FIELDS}) VALUES ({', '.join('?' for _ in _STEP_FIELDS.split(','))})"
STEPS_CLEAR = "DELETE FROM order_step WHERE order_id = ?"
ORDERS_SHOWN = "SELECT id, stations FROM imaging_order WHERE scheduled = 1 AND id > ? ORDER BY id LIMIT ?"
STEPS_SHOWN = """
    SELECT s.order_id, s.step_id, s.scheduled, s.stations FROM order_step s JOIN imaging_order o ON o.id = s.order_id
    WHERE o.scheduled = 1 AND s.order_id > ? AND s.order_id <= ? ORDER BY s.order_id, s.position"""

# what modalities are shown, and what they performed
PLANNED = """
    SELECT o.id, o.updated, r.version, p.version, o.told FROM imaging_order o
    JOIN resource r ON r.type = 'ServiceRequest' AND r.id = o.id
    JOIN resource p ON p.type = 'Patient' AND p.id = o.patient_id
    WHERE o.scheduled = 1{conditions} AND o.id > ? ORDER BY o.id LIMIT ?"""
CLINICAL = """
    SELECT r.type, r.id, r.version, r.last_updated, r.deleted, r.body FROM (
        SELECT x.pk FROM reference_index x
        WHERE x.value = ? AND x.system = 'Patient' AND (
            x.type = 'AllergyIntolerance' AND x.param = 'patient' OR x.type = 'Flag' AND x.param = 'subject')
        UNION SELECT x.pk FROM reference_index x
        WHERE x.value = ? AND x.type = 'Observation' AND x.param = 'subject' AND x.system = 'Patient' AND EXISTS (
            SELECT 1 FROM token_index t
            WHERE t.pk = x.pk AND t.type = 'Observation' AND t.param = 'code' AND t.value IN ({codes}))
    ) f CROSS JOIN resource r WHERE r.pk = f.pk AND r.deleted = 0 ORDER BY r.last_updated, r.id"""
ORDERS_NAMING = """
    SELECT DISTINCT o.id FROM reference_index x JOIN resource r ON r.pk = x.pk JOIN imaging_order o ON o.id = r.id
    WHERE x.value = ? AND x.type = 'ServiceRequest' AND x.system = ? AND (o.scheduled = 1 OR o.missing <> '')
    UNION SELECT o.id FROM reference_index w JOIN resource v ON v.pk = w.pk
    JOIN reference_index x ON x.value = v.id AND x.type = 'ServiceRequest' AND x.system = 'PractitionerRole'
    JOIN resource r ON r.pk = x.pk JOIN imaging_order o ON o.id = r.id
    WHERE w.value = ? AND w.type = 'PractitionerRole' AND w.system = ? AND (o.scheduled = 1 OR o.missing <> '')"""
ORDERS_SAYING = """
    SELECT o.id FROM imaging_order o JOIN resource r ON r.type = 'ServiceRequest' AND r.id = o.id
    WHERE (o.scheduled = 1 OR o.missing <> '') AND {holds} ORDER BY o.id"""
ORDERS_OF_VISITS = """
    SELECT DISTINCT o.id FROM reference_index x
    JOIN reference_index y ON y.pk = x.pk AND y.type = 'Encounter' AND y.param = 'subject' AND y.system = 'Patient'
    JOIN imaging_order o ON o.patient_id = y.value
    WHERE x.value = ? AND x.type = 'Encounter' AND x.system = 'Location' AND o.scheduled = 1 ORDER BY o.id"""
ORDER_TOLD = "UPDATE imaging_order SET told = told + 1 WHERE id = ?"
PLANNED_STEP = "(({conditions}) OR EXISTS (SELECT 1 FROM order_step s WHERE s.order_id = o.id))"
_PERFORMED_FIELDS = "uid, state, station, order_id, study_uid, body, created, updated"
PERFORMED = f"SELECT {_PERFORMED_FIELDS} FROM performed_step WHERE uid = ?"
PERFORMED_OF_ORDER = f"SELECT {_PERFORMED_FIELDS} FROM performed_step WHERE order_id = ? ORDER BY created, uid"
PERFORMED_PUT = f"""
    INSERT INTO performed_step ({_PERFORMED_FIELDS}) VALUES ({", ".join("?" for _ in _PERFORMED_FIELDS.split(","))})
    ON CONFLICT (uid) DO UPDATE SET state = excluded.state, body = excluded.body, updated = excluded.updated,
    order_id = excluded.order_id"""

# messages
_MESSAGE_WRITTEN = (
    "direction, peer, application, facility, control_id, type, raw, body_hash, state, ack_code, ack, issues, "
    "order_id, at, took, touched"
)
_MESSAGE_FIELDS = f"{_MESSAGE_WRITTEN}, attempts"
MESSAGE_INSERT = f"""
    INSERT INTO message ({_MESSAGE_WRITTEN}) VALUES ({", ".join("?" for _ in _MESSAGE_WRITTEN.split(","))})
    RETURNING id"""
MESSAGE = f"SELECT id, {_MESSAGE_FIELDS} FROM message WHERE id = ?"
MESSAGE_FIND = f"""
    SELECT id, {_MESSAGE_FIELDS} FROM message
    WHERE control_id = ? AND direction = ? AND application = ? AND facility = ?
    AND type <> '' AND substr(type, 1, 6) <> 'fault ' ORDER BY id LIMIT 1"""
MESSAGES = f"SELECT id, {_MESSAGE_FIELDS} FROM message"
MESSAGE_UPDATE = """
    UPDATE message SET state = coalesce(?, state), ack_code = coalesce(?, ack_code), ack = coalesce(?, ack),
    issues = coalesce(?, issues), order_id = coalesce(?, order_id), took = coalesce(?, took),
    touched = coalesce(?, touched), attempts = attempts + ? WHERE id = ?"""
MESSAGE_MOVE = "UPDATE message SET state = ? WHERE id = ? AND state = ?"
MESSAGE_LINES = """
    SELECT id, direction, peer, application, facility, control_id, type, length(raw), state, ack_code, issues,
    order_id, touched, attempts, took, at FROM message"""
MESSAGE_AT = "SELECT id, at FROM message WHERE id >= ? ORDER BY id LIMIT 1"
MESSAGE_ENDS = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM message"
MESSAGES_OF_ORDERS = """
    SELECT m.id FROM imaging_order o JOIN message m ON m.order_id = o.id WHERE o.{column} = ?"""
MESSAGES_OF_PATIENT = """
    SELECT m.id FROM audit a JOIN message m ON m.control_id = a.request_id AND m.direction = 'in'
    WHERE a.patient = ? AND a.kind = 'hl7' AND a.who = m.application || '|' || m.facility"""
_REFUSED = (
    "SELECT id, raw FROM message WHERE direction = 'in' AND state = 'refused' AND {holds} ORDER BY id DESC LIMIT ?"
)
MESSAGES_REFUSED_WITH = {
    "sqlite": _REFUSED.format(holds="instr(raw, ?) > 0"),
    "postgresql": _REFUSED.format(holds="position(? IN raw) > 0"),
}
MESSAGES_PRUNE = """
    DELETE FROM message WHERE id IN (SELECT id FROM message WHERE id < ? AND at < ?
    AND state NOT IN ('queued', 'dead', 'unanswered') ORDER BY id LIMIT ?)"""
ANSWER_INSERT = "INSERT INTO answer (id, about) VALUES (?, ?)"
ANSWERS = f"SELECT m.id, {_MESSAGE_FIELDS} FROM answer a JOIN message m ON m.id = a.id WHERE a.about = ? ORDER BY a.id"
ANSWERED = f"SELECT m.id, {_MESSAGE_FIELDS} FROM answer a JOIN message m ON m.id = a.about WHERE a.id = ?"
ANSWERS_PRUNE = """
    DELETE FROM answer WHERE id IN (SELECT a.id FROM answer a LEFT JOIN message m ON m.id = a.id
    WHERE a.id < ? AND m.id IS NULL LIMIT ?)"""
MESSAGE_COUNTS = "SELECT direction, state, count(*) FROM message GROUP BY direction, state"

# jobs
_JOB_FIELDS = "id, kind, key, payload, attempt, created, last_error"
JOB_INSERT = """
    INSERT INTO job (kind, key, payload, state, run_at, lease_until, attempt, created)
    VALUES (?, ?, ?, 'ready', ?, 0, 0, ?)"""
JOB_WAITING = """
    SELECT id FROM job WHERE kind = ? AND key = ? AND state = 'ready' AND lease_until = 0 ORDER BY id LIMIT 1"""
JOB_RENEW = "UPDATE job SET payload = ?, run_at = CASE WHEN run_at < ? THEN run_at ELSE ? END WHERE id = ?"
# One statement of both, without an answer to wait for; FOR UPDATE, so that nobody claims the job before our commit.
JOB_RENEW_OR_INSERT = f"""
    WITH waiting AS ({JOB_WAITING} FOR UPDATE),
    renewed AS (UPDATE job SET payload = ?, run_at = CASE WHEN run_at < ? THEN run_at ELSE ? END
        WHERE id IN (SELECT id FROM waiting))
    INSERT INTO job (kind, key, payload, state, run_at, lease_until, attempt, created)
    SELECT ?, ?, ?, 'ready', ?, 0, 0, ? WHERE NOT EXISTS (SELECT 1 FROM waiting)"""
_DUE = """
    SELECT j.id FROM job j WHERE j.state = 'ready' AND j.run_at <= ? AND j.lease_until <= ?{kinds}{keys}
    AND NOT EXISTS (SELECT 1 FROM job o WHERE o.kind = j.kind AND o.key = j.key AND o.state = 'ready' AND o.id < j.id)
    ORDER BY j.run_at, j.id LIMIT ?"""
_CLAIM = "UPDATE job SET lease_until = ?, attempt = attempt + 1 WHERE id IN ({due}) RETURNING " + _JOB_FIELDS
JOB_OF_KINDS = {  # SQLite: +, so that the jobs are walked by when they are due and not all of a kind sorted
    "sqlite": " AND +j.kind IN ({marks})",
    "postgresql": " AND j.kind IN ({marks})",
}
JOB_OF_KEYS = " AND j.key >= ? AND j.key < ?"
JOB_NOT_OF_KEYS = " AND NOT (j.key >= ? AND j.key < ?)"
JOB_CLAIM = {
    "sqlite": _CLAIM.replace("{due}", _DUE),
    "postgresql": _CLAIM.replace("{due}", _DUE + " FOR UPDATE OF j SKIP LOCKED"),
}
JOB_FINISH = "DELETE FROM job WHERE id = ? AND attempt = ? AND state = 'ready' AND lease_until > 0"
JOB_RETRY = """
    UPDATE job SET run_at = ?, lease_until = 0, last_error = ?
    WHERE id = ? AND attempt = ? AND state = 'ready' AND lease_until > 0"""
JOB_FAILING = """
    SELECT count(*), max(last_error) FROM job WHERE kind = ? AND state = 'ready' AND last_error IS NOT NULL"""
JOB_HOLD = """
    UPDATE job SET run_at = ? WHERE kind = ? AND key = ? AND state = 'ready' AND id > ? AND run_at < ?"""
JOB_BURY = """
    UPDATE job SET state = 'dead', lease_until = 0, last_error = ?
    WHERE id = ? AND attempt = ? AND state = 'ready' AND lease_until > 0"""
JOB_EXTEND = "UPDATE job SET lease_until = ? WHERE id = ? AND attempt = ? AND state = 'ready' AND lease_until > 0"
JOB_RELEASE_ALL = "UPDATE job SET lease_until = 0 WHERE state = 'ready' AND lease_until > 0"
JOB_REPLAY = "UPDATE job SET state = 'ready', run_at = ?, lease_until = 0 WHERE id = ? AND state = 'dead'"
JOBS_REPLAY = """
    UPDATE job SET state = 'ready', run_at = ?, lease_until = 0
    WHERE kind = ? AND key >= ? AND key < ? AND state = 'dead'"""
JOB_OF_PAYLOAD = "SELECT id, state FROM job WHERE kind = ? AND key = ? AND payload = ? ORDER BY id DESC LIMIT 1"
JOB_HASTEN = "UPDATE job SET run_at = ? WHERE id = ? AND state = 'ready' AND lease_until = 0 AND run_at > ?"
JOBS_HASTEN = """
    UPDATE job SET run_at = ? WHERE kind = ? AND key >= ? AND key < ? AND state = 'ready' AND lease_until = 0
    AND run_at > ?"""
JOB_DROP = "DELETE FROM job WHERE id = ? AND (state = 'dead' OR lease_until <= ?)"
JOBS_DEAD = f"SELECT {_JOB_FIELDS} FROM job WHERE state = 'dead' AND id < ?{{kinds}} ORDER BY id DESC LIMIT ?"
JOBS_DEAD_OF_KINDS = " AND kind IN ({marks})"
JOB_DEAD = f"SELECT {_JOB_FIELDS} FROM job WHERE id = ? AND state = 'dead'"
JOBS_DEAD_COUNTS = "SELECT kind, count(*) FROM job WHERE state = 'dead' GROUP BY kind ORDER BY kind"
JOBS_DEAD_DROP = "DELETE FROM job WHERE kind = ? AND key = ? AND state = 'dead'"
JOB_NEXT_DUE = """
    SELECT min(CASE WHEN j.lease_until > j.run_at THEN j.lease_until ELSE j.run_at END) FROM job j
    WHERE j.state = 'ready' AND NOT EXISTS
    (SELECT 1 FROM job o WHERE o.kind = j.kind AND o.key = j.key AND o.state = 'ready' AND o.id < j.id)"""
JOB_COUNTS = """
    SELECT CASE WHEN state = 'dead' THEN 'dead' WHEN lease_until > ? THEN 'running' WHEN run_at > ? THEN 'waiting'
    ELSE 'ready' END AS stand, count(*) FROM job GROUP BY 1"""

# audit
_AUDIT_FIELDS = (
    "recorded, who, agent_kind, agent_name, client, address, agent_patient, token_id, request_id, kind, subtype, "
    "action, outcome, patient, entity, query, detail, dedupe_key"
)
AUDIT_INSERT = f"""
    INSERT INTO audit ({_AUDIT_FIELDS}, type_code, subtype_code)
    VALUES ({", ".join("?" for _ in _AUDIT_FIELDS.split(","))}, ?, ?)"""
AUDIT_INSERT_ONCE = AUDIT_INSERT + " ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING"
AUDIT_ROWS = f"SELECT pk, {_AUDIT_FIELDS} FROM audit a"
AUDIT_BY_PK = f"SELECT pk, {_AUDIT_FIELDS} FROM audit a WHERE pk = ? AND recorded = ?"

# state and counters
STATE = "SELECT value FROM state WHERE name = ?"
STATE_PUT = "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
STATES_BETWEEN = "SELECT name, value FROM state WHERE name > ? AND name < ? ORDER BY name"
STATES_FROM_TO = "SELECT name, value FROM state WHERE name >= ? AND name <= ? ORDER BY name"
STATE_CLEAR = "DELETE FROM state WHERE name = ?"
COUNTER = "SELECT value FROM counter WHERE name = ?"
COUNTER_PUT = "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
COUNTER_TAKE = """
    INSERT INTO counter (name, value) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value RETURNING value"""

# what went over the connections
TRAFFIC_ADD = """
    INSERT INTO traffic (name, value) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET value = traffic.value + excluded.value"""
TRAFFIC = "SELECT name, value FROM traffic ORDER BY name"
_PEER_FIELDS = "direction, name, address, messages, refused, last_at, last_error, last_error_at"
PEER_ADD = f"""
    INSERT INTO peer ({_PEER_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (direction, name, address) DO UPDATE SET
    messages = peer.messages + excluded.messages,
    refused = peer.refused + excluded.refused,
    last_at = CASE WHEN excluded.last_at IS NULL OR excluded.last_at < peer.last_at
        THEN peer.last_at ELSE excluded.last_at END,
    last_error = CASE WHEN excluded.last_error_at IS NULL OR excluded.last_error_at < peer.last_error_at
        THEN peer.last_error ELSE excluded.last_error END,
    last_error_at = CASE WHEN excluded.last_error_at IS NULL OR excluded.last_error_at < peer.last_error_at
        THEN peer.last_error_at ELSE excluded.last_error_at END"""
PEERS = f"SELECT {_PEER_FIELDS} FROM peer ORDER BY direction, name, address"
PEER_QUEUES = """
    SELECT peer, state, count(*), min(at) FROM message
    WHERE direction = 'out' AND state IN ('queued', 'dead', 'unanswered') GROUP BY peer, state"""

_DECISION = "study_uid, order_id, rule, who, person, evidence, before, at"
MATCH_CLOSE = "UPDATE study_match SET held = 0 WHERE study_uid = ? AND held = 1"
MATCH_INSERT = f"INSERT INTO study_match ({_DECISION}, held) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)"
MATCH_HELD = f"SELECT pk, {_DECISION} FROM study_match WHERE study_uid = ? AND held = 1"
MATCHES = f"SELECT pk, {_DECISION} FROM study_match WHERE study_uid = ? ORDER BY pk DESC LIMIT ?"
MATCH_WAITING = f"""
    SELECT pk, {_DECISION} FROM study_match
    WHERE held = 1 AND order_id IS NULL AND pk < ? ORDER BY pk DESC LIMIT ?"""

STUDIES_SINCE = """
    SELECT type, id, version, last_updated, body FROM resource
    WHERE type = 'ImagingStudy' AND last_updated >= ? AND deleted = 0 ORDER BY last_updated DESC, id DESC LIMIT ?"""

# which archive holds a study
PLACE = "SELECT archive FROM study_archive WHERE study_uid = ?"
PLACE_PUT = """
    INSERT INTO study_archive (study_uid, archive) VALUES (?, ?)
    ON CONFLICT (study_uid) DO UPDATE SET archive = excluded.archive"""
PLACE_CLEAR = "DELETE FROM study_archive WHERE study_uid = ?"
PLACED = "SELECT study_uid FROM study_archive WHERE archive = ? AND study_uid > ? ORDER BY study_uid LIMIT ?"
PLACED_COUNTS = "SELECT archive, count(*) FROM study_archive GROUP BY archive"

# shares, and ended sessions
_SHARE = "id, who, studies, annotate, label, created, expires, revoked, openings, opened"
SHARE_INSERT = f"INSERT INTO share (digest, {_SHARE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, NULL)"
SHARE = f"SELECT {_SHARE} FROM share WHERE id = ?"
SHARE_BY_DIGEST = f"SELECT {_SHARE} FROM share WHERE digest = ?"
SHARES = f"SELECT {_SHARE} FROM share WHERE id < ? ORDER BY id DESC LIMIT ?"
SHARES_OF = f"SELECT {_SHARE} FROM share WHERE who = ? AND id < ? ORDER BY id DESC LIMIT ?"
SHARE_OPENED = "UPDATE share SET openings = openings + 1, opened = ? WHERE id = ?"
SHARE_REVOKE = "UPDATE share SET revoked = ? WHERE id = ? AND revoked IS NULL"
SHARES_FORGET = "DELETE FROM share WHERE expires < ?"
SESSION_END = "INSERT INTO session_end (name, before, until) VALUES (?, ?, ?)"
SESSION_ENDS = "SELECT seq, name, before, until FROM session_end WHERE seq > ? ORDER BY seq"
SESSION_ENDS_FORGET = "DELETE FROM session_end WHERE until < ?"
