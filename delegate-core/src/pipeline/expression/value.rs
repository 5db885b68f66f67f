//! What expressions are about.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::SECRET_BEGINNING;

/// The largest whole number that a number holds exactly.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth.
    Truth(bool),
    /// A number: 64-bit floating point, so whole numbers are exact up to 2⁵³.
    Number(f64),
    /// A text. It holds no reference to a secret, or is refused where it is used.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Values by name.
    Map(IndexMap<String, Value>),
    /// A text with references to secrets in it, as the delegate reads them. It can be passed on and nothing else.
    Secret(String),
}

impl Value {
    /// What it is, for errors; never what is in it.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Truth(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Secret(_) => "a secret",
        }
    }

    /// As it is written into a text. Lists and maps as JSON, null as `null`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number_to_text(*number),
            Self::Text(text) | Self::Secret(text) => text.clone(),
            Self::List(_) | Self::Map(_) => self.to_json().to_string(),
        }
    }

    /// As data of a task has it.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Truth(truth) => (*truth).into(),
            Self::Number(number) => match whole(*number) {
                Some(whole) => whole.into(),
                None => (*number).into(),
            },
            Self::Text(text) | Self::Secret(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), value.to_json()))
                .collect(),
        }
    }

    /// A value of somebody else's JSON. Numbers that are too large become texts, so that nothing is lost.
    pub fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Truth(*truth),
            serde_json::Value::Number(number) => match number.as_f64() {
                Some(value) if value.abs() <= MAX_WHOLE || number.is_f64() => Self::Number(value),
                _ => Self::Text(number.to_string()),
            },
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(fields) => Self::Map(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::from_json(value)))
                    .collect(),
            ),
        }
    }

    /// Whether a text in it, that is not known to be a secret, holds what the delegate would take for a reference to one.
    pub fn brings_reference(&self) -> bool {
        match self {
            Self::Text(text) => text.contains(SECRET_BEGINNING),
            Self::List(items) => items.iter().any(Self::brings_reference),
            Self::Map(fields) => fields
                .iter()
                .any(|(name, value)| name.contains(SECRET_BEGINNING) || value.brings_reference()),
            Self::Null | Self::Truth(_) | Self::Number(_) | Self::Secret(_) => false,
        }
    }

    /// The number that it is, or that it is written as.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => {
                let text = text.trim();
                let plain = text
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
                text.parse()
                    .ok()
                    .filter(|number: &f64| plain && number.is_finite())
            }
            _ => None,
        }
    }

    /// The truth that it is, or that it is written as.
    pub fn as_truth(&self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(*truth),
            Self::Text(text) if text == "true" => Some(true),
            Self::Text(text) if text == "false" => Some(false),
            _ => None,
        }
    }
}

/// The whole number that it is, if it is one and exact.
#[allow(
    clippy::cast_possible_truncation,
    reason = "within the bounds that were looked at"
)]
pub(super) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= MAX_WHOLE).then_some(number as i64)
}

fn number_to_text(number: f64) -> String {
    match whole(number) {
        Some(whole) => whole.to_string(),
        None => number.to_string(),
    }
}
