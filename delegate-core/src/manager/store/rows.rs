//! Rows as they are written, and how a task's state becomes columns and comes back.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::StoreError;
use crate::Secret;
use crate::manager::ids::{Millis, RunId, TaskId};
use crate::manager::queue::{Changed, DelegateRow, Ended, State, Task};
use crate::protocol::api::TaskStatus;

/// One change of the stored state. Writing the same change twice is the same as writing it once, so a commit whose
/// fate is unknown can be repeated.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new task and its data as JSON.
    NewTask(Box<Task>, Data),
    /// What the state machine decided.
    Queue(Changed),
    /// A delegate token as it is now.
    Token(TokenRow),
    /// A delegate token was deleted.
    TokenGone(String),
    /// A task's log as it is now, and lines to be added.
    Log(LogRow, Vec<LogChunk>),
    /// A new run of a pipeline.
    NewRun(Box<NewRun>),
    /// Nodes of a run as they are now.
    RunNodes(RunId, Vec<NodeRow>),
    /// A run is over.
    RunEnded(Box<RunEnded>),
    /// A setting of the manager itself.
    Setting(&'static str, String),
    /// Forget what ended before this time.
    Purge(Millis),
}

/// A task's data: may carry secrets, so it does not print.
#[derive(Clone)]
pub struct Data(pub Arc<str>);

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl From<Changed> for Change {
    fn from(changed: Changed) -> Self {
        Self::Queue(changed)
    }
}

impl Change {
    /// About how much memory it holds, in bytes.
    pub fn weight(&self) -> usize {
        /// A row without its texts.
        const ROW: usize = 512;
        ROW + match self {
            Self::NewTask(_, data) => data.0.len(),
            Self::Queue(Changed::Task(task)) => match &task.state {
                State::Ended(ended) => ended.response.as_ref().map_or(0, String::len),
                _ => 0,
            },
            Self::NewRun(run) => run.plan.0.len() + run.inputs.0.len(),
            Self::RunNodes(_, nodes) => nodes.iter().map(|node| node.state.0.len()).sum(),
            Self::RunEnded(run) => run.view.len(),
            Self::Log(_, chunks) => chunks.iter().map(|chunk| chunk.lines.len()).sum(),
            _ => 0,
        }
    }
}

/// A run of a pipeline, as it begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// What lists show of it.
    pub row: RunRow,
    /// Its plan as JSON.
    pub plan: Data,
    /// The values that it was given, as JSON.
    pub inputs: Data,
}

/// What lists show of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Identity.
    pub id: RunId,
    /// Identifier of its pipeline.
    pub pipeline: String,
    /// Name of its pipeline.
    pub name: String,
    /// `RUNNING`, or how it ended.
    pub status: String,
    /// When it started.
    pub created_at: Millis,
    /// When it ended.
    pub finished_at: Option<Millis>,
}

/// A node of a run.
#[derive(Debug, Clone)]
pub struct NodeRow {
    /// Its place among the nodes.
    pub node: usize,
    /// All of it, as JSON.
    pub state: Data,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnded {
    /// Which.
    pub id: RunId,
    /// How.
    pub status: &'static str,
    /// When.
    pub at: Millis,
    /// What there is to be looked at from now on, as JSON.
    pub view: String,
}

/// A run that goes on, as it is read back.
#[derive(Debug)]
pub struct OpenRun {
    /// What lists show of it.
    pub row: RunRow,
    /// Its plan as JSON.
    pub plan: String,
    /// The values that it was given, as JSON.
    pub inputs: String,
    /// Its nodes as JSON, in their order.
    pub nodes: Vec<String>,
}

/// A delegate token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Name, unique.
    pub name: String,
    /// Identity.
    pub uuid: String,
    /// The bare secret. It is the key of the bearer tokens, so it has to be kept as it is.
    pub secret: Secret,
    /// When it was made.
    pub created_at: Millis,
    /// When it was revoked; active when absent.
    pub revoked_at: Option<Millis>,
    /// When it revokes itself.
    pub revoke_after: Option<Millis>,
}

/// What is known of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Whose log it is.
    pub task: TaskId,
    /// Whether more lines are expected.
    pub open: bool,
    /// Lines so far.
    pub lines: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Number of the next chunk.
    pub next_chunk: i64,
    /// Which chunks are the log: 0 as streamed, 1 and more as uploaded whole.
    pub source: i64,
}

/// Lines added together.
#[derive(Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// See [`LogRow::source`].
    pub source: i64,
    /// Position among the chunks of its source.
    pub chunk: i64,
    /// NDJSON, each line ended by a line feed.
    pub lines: String,
}

impl std::fmt::Debug for LogChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LogChunk({}/{}, {} bytes)",
            self.source,
            self.chunk,
            self.lines.len()
        )
    }
}

/// The columns of a task that change.
#[derive(Debug, Default)]
pub(super) struct StateColumns {
    pub status: &'static str,
    pub queued_at: Option<Millis>,
    pub delegate_id: Option<String>,
    pub delegate_name: Option<String>,
    pub started_at: Option<Millis>,
    pub abort_asked_at: Option<Millis>,
    pub finished_at: Option<Millis>,
    pub reason: Option<String>,
    pub response: Option<String>,
}

impl StateColumns {
    pub(super) fn of(task: &Task) -> Self {
        let status = task.status().as_str();
        match &task.state {
            State::Queued { since } => Self {
                status,
                queued_at: Some(*since),
                ..Self::default()
            },
            State::Running {
                by,
                name,
                since,
                abort_asked,
            } => Self {
                status,
                delegate_id: Some(by.to_string()),
                delegate_name: Some(name.clone()),
                started_at: Some(*since),
                abort_asked_at: *abort_asked,
                ..Self::default()
            },
            State::Ended(ended) => Self {
                status,
                delegate_id: ended.by.as_ref().map(ToString::to_string),
                delegate_name: ended.name.clone(),
                started_at: ended.started_at,
                abort_asked_at: ended.abort_asked,
                finished_at: Some(ended.at),
                reason: ended.reason.clone(),
                response: ended.response.clone(),
                ..Self::default()
            },
        }
    }
}

/// Reads a task back. The columns are those of `SELECT_TASK`.
pub(super) fn task(row: &AnyRow) -> Result<Task, StoreError> {
    let id: String = row.try_get("id")?;
    let unreadable = |column: &str| StoreError::Unreadable {
        what: format!("{column} of task {id}"),
    };
    let list = |column: &str| -> Result<Vec<String>, StoreError> {
        let text: String = row.try_get(column)?;
        serde_json::from_str(&text).map_err(|_| unreadable(column))
    };
    let status: String = row.try_get("status")?;
    let status = TaskStatus::parse(&status).ok_or_else(|| unreadable("status"))?;
    let by: Option<String> = row.try_get("delegate_id")?;
    let name: Option<String> = row.try_get("delegate_name")?;
    let started_at: Option<Millis> = row.try_get("started_at")?;
    let state = match status {
        TaskStatus::Queued => State::Queued {
            since: row
                .try_get::<Option<Millis>, _>("queued_at")?
                .ok_or_else(|| unreadable("queued_at"))?,
        },
        TaskStatus::Running => State::Running {
            by: by.ok_or_else(|| unreadable("delegate_id"))?.into(),
            name: name.unwrap_or_default(),
            since: started_at.ok_or_else(|| unreadable("started_at"))?,
            abort_asked: row.try_get("abort_asked_at")?,
        },
        status => State::Ended(Box::new(Ended {
            status,
            at: row
                .try_get::<Option<Millis>, _>("finished_at")?
                .ok_or_else(|| unreadable("finished_at"))?,
            by: by.map(Into::into),
            name,
            started_at,
            abort_asked: row.try_get("abort_asked_at")?,
            reason: row.try_get("reason")?,
            response: row.try_get("response")?,
        })),
    };
    Ok(Task {
        kind: row.try_get("kind")?,
        selectors: list("selectors")?,
        timeout_ms: unsigned(row.try_get("timeout_ms")?),
        queue_timeout_ms: unsigned(row.try_get("queue_timeout_ms")?),
        created_at: row.try_get("created_at")?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        excluded: list("excluded")?.into_iter().map(Into::into).collect(),
        state,
        id: id.as_str().into(),
    })
}

/// Reads a delegate back.
pub(super) fn delegate(row: &AnyRow) -> Result<DelegateRow, StoreError> {
    let id: String = row.try_get("id")?;
    let params: String = row.try_get("params")?;
    Ok(DelegateRow {
        params: serde_json::from_str(&params).map_err(|_| StoreError::Unreadable {
            what: format!("params of delegate {id}"),
        })?,
        token_name: row.try_get("token_name")?,
        registered_at: row.try_get("registered_at")?,
        last_seen: row.try_get("last_seen_at")?,
        id: id.into(),
    })
}

/// Reads a token back.
pub(super) fn token(row: &AnyRow) -> Result<TokenRow, StoreError> {
    Ok(TokenRow {
        name: row.try_get("name")?,
        uuid: row.try_get("uuid")?,
        secret: Secret::new(row.try_get::<String, _>("secret")?),
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
        revoke_after: row.try_get("revoke_after")?,
    })
}

/// Reads what is known of a log back.
pub(super) fn log(row: &AnyRow) -> Result<LogRow, StoreError> {
    Ok(LogRow {
        task: row.try_get::<String, _>("task_id")?.into(),
        open: row.try_get::<i64, _>("open")? != 0,
        lines: unsigned(row.try_get("lines")?),
        bytes: unsigned(row.try_get("bytes")?),
        next_chunk: row.try_get("next_chunk")?,
        source: row.try_get("source")?,
    })
}

/// Reads back what lists show of a run.
pub(super) fn run(row: &AnyRow) -> Result<RunRow, StoreError> {
    Ok(RunRow {
        id: row.try_get::<String, _>("id")?.into(),
        pipeline: row.try_get("pipeline")?,
        name: row.try_get("name")?,
        status: row.try_get("status")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The databases count in signed numbers.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
