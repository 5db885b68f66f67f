//! What is said to a program, and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::manifest::{COMMON, Manifest};
use crate::protocol::wire::CommandStatus;
use crate::task::{TaskContext, TaskError, TaskOutput, data};

/// Of the conversation. A program that does not know it should fail.
const VERSION: u32 = 1;

/// Largest answer: a response of 16 MiB must hold it, escaped.
pub(super) const MAX_ANSWER_BYTES: usize = 4 << 20;

#[derive(Serialize)]
struct Request<'t> {
    version: u32,
    task_id: &'t str,
    kind: &'t str,
    data: &'t Value,
    /// The folder that tasks share; null where the delegate has none.
    workspace: Option<&'t str>,
    /// How long it may take; null for as long as it likes.
    timeout_ms: Option<u64>,
}

/// What the program reads: one JSON object, and then the end.
pub(super) fn request(kind: &str, context: &TaskContext) -> Vec<u8> {
    let request = Request {
        version: VERSION,
        task_id: &context.task_id,
        kind,
        data: &context.data,
        workspace: context.workspace.as_ref().and_then(|path| path.to_str()),
        timeout_ms: context
            .timeout
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    };
    // Numbers, texts and values: nothing that JSON cannot hold.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: Status,
    #[serde(default)]
    output_vars: BTreeMap<String, String>,
    #[serde(default)]
    result: Map<String, Value>,
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Success,
    Failure,
    Skipped,
}

/// The outcome that an answer means. The error reads well after "the program's answer".
pub(super) fn outcome(written: &[u8], manifest: &Manifest) -> Result<TaskOutput, String> {
    if written.iter().all(u8::is_ascii_whitespace) {
        return Err("is missing: it wrote nothing to its standard output".to_owned());
    }
    let value: Value = serde_json::from_slice(written).map_err(|error| {
        // serde shows no value here, only what is wrong and where.
        format!("is not one JSON object: {error}; its standard output is for the answer alone, its log goes to standard error")
    })?;
    if !value.is_object() {
        return Err("is not one JSON object; see the guide on kinds of one's own".to_owned());
    }
    let answer: Answer = data::read(&value).map_err(|error| match error {
        TaskError::Data { path, problem } if path == "data" => format!("is none: {problem}"),
        TaskError::Data { path, problem } => format!("is none: field `{path}`: {problem}"),
        other => format!("is none: {other}"),
    })?;
    answer.outcome(manifest)
}

impl Answer {
    fn outcome(self, manifest: &Manifest) -> Result<TaskOutput, String> {
        if let Some(name) = COMMON.iter().find(|name| self.result.contains_key(**name)) {
            return Err(format!(
                "has `result.{name}`, which every result has; it must have another name"
            ));
        }
        let result = Value::Object(self.result);
        // What did not succeed may have come to a part of it.
        let checked = match (self.status, &result) {
            (Status::Success, result) => manifest.result.check("", result),
            (_, Value::Object(fields)) => manifest.result.check_present("", fields),
            _ => Ok(()),
        };
        if let Err(wrong) = checked {
            return Err(format!(
                "is not what its manifest promises: `result`: `{}` {}",
                wrong.path, wrong.problem
            ));
        }
        let output = match (self.status, self.error) {
            (Status::Success, None) => TaskOutput::success(),
            (Status::Success, Some(_)) => {
                return Err("has the status SUCCESS and an `error`; one of them is wrong".to_owned());
            }
            (Status::Failure, error) => TaskOutput::not(
                CommandStatus::Failure,
                error.unwrap_or_else(|| "the program says that it failed, and not why".to_owned()),
            ),
            (Status::Skipped, error) => TaskOutput::not(
                CommandStatus::Skipped,
                error.unwrap_or_else(|| "the program says that there was nothing to do".to_owned()),
            ),
        };
        Ok(output.with_vars(self.output_vars).with_fields(&result))
    }
}
