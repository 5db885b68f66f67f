//! Outputs of a state.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::cli::{Cli, words};
use crate::Secret;
use crate::task::halt::Halt;

/// Texts of sensitive outputs that are shorter are not masked: they would make a log unreadable, and hide nothing.
const SHORTEST_MASKED: usize = 4;

pub(super) struct Outputs {
    /// Those that are not sensitive.
    pub(super) plain: BTreeMap<String, Value>,
    /// The names of the others.
    pub(super) sensitive: Vec<String>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    sensitive: bool,
    value: Value,
}

impl Outputs {
    /// Reads them. The values of sensitive ones are masked from then on, in case an output that is not sensitive has them, too.
    pub(super) async fn read(cli: &Cli<'_>) -> Result<Self, Halt> {
        let doing = "reading the outputs of";
        let text = cli.ask(words(&["output", "-json", "-no-color"]), doing).await?;
        let all: BTreeMap<String, Output> = serde_json::from_slice(&text)
            .map_err(|error| Halt::failed(format!("{doing} the configuration failed: {error}")))?;
        let mut outputs = Self {
            plain: BTreeMap::new(),
            sensitive: Vec::new(),
        };
        for (name, output) in all {
            if output.sensitive {
                let mut texts = Vec::new();
                texts_in(output.value, &mut texts);
                cli.context().secrets.mask(texts);
                outputs.sensitive.push(name);
            } else {
                outputs.plain.insert(name, output.value);
            }
        }
        Ok(outputs)
    }

    /// As variables: a text is as it is, anything else is its JSON.
    pub(super) fn vars(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.plain
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }
}

fn texts_in(value: Value, texts: &mut Vec<Secret>) {
    match value {
        Value::String(text) if text.len() >= SHORTEST_MASKED => texts.push(Secret::new(text)),
        Value::Array(items) => items.into_iter().for_each(|item| texts_in(item, texts)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, value)| texts_in(value, texts)),
        _ => {}
    }
}
