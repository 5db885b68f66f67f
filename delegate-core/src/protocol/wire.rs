//! JSON messages of the delegate protocol, as they travel.
//!
//! Field names are the protocol's own. Everything a peer may leave out has a default, and unknown keys are ignored,
//! so that a newer manager or an older delegate still understands us.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Reply envelope of the lifecycle calls; `task-events` and `acquire` answer with the bare object instead.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope<T> {
    /// Always an object; its content means nothing to a delegate.
    #[serde(default)]
    pub meta_data: Value,
    /// The payload. Absent in an error reply.
    #[serde(default = "Option::default")]
    pub resource: Option<T>,
    /// What went wrong, machine-readable code first.
    #[serde(default)]
    pub response_messages: Vec<ResponseMessage>,
}

impl<T> Envelope<T> {
    /// A successful reply.
    pub fn of(resource: T) -> Self {
        Self {
            meta_data: Value::Object(serde_json::Map::new()),
            resource: Some(resource),
            response_messages: Vec::new(),
        }
    }
}

/// One entry of an error reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseMessage {
    /// See [`code`].
    pub code: String,
    /// `ERROR`, `WARN` or `INFO`.
    #[serde(default)]
    pub level: String,
    /// A sentence for a person.
    #[serde(default)]
    pub message: String,
}

/// Codes of [`ResponseMessage`] that change what a delegate does.
pub mod code {
    /// The token does not open with any active secret of the account.
    pub const INVALID_TOKEN: &str = "INVALID_TOKEN";
    /// The token's time is over; a fresh one is minted.
    pub const EXPIRED_TOKEN: &str = "EXPIRED_TOKEN";
    /// The token's secret was revoked.
    pub const REVOKED_TOKEN: &str = "REVOKED_TOKEN";
    /// The manager does not know this delegate id; it registers anew.
    pub const DELEGATE_NOT_REGISTERED: &str = "DELEGATE_NOT_REGISTERED";
    /// Another delegate is connected under this identity.
    pub const DUPLICATE_DELEGATE: &str = "DUPLICATE_DELEGATE_EXCEPTION";
}

/// Body of register and heartbeat. A heartbeat carries `delegate_id` too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelegateParams {
    /// Account the delegate belongs to.
    pub account_id: String,
    /// Given by the manager at registration; empty before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delegate_id: String,
    /// Shown name, shared by the replicas of one delegate.
    pub delegate_name: String,
    /// `KUBERNETES`, `DOCKER`, `HELM_DELEGATE`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delegate_type: String,
    /// Description given by the owner.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Name of the host or pod.
    pub host_name: String,
    /// Address of the host, informational.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Milliseconds since the epoch.
    pub last_heart_beat: i64,
    /// Always true for a delegate of the current generation.
    pub ng: bool,
    /// True: this delegate learns of tasks by asking.
    pub polling_mode_enabled: bool,
    /// Always true: the heartbeat is a JSON object.
    pub heartbeat_as_object: bool,
    /// Always 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub sequence_num: i64,
    /// Exactly what the task registry can run.
    pub supported_task_types: Vec<String>,
    /// Tags given by the owner. The name and the host name select too, without being listed.
    pub tags: Vec<String>,
    /// Version of the delegate program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Largest number of tasks at once; absent when the delegate sets no limit of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_capacity: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What the `resource` of a register or heartbeat reply may say besides; our own manager says none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Orders {
    /// `SELF_DESTRUCT`: end for good. `MIGRATE`: `migrate_url` is the manager from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Where to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate_url: Option<String>,
    /// `DELETED`: the owner has removed this delegate. Others, such as `ENABLED`, ask for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// `resource` of the register reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// Identity of this delegate from now on.
    pub delegate_id: String,
    /// Version of the persistent connection that the manager offers. Only our own manager sends it.
    #[serde(
        default,
        rename = "persistentConnection",
        skip_serializing_if = "Option::is_none"
    )]
    pub stream: Option<String>,
    /// Whether the manager takes `unregister`. Only our own does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unregister: bool,
}

/// What a task event asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEventType {
    /// A task is waiting: acquire it.
    #[default]
    #[serde(rename = "DelegateTaskEvent")]
    Task,
    /// A running task must end as `ABORTED`.
    #[serde(rename = "DelegateTaskAbortEvent")]
    Abort,
    /// Something newer than this program; ignored.
    #[serde(other)]
    Other,
}

/// One event of `task-events`. The same event is returned again until the task is acquired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskEvent {
    /// Absent means a task.
    #[serde(default)]
    pub event_type: TaskEventType,
    /// Account of the task.
    #[serde(default)]
    pub account_id: String,
    /// Identity of the task.
    pub delegate_task_id: String,
    /// Whether somebody waits for the answer.
    #[serde(default)]
    pub sync: bool,
    /// Name of the task kind.
    #[serde(default)]
    pub task_type: String,
}

/// Reply of `task-events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskEvents {
    /// In the order in which they should be taken.
    pub delegate_task_events: Vec<TaskEvent>,
}

/// Reply of `acquire`: the task itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Identity of the task.
    pub id: String,
    /// Name of the task kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Parsed by the task kind.
    #[serde(default)]
    pub data: Value,
    /// Whether nobody waits for the answer.
    #[serde(default, rename = "async")]
    pub is_async: bool,
    /// True selects the response form of early runners.
    #[serde(
        default,
        rename = "runnerResponse",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub runner_response: bool,
    /// Bound of the run, milliseconds; 0 means that the delegate's own default holds.
    #[serde(default)]
    pub timeout: u64,
    /// Where the log goes.
    #[serde(default)]
    pub logging: Logging,
    /// Who runs it.
    #[serde(default)]
    pub delegate: TaskDelegate,
}

/// Log destination of a task.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Token for the log service; a bearer credential, hence not in `Debug`.
    pub token: String,
    /// Parts of the log key, **in their order**.
    pub abstractions: IndexMap<String, String>,
}

impl Logging {
    /// The log key: `k:v` pairs in received order, joined by `/`.
    pub fn key(&self) -> String {
        let pairs: Vec<String> = self
            .abstractions
            .iter()
            .map(|(k, v)| format!("{k}:{v}"))
            .collect();
        pairs.join("/")
    }
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logging")
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

/// The delegate a task was given to.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDelegate {
    /// Delegate id.
    pub id: String,
    /// Delegate instance id; the same as `id` for our agent.
    pub instance_id: String,
    /// Callback token of the task; a credential, hence not in `Debug`.
    pub token: String,
}

impl std::fmt::Debug for TaskDelegate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskDelegate")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// How the delegate's own part of a task went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResponseCode {
    /// The task kind ran; `data.command_execution_status` says how it went.
    Ok,
    /// The delegate could not do its part.
    Failed,
    /// Another delegate should try.
    RetryOnOtherDelegate,
}

/// How a command went, in `data.command_execution_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CommandStatus {
    /// It did what it was asked.
    Success,
    /// It ran and said no.
    Failure,
    /// It ran out of time and was ended.
    Timeout,
    /// It was ended on request.
    Aborted,
    /// There was nothing to do.
    Skipped,
}

/// Response of a task (v2 JSON form). Every key is always sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResponse {
    /// Identity of the task.
    pub id: String,
    /// Always an object with at least `command_execution_status`, `error_message` and `output_vars`.
    pub data: Value,
    /// Name of the task kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// How the delegate's part went.
    pub code: ResponseCode,
}

impl TaskResponse {
    /// The answer of a delegate that could not do its part.
    pub fn failed(id: impl Into<String>, kind: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: kind.into(),
            code: ResponseCode::Failed,
            data: serde_json::json!({
                "command_execution_status": CommandStatus::Failure,
                "error_message": reason.into(),
                "output_vars": {},
            }),
        }
    }
}

/// One line of a task's log, as the log service takes and gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Lower case: `info`, `warn`, `error`.
    #[serde(default)]
    pub level: String,
    /// Position in the log, from 0.
    #[serde(default)]
    pub pos: u64,
    /// The text, with its line end when it had one.
    #[serde(default)]
    pub out: String,
    /// RFC 3339 with nanoseconds.
    #[serde(default)]
    pub time: String,
    /// Free; null here.
    #[serde(default)]
    pub args: Value,
}

/// Error body of the log service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogServiceError {
    /// What went wrong.
    #[serde(default)]
    pub error_msg: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abstractions_keep_their_order_in_the_log_key() {
        let task: Task = serde_json::from_str(
            r#"{"id":"t","type":"X","logging":{"token":"s","abstractions":{"z":"1","a":"2","m":"3"}},"new":1}"#,
        )
        .unwrap();
        assert_eq!(task.logging.key(), "z:1/a:2/m:3");
        assert!(
            !format!("{task:?}").contains("\"s\""),
            "the log token does not print"
        );
    }

    #[test]
    fn an_event_without_type_is_a_task_and_an_unknown_type_is_kept_apart() {
        let events: TaskEvents = serde_json::from_str(
            r#"{"delegateTaskEvents":[{"delegateTaskId":"1"},{"delegateTaskId":"2","eventType":"DelegateTaskAbortEvent"},
               {"delegateTaskId":"3","eventType":"Later"}]}"#,
        )
        .unwrap();
        let types: Vec<_> = events.delegate_task_events.iter().map(|e| e.event_type).collect();
        assert_eq!(
            types,
            [TaskEventType::Task, TaskEventType::Abort, TaskEventType::Other]
        );
    }

    #[test]
    fn a_refusal_always_has_the_three_common_keys() {
        let response = serde_json::to_value(TaskResponse::failed("t", "X", "no such kind")).unwrap();
        assert_eq!(response["code"], "FAILED");
        assert_eq!(response["data"]["command_execution_status"], "FAILURE");
        assert_eq!(response["data"]["error_message"], "no such kind");
        assert!(response["data"]["output_vars"].is_object());
    }
}
