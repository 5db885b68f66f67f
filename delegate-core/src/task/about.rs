//! What a kind says of itself: to people, and to whoever makes its data.
//!
//! The schemas are derived from the very types that read the data and write the result, so they cannot say anything
//! else. `harness-delegate task kinds` and the reference page are made of this and of nothing else.

use std::borrow::Cow;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// A kind, described.
#[derive(Clone, Debug)]
pub struct About {
    /// What it does, in a sentence.
    pub summary: Cow<'static, str>,
    /// Whether running it again with the same data is safe, and why: idempotence.
    pub again: Cow<'static, str>,
    /// JSON Schema (2020-12) of its data.
    pub data: Schema,
    /// JSON Schema of its result's own fields: what a response's `data` has besides `command_execution_status`,
    /// `error_message` and `output_vars`. Some may be missing when the task did not succeed.
    pub result: Schema,
    /// An example of its data, which the kind takes as it is.
    pub example: Value,
}

impl About {
    /// With the schemas of the types that read the data and write the result's own fields. Types within them are
    /// spelled out where they are used: each schema stands for itself.
    pub fn of<Data: JsonSchema, Fields: JsonSchema>(
        summary: &'static str,
        again: &'static str,
        example: Value,
    ) -> Self {
        Self {
            summary: summary.into(),
            again: again.into(),
            data: schema::<Data>(settings()),
            result: schema::<Fields>(settings().for_serialize()),
            example,
        }
    }

    /// Of a kind that says nothing of itself: any data, any result.
    pub fn nothing() -> Self {
        Self {
            summary: Cow::Borrowed(""),
            again: Cow::Borrowed(""),
            data: Schema::default(),
            result: Schema::default(),
            example: Value::Object(serde_json::Map::new()),
        }
    }
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true)
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    // The name of a type of ours tells nobody anything.
    schema.remove("title");
    schema
}
