-- One text for SQLite and PostgreSQL. Times are milliseconds since the epoch, lists and objects are JSON text.

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tokens (
    name         TEXT   NOT NULL PRIMARY KEY,
    uuid         TEXT   NOT NULL,
    secret       TEXT   NOT NULL,
    status       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    revoked_at   BIGINT,
    revoke_after BIGINT
);

CREATE TABLE delegates (
    id            TEXT   NOT NULL PRIMARY KEY,
    params        TEXT   NOT NULL,
    token_name    TEXT   NOT NULL,
    registered_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL
);

-- `data` is emptied when the task ends: it may carry secrets, and nobody needs it then.
CREATE TABLE tasks (
    id               TEXT   NOT NULL PRIMARY KEY,
    kind             TEXT   NOT NULL,
    selectors        TEXT   NOT NULL,
    timeout_ms       BIGINT NOT NULL,
    queue_timeout_ms BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    data             TEXT   NOT NULL,
    status           TEXT   NOT NULL,
    attempts         BIGINT NOT NULL,
    excluded         TEXT   NOT NULL,
    queued_at        BIGINT,
    delegate_id      TEXT,
    delegate_name    TEXT,
    started_at       BIGINT,
    abort_asked_at   BIGINT,
    finished_at      BIGINT,
    reason           TEXT,
    response         TEXT
);

CREATE INDEX tasks_newest ON tasks (created_at, id);
CREATE INDEX tasks_status ON tasks (status, created_at, id);
CREATE INDEX tasks_finished ON tasks (finished_at);

-- What is known of a task's log; its lines are in log_chunks.
CREATE TABLE logs (
    task_id    TEXT   NOT NULL PRIMARY KEY,
    open       BIGINT NOT NULL,
    lines      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    next_chunk BIGINT NOT NULL,
    source     BIGINT NOT NULL
);

-- `source`: 0 as streamed, 1 and more as uploaded whole. `lines` is NDJSON.
CREATE TABLE log_chunks (
    task_id TEXT   NOT NULL,
    source  BIGINT NOT NULL,
    chunk   BIGINT NOT NULL,
    lines   TEXT   NOT NULL,
    PRIMARY KEY (task_id, source, chunk)
);
