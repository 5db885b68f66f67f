//! What a task kind returns.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::process::mask::Masker;
use crate::protocol::wire::CommandStatus;

/// The result of a kind that ran, in the form of a response's `data`.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOutput {
    /// How it went.
    pub status: CommandStatus,
    /// A sentence for a person; `None` on success.
    pub error_message: Option<String>,
    /// Values for later steps.
    pub output_vars: BTreeMap<String, String>,
    /// What is special to the kind.
    pub fields: Map<String, Value>,
}

impl TaskOutput {
    /// It went well.
    pub fn success() -> Self {
        Self {
            status: CommandStatus::Success,
            error_message: None,
            output_vars: BTreeMap::new(),
            fields: Map::new(),
        }
    }

    /// It did not, for this reason.
    pub fn not(status: CommandStatus, reason: impl Into<String>) -> Self {
        Self {
            status,
            error_message: Some(reason.into()),
            ..Self::success()
        }
    }

    /// Adds a field of the kind's own.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the fields of a struct, which is the one that the kind's description names.
    #[must_use]
    pub fn with_fields(mut self, fields: &impl Serialize) -> Self {
        match serde_json::to_value(fields) {
            Ok(Value::Object(fields)) => self.fields.extend(fields),
            // A fault of the kind, which its tests see: they compare results with the description.
            other => tracing::error!(?other, "the fields of a task's result are not those of a struct"),
        }
        self
    }

    /// Adds output variables.
    #[must_use]
    pub fn with_vars(mut self, vars: BTreeMap<String, String>) -> Self {
        self.output_vars = vars;
        self
    }

    /// The `data` of a response, masked. Names of the contract are not masked, even when a secret reads like one. `masker` is
    /// called, and the secrets compiled, only when there is something to mask.
    pub(super) fn into_data(self, masker: impl FnOnce() -> Masker) -> Value {
        let mut data = Map::new();
        if self.fields.is_empty() && self.output_vars.is_empty() && self.error_message.is_none() {
            data.insert("command_execution_status".to_owned(), json!(self.status));
            data.insert("error_message".to_owned(), Value::Null);
            data.insert("output_vars".to_owned(), json!({}));
            return Value::Object(data);
        }
        let masker = masker();
        for (name, mut value) in self.fields {
            masker.mask_json(&mut value);
            data.insert(name, value);
        }
        let mut output_vars = json!(self.output_vars);
        masker.mask_json(&mut output_vars);
        data.insert("command_execution_status".to_owned(), json!(self.status));
        data.insert(
            "error_message".to_owned(),
            self.error_message
                .map_or(Value::Null, |text| masker.mask_str(&text).into()),
        );
        data.insert("output_vars".to_owned(), output_vars);
        Value::Object(data)
    }
}
