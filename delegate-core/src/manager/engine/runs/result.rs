//! What a run is told of the end of a task.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::manager::queue::{State, Task};
use crate::pipeline::run::{TaskEnd, TaskStatus};
use crate::protocol::api;
use crate::protocol::wire::TaskResponse;

/// How a task ended; nothing while it has not.
pub(super) fn end_of(task: &Task) -> Option<TaskEnd> {
    let State::Ended(ended) = &task.state else {
        return None;
    };
    let response = ended
        .response
        .as_ref()
        .and_then(|json| serde_json::from_str::<TaskResponse>(json).ok());
    let mut fields = match response.map(|response| response.data) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let output_vars = match fields.remove("output_vars") {
        Some(Value::Object(vars)) => vars
            .into_iter()
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some((name, text)),
                _ => None,
            })
            .collect(),
        _ => BTreeMap::new(),
    };
    let said = fields.get("error_message").and_then(Value::as_str);
    let exit = || {
        Some(format!(
            "The exit code is {}.",
            fields.get("exit_code")?.as_i64()?
        ))
    };
    let message = ended.reason.clone().or(said.map(str::to_owned));
    Some(TaskEnd {
        status: status(ended.status)?,
        message: message.filter(|text| !text.is_empty()).or_else(exit),
        delegate: ended.name.clone(),
        output_vars,
        fields,
    })
}

fn status(status: api::TaskStatus) -> Option<TaskStatus> {
    Some(match status {
        api::TaskStatus::Succeeded => TaskStatus::Succeeded,
        api::TaskStatus::Failed => TaskStatus::Failed,
        api::TaskStatus::TimedOut => TaskStatus::TimedOut,
        api::TaskStatus::Expired => TaskStatus::Expired,
        api::TaskStatus::Aborted => TaskStatus::Aborted,
        api::TaskStatus::Queued | api::TaskStatus::Running => return None,
    })
}

/// The end of a task that was never submitted.
pub(super) fn not_submitted(problem: String) -> TaskEnd {
    TaskEnd {
        status: TaskStatus::Failed,
        message: Some(problem),
        delegate: None,
        output_vars: BTreeMap::new(),
        fields: Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::queue::Ended;
    use serde_json::json;

    fn ended(status: api::TaskStatus, reason: Option<&str>, data: &Value) -> TaskEnd {
        let response = json!({"id": "t", "type": "X", "code": "OK", "data": data});
        let task = Task {
            id: "t".into(),
            kind: "X".to_owned(),
            selectors: Vec::new(),
            timeout_ms: 1,
            queue_timeout_ms: 1,
            created_at: 0,
            attempts: 1,
            excluded: Vec::new(),
            state: State::Ended(Box::new(Ended {
                status,
                at: 1,
                by: None,
                name: Some("d".to_owned()),
                started_at: None,
                abort_asked: None,
                reason: reason.map(str::to_owned),
                response: Some(response.to_string()),
            })),
        };
        end_of(&task).unwrap()
    }

    #[test]
    fn outputs_fields_and_the_best_message_there_is_are_taken_from_a_result() {
        let end = ended(
            api::TaskStatus::Failed,
            None,
            &json!({"output_vars": {"A": "1", "odd": 2}, "error_message": null, "exit_code": 3}),
        );
        assert_eq!(end.status, TaskStatus::Failed);
        assert_eq!(
            end.output_vars,
            BTreeMap::from([("A".to_owned(), "1".to_owned())])
        );
        assert_eq!(end.message.as_deref(), Some("The exit code is 3."));
        assert_eq!(
            (end.delegate.as_deref(), &end.fields["exit_code"]),
            (Some("d"), &json!(3))
        );
        let end = ended(
            api::TaskStatus::Failed,
            None,
            &json!({"error_message": "said no"}),
        );
        assert_eq!(end.message.as_deref(), Some("said no"));
        let end = ended(api::TaskStatus::TimedOut, Some("Too late."), &json!("no object"));
        assert_eq!(
            (end.status, end.message.as_deref()),
            (TaskStatus::TimedOut, Some("Too late."))
        );
    }
}
