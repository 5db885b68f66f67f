//! How each change is written.

use sqlx::AnyConnection;

use super::rows::{Change, LogChunk, LogRow, StateColumns, TokenRow, signed};
use crate::manager::queue::{Changed, DelegateRow, Task};

const INSERT_TASK: &str = "INSERT INTO tasks \
    (id, kind, selectors, timeout_ms, queue_timeout_ms, created_at, data, status, attempts, excluded, queued_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'QUEUED', 0, '[]', $6) ON CONFLICT (id) DO NOTHING";

const UPDATE_TASK: &str = "UPDATE tasks SET status = $2, attempts = $3, excluded = $4, queued_at = $5, delegate_id = $6, \
    delegate_name = $7, started_at = $8, abort_asked_at = $9, finished_at = $10, reason = $11, response = $12 WHERE id = $1";

/// The data goes with the end of the task.
const END_TASK: &str = "UPDATE tasks SET status = $2, attempts = $3, excluded = $4, queued_at = $5, delegate_id = $6, \
    delegate_name = $7, started_at = $8, abort_asked_at = $9, finished_at = $10, reason = $11, response = $12, data = '' \
    WHERE id = $1";

const PUT_DELEGATE: &str = "INSERT INTO delegates (id, params, token_name, registered_at, last_seen_at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET params = excluded.params, \
    token_name = excluded.token_name, registered_at = excluded.registered_at, last_seen_at = excluded.last_seen_at";

const PUT_TOKEN: &str = "INSERT INTO tokens (name, uuid, secret, status, created_at, revoked_at, revoke_after) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO UPDATE SET uuid = excluded.uuid, secret = excluded.secret, \
    status = excluded.status, created_at = excluded.created_at, revoked_at = excluded.revoked_at, \
    revoke_after = excluded.revoke_after";

const PUT_LOG: &str = "INSERT INTO logs (task_id, open, lines, bytes, next_chunk, source) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (task_id) DO UPDATE SET open = excluded.open, lines = excluded.lines, bytes = excluded.bytes, \
    next_chunk = excluded.next_chunk, source = excluded.source";

const ADD_CHUNK: &str = "INSERT INTO log_chunks (task_id, source, chunk, lines) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (task_id, source, chunk) DO UPDATE SET lines = excluded.lines";

const PUT_SETTING: &str = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// What ended before a time, the logs first: they are found by the tasks.
const PURGE: [&str; 3] = [
    "DELETE FROM log_chunks WHERE task_id IN (SELECT id FROM tasks WHERE finished_at < $1)",
    "DELETE FROM logs WHERE task_id IN (SELECT id FROM tasks WHERE finished_at < $1)",
    "DELETE FROM tasks WHERE finished_at < $1",
];

/// Writes one change.
pub(super) async fn change(connection: &mut AnyConnection, change: &Change) -> Result<(), sqlx::Error> {
    match change {
        Change::NewTask(task, data) => new_task(connection, task, &data.0).await,
        Change::Queue(Changed::Task(task)) => task_state(connection, task).await,
        Change::Queue(Changed::Delegate(row)) => delegate(connection, row).await,
        Change::Queue(Changed::DelegateSeen(id, at)) => {
            sqlx::query("UPDATE delegates SET last_seen_at = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(*at)
                .execute(connection)
                .await
                .map(drop)
        }
        Change::Queue(Changed::DelegateGone(id)) => sqlx::query("DELETE FROM delegates WHERE id = $1")
            .bind(id.as_str())
            .execute(connection)
            .await
            .map(drop),
        Change::Token(row) => token(connection, row).await,
        Change::TokenGone(name) => sqlx::query("DELETE FROM tokens WHERE name = $1")
            .bind(name)
            .execute(connection)
            .await
            .map(drop),
        Change::Log(row, chunks) => log(connection, row, chunks).await,
        Change::Setting(name, value) => sqlx::query(PUT_SETTING)
            .bind(*name)
            .bind(value)
            .execute(connection)
            .await
            .map(drop),
        Change::Purge(before) => {
            for statement in PURGE {
                sqlx::query(statement)
                    .bind(*before)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        }
    }
}

async fn new_task(connection: &mut AnyConnection, task: &Task, data: &str) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT_TASK)
        .bind(task.id.as_str())
        .bind(&task.kind)
        .bind(json_list(task.selectors.iter().map(String::as_str)))
        .bind(signed(task.timeout_ms))
        .bind(signed(task.queue_timeout_ms))
        .bind(task.created_at)
        .bind(data)
        .execute(connection)
        .await
        .map(drop)
}

async fn task_state(connection: &mut AnyConnection, task: &Task) -> Result<(), sqlx::Error> {
    let columns = StateColumns::of(task);
    let statement = if task.status().is_final() {
        END_TASK
    } else {
        UPDATE_TASK
    };
    sqlx::query(statement)
        .bind(task.id.as_str())
        .bind(columns.status)
        .bind(i64::from(task.attempts))
        .bind(json_list(
            task.excluded.iter().map(crate::manager::ids::DelegateId::as_str),
        ))
        .bind(columns.queued_at)
        .bind(columns.delegate_id)
        .bind(columns.delegate_name)
        .bind(columns.started_at)
        .bind(columns.abort_asked_at)
        .bind(columns.finished_at)
        .bind(columns.reason)
        .bind(columns.response)
        .execute(connection)
        .await
        .map(drop)
}

async fn delegate(connection: &mut AnyConnection, row: &DelegateRow) -> Result<(), sqlx::Error> {
    let params = serde_json::to_string(&row.params).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(PUT_DELEGATE)
        .bind(row.id.as_str())
        .bind(params)
        .bind(&row.token_name)
        .bind(row.registered_at)
        .bind(row.last_seen)
        .execute(connection)
        .await
        .map(drop)
}

async fn token(connection: &mut AnyConnection, row: &TokenRow) -> Result<(), sqlx::Error> {
    let status = if row.revoked_at.is_some() {
        "REVOKED"
    } else {
        "ACTIVE"
    };
    sqlx::query(PUT_TOKEN)
        .bind(&row.name)
        .bind(&row.uuid)
        .bind(row.secret.expose())
        .bind(status)
        .bind(row.created_at)
        .bind(row.revoked_at)
        .bind(row.revoke_after)
        .execute(connection)
        .await
        .map(drop)
}

async fn log(connection: &mut AnyConnection, row: &LogRow, chunks: &[LogChunk]) -> Result<(), sqlx::Error> {
    for chunk in chunks {
        sqlx::query(ADD_CHUNK)
            .bind(row.task.as_str())
            .bind(chunk.source)
            .bind(chunk.chunk)
            .bind(&chunk.lines)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(PUT_LOG)
        .bind(row.task.as_str())
        .bind(i64::from(row.open))
        .bind(signed(row.lines))
        .bind(signed(row.bytes))
        .bind(row.next_chunk)
        .bind(row.source)
        .execute(connection)
        .await
        .map(drop)
}

fn json_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from(items.collect::<Vec<_>>()).to_string()
}
