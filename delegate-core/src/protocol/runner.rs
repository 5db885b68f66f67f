//! Messages of the early runner protocol: events that name a task, and requests that bring their secrets as sub-tasks.
//!
//! `data` and `config` travel as base64 of JSON, or inline; both are read. Field names are the protocol's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reply of `runner-events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunnerEvents {
    /// In the order in which they should be taken.
    pub delegate_runner_events: Vec<RunnerEvent>,
}

/// One event. It is returned again until the task is answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerEvent {
    /// Account of the task.
    #[serde(default)]
    pub account_id: String,
    /// Identity of the task.
    pub task_id: String,
    /// Name of the task kind.
    #[serde(default)]
    pub task_type: String,
}

/// Reply of `payload`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Payload {
    /// To be done in their order.
    pub requests: Vec<Request>,
}

/// One thing to do, after what makes its secrets.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// What to do.
    pub task: RunnerTask,
    /// What makes the secrets that the task's data refers to: each returns a `value`.
    #[serde(default)]
    pub secrets: Vec<RunnerTask>,
}

/// A task, or a sub-task.
#[derive(Clone, Deserialize)]
pub struct RunnerTask {
    /// Of a sub-task: the name of its secret.
    #[serde(default)]
    pub id: String,
    /// Name of the task kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Parsed by the task kind. It may hold secrets, hence not in `Debug`.
    #[serde(default, deserialize_with = "plain_or_base64")]
    pub data: Value,
    /// Where the log goes, when the task brings its own place.
    #[serde(default)]
    pub logger: Option<Logger>,
}

impl std::fmt::Debug for RunnerTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerTask")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Where the log of a request goes: its token is a credential, hence no `Debug`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Logger {
    /// Base of the log service; the delegate's own when empty.
    pub address: String,
    /// Token for it.
    pub token: String,
    /// The ready log key.
    pub key: String,
}

/// A text that is base64 of JSON is that JSON; anything else is what it is.
fn plain_or_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let decoded = value
        .as_str()
        .and_then(|text| STANDARD.decode(text.trim()).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(decoded.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_as_base64_and_inline() {
        let encoded = STANDARD.encode(r#"{"a":1}"#);
        let text = format!(
            r#"{{"requests":[{{"id":"r","account_id":"x","task":{{"type":"K","data":"{encoded}"}},
               "secrets":[{{"id":"s","type":"secret/static","data":{{"secrets":[]}}}}]}}]}}"#
        );
        let payload: Payload = serde_json::from_str(&text).unwrap();
        let request = &payload.requests[0];
        assert_eq!(request.task.data, serde_json::json!({"a": 1}));
        assert_eq!(request.secrets[0].data, serde_json::json!({"secrets": []}));
        assert!(!format!("{payload:?}").contains("\"a\""), "data may hold secrets");
    }
}
