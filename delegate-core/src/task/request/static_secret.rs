//! `secret/static`: a sub-task whose secret is in its data.
//!
//! Data: `{secrets: [{id, value, base64?}]}`, of which the first counts. Result: `value`.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::Secret;
use crate::task::{TaskContext, TaskError, TaskKind, TaskOutput};

/// The kind `secret/static`.
pub struct StaticSecret;

#[derive(Deserialize)]
struct Data {
    secrets: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    value: Secret,
    #[serde(default)]
    base64: bool,
}

#[async_trait]
impl TaskKind for StaticSecret {
    fn type_name(&self) -> &'static str {
        "secret/static"
    }

    fn needs_directory(&self) -> bool {
        false
    }

    fn offered(&self) -> bool {
        false
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let data: Data = context.data()?;
        let bad = |problem: &str| TaskError::Data {
            path: "secrets".to_owned(),
            problem: problem.to_owned(),
        };
        let entry = data.secrets.into_iter().next().ok_or_else(|| bad("is empty"))?;
        let value = if entry.base64 {
            let bytes = STANDARD
                .decode(entry.value.expose().trim())
                .map_err(|_| bad("has a value that is not base64"))?;
            String::from_utf8(bytes).map_err(|_| bad("has a value that is not text"))?
        } else {
            entry.value.expose().to_owned()
        };
        // A sub-task's output goes to the request it belongs to, nowhere else.
        Ok(TaskOutput::success().field("value", value))
    }
}
