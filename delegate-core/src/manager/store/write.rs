//! How each change is written.

use std::sync::LazyLock;

use indexmap::IndexMap;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::rows::{Change, LogChunk, LogRow, StateColumns, TokenRow, signed};
use super::runs;
use crate::manager::queue::{Changed, DelegateRow, Task};

/// Rows of a task, by name and in the order in which they are bound.
const TASK_COLUMNS: [&str; 7] = [
    "id",
    "kind",
    "selectors",
    "timeout_ms",
    "queue_timeout_ms",
    "created_at",
    "data",
];

/// What changes of a task.
const STATE_COLUMNS: [&str; 11] = [
    "status",
    "attempts",
    "excluded",
    "queued_at",
    "delegate_id",
    "delegate_name",
    "started_at",
    "abort_asked_at",
    "finished_at",
    "reason",
    "response",
];

/// Rows that one statement writes, from many to one: a statement costs more than a row, and each size is prepared once. With
/// many more, SQLite would mostly look for the parameters, which it does one after the other.
const ROWS: [usize; 3] = [16, 4, 1];

/// The statements for each of [`ROWS`]: new tasks, and their states.
static STATEMENTS: LazyLock<[(usize, String, String); ROWS.len()]> =
    LazyLock::new(|| ROWS.map(|rows| (rows, insert_tasks(rows), update_states(rows))));

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
const PURGE: [&str; 4] = [
    "DELETE FROM log_chunks WHERE task_id IN (SELECT id FROM tasks WHERE finished_at < $1)",
    "DELETE FROM logs WHERE task_id IN (SELECT id FROM tasks WHERE finished_at < $1)",
    "DELETE FROM tasks WHERE finished_at < $1",
    "DELETE FROM runs WHERE finished_at < $1",
];

/// `rows` times `columns` numbered parameters, as the rows of a `VALUES`.
fn values(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let parameters: Vec<String> = (1..=columns)
            .map(|column| format!("${}", row * columns + column))
            .collect();
        format!("({})", parameters.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

fn insert_tasks(rows: usize) -> String {
    let columns = TASK_COLUMNS.join(", ");
    let values = values(rows, TASK_COLUMNS.len());
    format!(
        "INSERT INTO tasks ({columns}, status, attempts, excluded, queued_at) \
         SELECT column1, column2, column3, column4, column5, column6, column7, 'QUEUED', 0, '[]', column6 \
         FROM (VALUES {values}) AS task WHERE true ON CONFLICT (id) DO NOTHING"
    )
}

/// The first column is the identity, the last says whether the task is over: its data goes with its end.
fn update_states(rows: usize) -> String {
    let count = STATE_COLUMNS.len();
    let set: Vec<String> = STATE_COLUMNS
        .iter()
        .zip(2..)
        .map(|(name, column)| format!("{name} = state.column{column}"))
        .collect();
    format!(
        "UPDATE tasks SET {}, data = CASE WHEN state.column{} = 1 THEN '' ELSE tasks.data END \
         FROM (VALUES {}) AS state WHERE tasks.id = state.column1",
        set.join(", "),
        count + 2,
        values(rows, count + 2)
    )
}

/// Writes changes in their order, many rows with one statement where the order allows it.
pub(super) async fn changes(connection: &mut AnyConnection, changes: &[&Change]) -> Result<(), sqlx::Error> {
    // States of tasks say all, so only the last of each counts, and nothing but what forgets tasks depends on them.
    let mut states: IndexMap<&str, &Task> = IndexMap::new();
    let mut new = Vec::new();
    for &change in changes {
        match change {
            Change::NewTask(task, data) => new.push((&**task, &*data.0)),
            Change::Queue(Changed::Task(task)) => {
                states.insert(task.id.as_str(), task);
            }
            other => {
                if matches!(other, Change::Purge(_)) {
                    tasks(connection, &mut new, &mut states).await?;
                }
                one(connection, other).await?;
            }
        }
    }
    tasks(connection, &mut new, &mut states).await
}

/// Writes the new tasks, then the states, and leaves both empty.
async fn tasks<'a>(
    connection: &mut AnyConnection,
    new: &mut Vec<(&'a Task, &'a str)>,
    states: &mut IndexMap<&'a str, &'a Task>,
) -> Result<(), sqlx::Error> {
    for (rows, insert, _) in &*STATEMENTS {
        while new.len() >= *rows {
            let mut query = sqlx::query(AssertSqlSafe(insert.as_str()));
            for (task, data) in new.drain(..rows) {
                query = query
                    .bind(task.id.as_str())
                    .bind(&task.kind)
                    .bind(json_list(task.selectors.iter().map(String::as_str)))
                    .bind(signed(task.timeout_ms))
                    .bind(signed(task.queue_timeout_ms))
                    .bind(task.created_at)
                    .bind(data);
            }
            query.execute(&mut *connection).await?;
        }
    }
    for (rows, _, update) in &*STATEMENTS {
        while states.len() >= *rows {
            let mut query = sqlx::query(AssertSqlSafe(update.as_str()));
            for (id, task) in states.drain(..rows) {
                let columns = StateColumns::of(task);
                query = query
                    .bind(id)
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
                    .bind(i64::from(task.status().is_final()));
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Writes one change that is not about a task itself.
async fn one(connection: &mut AnyConnection, change: &Change) -> Result<(), sqlx::Error> {
    match change {
        // Written with others of their kind.
        Change::NewTask(..) | Change::Queue(Changed::Task(_)) => Ok(()),
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
        Change::NewRun(run) => runs::begin(connection, run).await,
        Change::RunNodes(id, nodes) => runs::put_nodes(connection, id, nodes).await,
        Change::RunEnded(run) => runs::end(connection, run).await,
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
