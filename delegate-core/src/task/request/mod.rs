//! Requests of the early runner protocol: sub-tasks make secrets, and the data of what comes after refers to them.
//!
//! Sub-tasks run in their order, by the same kinds as everything else; each returns a field `value`, which becomes the
//! secret of its id. References are replaced in the data of a task only, never in its type. Whatever is computed from a
//! secret is a secret as well.

mod expressions;
mod static_secret;

use serde_json::Value;

use super::{Secrets, TaskError, TaskOutput};
use crate::Secret;
use crate::protocol::wire::CommandStatus;
use expressions::Resolved;
pub use static_secret::StaticSecret;

/// The secrets of a request, as its sub-tasks make them.
#[derive(Default)]
pub(super) struct MadeSecrets(Vec<(String, Secret)>);

impl MadeSecrets {
    /// Takes what a sub-task made.
    pub(super) fn take(&mut self, id: &str, made: TaskOutput, secrets: &Secrets) -> Result<(), TaskError> {
        if made.status != CommandStatus::Success {
            let why = made.error_message.unwrap_or_default();
            return Err(TaskError::Refused(format!(
                "the secret `{id}` could not be made: {why}"
            )));
        }
        let Some(Value::String(value)) = made.fields.get("value") else {
            return Err(TaskError::Refused(format!(
                "the sub-task of the secret `{id}` returned no text `value`"
            )));
        };
        let secret = Secret::new(value);
        secrets.mask([secret.clone()]);
        self.0.push((id.to_owned(), secret));
        Ok(())
    }

    /// Replaces the references in every text of the data.
    pub(super) fn resolve(&self, data: &mut Value, secrets: &Secrets) -> Result<(), TaskError> {
        match data {
            Value::String(text) => {
                let Resolved { text: new, derived } = expressions::resolve(text, &self.0)?;
                secrets.mask(derived);
                *text = new;
            }
            Value::Array(items) => {
                for item in items {
                    self.resolve(item, secrets)?;
                }
            }
            Value::Object(fields) => {
                for (_, value) in fields {
                    self.resolve(value, secrets)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }
}
