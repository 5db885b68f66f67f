//! Data of a task, with expressions in its texts.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{EvaluationError, Scope, Text};
use crate::pipeline::source::Mark;

/// Most that the data of one task comes to, bytes of its texts: a quarter of what a manager takes.
const MAX_DATA_BYTES: usize = 4 * 1024 * 1024;

/// Data that is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// A number, a truth, nothing, or something made here.
    Plain(Json),
    /// A text, or the value of its one expression.
    Text(Text),
    /// A text whatever its expression is: an environment variable is one also where a number was given.
    Words(Text),
    /// A list.
    List(Vec<Template>),
    /// Values by name; names are never evaluated.
    Map(IndexMap<String, Template>),
}

impl Template {
    /// Nothing by name.
    pub fn empty() -> Self {
        Self::Map(IndexMap::new())
    }

    /// Every text in it.
    pub fn texts<'t>(&'t self, into: &mut Vec<&'t Text>) {
        match self {
            Self::Plain(_) => {}
            Self::Text(text) | Self::Words(text) => into.push(text),
            Self::List(items) => items.iter().for_each(|item| item.texts(into)),
            Self::Map(fields) => fields.values().for_each(|value| value.texts(into)),
        }
    }

    /// Whether the data is not known before a run.
    pub fn is_open(&self) -> bool {
        let mut texts = Vec::new();
        self.texts(&mut texts);
        texts.into_iter().any(Text::is_open)
    }

    /// The data. An error comes with the place of the text in the file.
    pub fn data(&self, scope: &dyn Scope) -> Result<Json, (Mark, EvaluationError)> {
        let mut room = MAX_DATA_BYTES;
        self.within(scope, &mut room)
    }

    fn within(&self, scope: &dyn Scope, room: &mut usize) -> Result<Json, (Mark, EvaluationError)> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(text) | Self::Words(text) => {
                let value = text.value(scope).map_err(|error| (text.at(), error))?;
                let value = match self {
                    Self::Words(_) => value.to_text().into(),
                    _ => value.to_json(),
                };
                let bytes = size(&value);
                if bytes > *room {
                    let problem = format!("the data of the task is larger than {MAX_DATA_BYTES} bytes");
                    return Err((text.at(), EvaluationError { at: 0, problem }));
                }
                *room -= bytes;
                Ok(value)
            }
            Self::List(items) => items.iter().map(|item| item.within(scope, room)).collect(),
            Self::Map(fields) => fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), value.within(scope, room)?)))
                .collect::<Result<serde_json::Map<_, _>, _>>()
                .map(Json::Object),
        }
    }

    /// The part of it at the path of a field as task kinds tell it, `env.NAME` or `list[0].x`; or the nearest one around
    /// it.
    pub(in crate::pipeline) fn nearest(&self, path: &str) -> &Self {
        let step = path.trim_start_matches('.');
        let end = step
            .char_indices()
            .skip(1)
            .find(|(_, letter)| matches!(letter, '.' | '['))
            .map_or(step.len(), |(at, _)| at);
        let (name, rest) = step.split_at(end);
        let inner = match self {
            Self::Map(fields) => fields.get(name),
            Self::List(items) => name
                .trim_matches(['[', ']'])
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get(at)),
            Self::Plain(_) | Self::Text(_) | Self::Words(_) => None,
        };
        inner.map_or(self, |inner| inner.nearest(rest))
    }
}

/// About how many bytes a value takes.
fn size(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
    }
}
