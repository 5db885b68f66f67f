//! Reading. Everything read here is committed, so what a caller has seen is never taken back by a kill.

use std::collections::HashMap;

use sqlx::Row as _;

use super::rows::{self, LogChunk, LogRow, TokenRow};
use super::{Store, StoreError};
use crate::manager::ids::{Millis, TaskId};
use crate::manager::queue::{DelegateRow, Task};
use crate::protocol::api::TaskStatus;

/// All columns of a task but its data, and which tasks.
macro_rules! select_task {
    ($which:literal) => {
        concat!(
            "SELECT id, kind, selectors, timeout_ms, queue_timeout_ms, created_at, status, attempts, excluded, queued_at, ",
            "delegate_id, delegate_name, started_at, abort_asked_at, finished_at, reason, response FROM tasks ",
            $which
        )
    };
}

/// A filter that is not asked for is NULL. The place after which to go on is given in any case: far in the future, when
/// it is the beginning.
const LIST_TASKS: &str = select_task!(
    "WHERE ($1 IS NULL OR status = $1) AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR delegate_id = $3) \
     AND (created_at < $4 OR (created_at = $4 AND id < $5)) ORDER BY created_at DESC, id DESC LIMIT $6"
);

/// Which tasks a list shows.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only with this status.
    pub status: Option<TaskStatus>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only held by this delegate.
    pub delegate: Option<String>,
    /// Only those after this one, in the order of the list.
    pub after: Option<(Millis, String)>,
    /// At most so many.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub tasks: Vec<Task>,
    /// Whether there are more.
    pub more: bool,
}

impl Store {
    /// Tasks that are not over.
    pub async fn open_tasks(&self) -> Result<Vec<Task>, StoreError> {
        let rows = sqlx::query(select_task!("WHERE status IN ('QUEUED', 'RUNNING')"))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(rows::task).collect()
    }

    /// Registered delegates.
    pub async fn delegates(&self) -> Result<Vec<DelegateRow>, StoreError> {
        let rows = sqlx::query("SELECT id, params, token_name, registered_at, last_seen_at FROM delegates")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(rows::delegate).collect()
    }

    /// All delegate tokens.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query("SELECT name, uuid, secret, created_at, revoked_at, revoke_after FROM tokens")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(rows::token).collect()
    }

    /// The manager's own settings.
    pub async fn settings(&self) -> Result<HashMap<String, String>, StoreError> {
        let rows = sqlx::query("SELECT name, value FROM settings")
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("name")?, row.try_get("value")?)))
            .collect()
    }

    /// One task, whatever its status.
    pub async fn task(&self, id: &str) -> Result<Option<Task>, StoreError> {
        if !can_be_kept(id) {
            return Ok(None);
        }
        let row = sqlx::query(select_task!("WHERE id = $1"))
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(rows::task).transpose()
    }

    /// The data of a task that is not over, as JSON.
    pub async fn task_data(&self, id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT data FROM tasks WHERE id = $1")
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        Ok(row.map(|row| row.try_get("data")).transpose()?)
    }

    /// A page of tasks, newest first.
    pub async fn list(&self, filter: &TaskFilter) -> Result<Page, StoreError> {
        let after = filter.after.as_ref().map(|(_, id)| id);
        let texts = [filter.kind.as_ref(), filter.delegate.as_ref(), after];
        if texts.into_iter().flatten().any(|text| !can_be_kept(text)) {
            let (tasks, more) = (Vec::new(), false);
            return Ok(Page { tasks, more });
        }
        let (at, id) = filter.after.clone().unwrap_or((Millis::MAX, String::new()));
        let rows = sqlx::query(LIST_TASKS)
            .bind(filter.status.map(TaskStatus::as_str))
            .bind(filter.kind.as_deref())
            .bind(filter.delegate.as_deref())
            .bind(at)
            .bind(id)
            // One more than asked for tells whether there are more.
            .bind(i64::from(filter.limit) + 1)
            .fetch_all(self.pool())
            .await?;
        let mut tasks = rows.iter().map(rows::task).collect::<Result<Vec<_>, _>>()?;
        let more = tasks.len() > filter.limit as usize;
        tasks.truncate(filter.limit as usize);
        Ok(Page { tasks, more })
    }

    /// Number of tasks by status.
    pub async fn counts(&self) -> Result<HashMap<String, i64>, StoreError> {
        let rows = sqlx::query("SELECT status, COUNT(*) AS number FROM tasks GROUP BY status")
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("status")?, row.try_get("number")?)))
            .collect()
    }

    /// What is known of a task's log.
    pub async fn log(&self, task: &TaskId) -> Result<Option<LogRow>, StoreError> {
        if !can_be_kept(task.as_str()) {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT task_id, open, lines, bytes, next_chunk, source FROM logs WHERE task_id = $1",
        )
        .bind(task.as_str())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(rows::log).transpose()
    }

    /// Chunks of a log from a position on, at most so many.
    pub async fn log_chunks(
        &self,
        task: &TaskId,
        source: i64,
        from: i64,
        limit: i64,
    ) -> Result<Vec<LogChunk>, StoreError> {
        let rows = sqlx::query(
            "SELECT source, chunk, lines FROM log_chunks WHERE task_id = $1 AND source = $2 AND chunk >= $3 \
             ORDER BY chunk LIMIT $4",
        )
        .bind(task.as_str())
        .bind(source)
        .bind(from)
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(LogChunk {
                    source: row.try_get("source")?,
                    chunk: row.try_get("chunk")?,
                    lines: row.try_get("lines")?,
                })
            })
            .collect()
    }
}

/// PostgreSQL holds no NUL; there is nothing to be found by a text that has one.
pub(super) fn can_be_kept(text: &str) -> bool {
    !text.contains('\0')
}
