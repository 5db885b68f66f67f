//! Messages of the manager's own API, `/api/v1`: shared by the manager that answers and the command line that asks.
//!
//! Names are snake case, times are RFC 3339 in UTC, and requests refuse unknown fields, so that a misspelt one is
//! noticed. Replies may grow: readers ignore what they do not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::TaskResponse;

/// Bound of a run when the caller names none: ten minutes.
pub const DEFAULT_TIMEOUT_MS: u64 = 10 * 60 * 1000;

/// Longest bound of a run or of a wait that is taken: seven days.
pub const MAX_TIMEOUT_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    /// Waiting for a delegate.
    Queued,
    /// Held by a delegate.
    Running,
    /// Ended well.
    Succeeded,
    /// The task said no, or the delegate could not do its part.
    Failed,
    /// Ran longer than its bound.
    TimedOut,
    /// Ended on request.
    Aborted,
    /// No delegate took it in time.
    Expired,
}

impl TaskStatus {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Aborted,
        Self::Expired,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
            Self::Expired => "EXPIRED",
        }
    }

    /// The status of a name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl std::fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Body of `POST /tasks`.
///
/// `data` may carry secrets: the manager keeps it as given until the task ends, shows it to nobody but the delegate
/// that holds the task, and never logs it. Prefer references that the delegate resolves.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitTask {
    /// Name of the task kind, such as `SHELL_SCRIPT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// An object, in the form the task kind asks for.
    #[serde(default = "empty_object")]
    pub data: Value,
    /// A delegate must hold all of them: as tag, name or host name.
    #[serde(default)]
    pub selectors: Vec<String>,
    /// Bound of the run, milliseconds; [`DEFAULT_TIMEOUT_MS`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Bound of the wait for a delegate, milliseconds; the same as `timeout_ms` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_timeout_ms: Option<u64>,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// Reply of `POST /tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// Identity of the task from now on.
    pub id: String,
}

/// A task as `GET /tasks/{id}` shows it. Its data is never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// Identity.
    pub id: String,
    /// Name of the task kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// What a delegate must hold to take it.
    #[serde(default)]
    pub selectors: Vec<String>,
    /// The delegate that holds or held it.
    #[serde(default)]
    pub delegate_id: Option<String>,
    /// The name of that delegate.
    #[serde(default)]
    pub delegate_name: Option<String>,
    /// Bound of the run, milliseconds.
    pub timeout_ms: u64,
    /// Bound of the wait for a delegate, milliseconds.
    pub queue_timeout_ms: u64,
    /// How often a delegate took it.
    #[serde(default)]
    pub attempts: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When a delegate took it last.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// When somebody asked for its end.
    #[serde(default)]
    pub abort_requested_at: Option<Timestamp>,
    /// Why it ended as it did, or what it waits for; a sentence, when there is something to say.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the delegate answered.
    #[serde(default)]
    pub response: Option<TaskResponse>,
}

/// Reply of `GET /tasks`: newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPage {
    /// The tasks of this page, without their responses.
    pub tasks: Vec<TaskView>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Reply of `POST /tasks/{id}/abort`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborting {
    /// Identity of the task.
    pub id: String,
    /// Status now: `ABORTED` when it was waiting, `RUNNING` while its delegate ends it, else how it had ended before.
    pub status: TaskStatus,
}

/// A delegate as `GET /delegates` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegateView {
    /// Identity given at registration.
    pub id: String,
    /// Name, shared by replicas.
    pub name: String,
    /// Name of its host or pod.
    pub host_name: String,
    /// Address it reported.
    #[serde(default)]
    pub ip: String,
    /// How it was installed.
    #[serde(default, rename = "type")]
    pub delegate_type: String,
    /// Version of its program.
    #[serde(default)]
    pub version: String,
    /// Description given by its owner.
    #[serde(default)]
    pub description: String,
    /// Tags given by its owner.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Kinds it can run; empty when it did not say.
    #[serde(default)]
    pub supported_task_types: Vec<String>,
    /// Whether it has shown life lately.
    pub connected: bool,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When it was heard of last.
    pub last_seen_at: Timestamp,
    /// Tasks it holds now.
    pub running_tasks: u32,
    /// Most tasks it takes at once; absent when it set no limit.
    #[serde(default)]
    pub task_capacity: Option<u32>,
    /// Name of the delegate token it uses.
    #[serde(default)]
    pub token_name: String,
    /// Whether that token is active.
    pub token_active: bool,
}

/// Reply of `GET /delegates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegateList {
    /// By name, then by id.
    pub delegates: Vec<DelegateView>,
}

/// Data of the event `end` that closes a followed log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// How the task ended.
    pub status: TaskStatus,
}

/// Body of every error reply of `/api/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Machine-readable, upper case.
    pub code: String,
    /// What is wrong and what to do, a sentence.
    pub message: String,
    /// The field or parameter at fault, when there is one.
    #[serde(default)]
    pub field: Option<String>,
    /// Each thing that is wrong, where several are told at once: with a pipeline file and the values given for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ApiFault>,
}

/// One of several things that are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiFault {
    /// Line in the file, from 1; absent where a value is at fault that was given for a variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in that line, in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

/// Body of `POST /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Name, unique in the account.
    pub name: String,
    /// When it revokes itself; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_after: Option<Timestamp>,
}

/// A delegate token as `/tokens` shows it. Its value is a secret, so this does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Name, unique in the account.
    pub name: String,
    /// `ACTIVE` or `REVOKED`.
    pub status: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// When it revokes itself.
    #[serde(default)]
    pub revoke_after: Option<Timestamp>,
    /// The secret, as `DELEGATE_TOKEN` takes it; only on creation and when asked for by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Reply of `GET /tokens`: by name, without their values.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<TokenView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_field_of_a_submission_is_named() {
        let error = serde_json::from_str::<SubmitTask>(r#"{"type":"X","timout_ms":5}"#)
            .err()
            .unwrap();
        assert!(error.to_string().contains("timout_ms"), "{error}");
    }

    #[test]
    fn every_status_is_found_by_its_name() {
        for status in TaskStatus::ALL {
            assert_eq!(TaskStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
