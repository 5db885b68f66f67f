//! Checks of single values, as data.

use std::fmt;

use crate::framework::value::{Number, Value};

/// A check of one configured value. Null and unknown values are never asked about.
#[derive(Debug, Clone)]
pub enum Validator {
    /// One of these texts.
    OneOf(Vec<String>),
    /// Between these many characters, elements or entries.
    Length {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// A number from `min` to `max`.
    Between {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Any check of a value; the text says what is wrong, as a sentence.
    Check(fn(&Value) -> Result<(), String>),
    /// Any check of a text; the text says what is wrong, as a sentence.
    Text(fn(&str) -> Result<(), String>),
    /// The check of every element of a list, set or map.
    Each(Box<Validator>),
    /// The check of every key of a map.
    Keys(Box<Validator>),
}

impl Validator {
    /// One of these texts.
    pub fn one_of<T: Into<String>>(allowed: impl IntoIterator<Item = T>) -> Self {
        Self::OneOf(allowed.into_iter().map(Into::into).collect())
    }

    /// Between these many characters, elements or entries.
    pub const fn length(min: usize, max: usize) -> Self {
        Self::Length { min, max }
    }

    /// A number from `min` to `max`.
    pub const fn between(min: i64, max: i64) -> Self {
        Self::Between { min, max }
    }

    /// Any check of a text; the text says what is wrong, as a sentence.
    pub const fn text(check: fn(&str) -> Result<(), String>) -> Self {
        Self::Text(check)
    }

    /// Any check of a value; the text says what is wrong, as a sentence.
    pub const fn check(check: fn(&Value) -> Result<(), String>) -> Self {
        Self::Check(check)
    }

    /// The check of every element.
    #[must_use]
    pub fn each(self) -> Self {
        Self::Each(Box::new(self))
    }

    /// The check of every key.
    #[must_use]
    pub fn keys(self) -> Self {
        Self::Keys(Box::new(self))
    }

    /// What is wrong with a known value that is not null. Says nothing of the value itself, which may be a
    /// secret.
    pub(super) fn problem(&self, value: &Value) -> Option<String> {
        match self {
            Self::OneOf(allowed) => {
                let fits = value
                    .as_str()
                    .is_some_and(|text| allowed.iter().any(|one| one == text));
                (!fits).then(|| {
                    let allowed: Vec<String> = allowed.iter().map(|one| format!("{one:?}")).collect();
                    format!("Must be one of {}.", allowed.join(", "))
                })
            }
            Self::Length { min, max } => {
                let (length, unit) = measure(value)?;
                (length < *min || length > *max).then(|| {
                    Range {
                        min,
                        max,
                        unit,
                        length,
                    }
                    .to_string()
                })
            }
            Self::Between { min, max } => {
                let number = value.as_number()?;
                let fits = *number >= Number::from(*min) && *number <= Number::from(*max);
                (!fits).then(|| format!("Must be from {min} to {max}."))
            }
            Self::Check(check) => check(value).err(),
            Self::Text(check) => value.as_str().and_then(|text| check(text).err()),
            // Taken apart by the caller, who knows the element's path.
            Self::Each(_) => None,
            Self::Keys(check) => {
                let keys = value.as_named()?.keys();
                keys.into_iter().find_map(|key| {
                    let problem = check.problem(&Value::String(key.clone()))?;
                    Some(format!("Key {key:?}: {problem}"))
                })
            }
        }
    }
}

fn measure(value: &Value) -> Option<(usize, &'static str)> {
    if let Some(text) = value.as_str() {
        return Some((text.chars().count(), "characters"));
    }
    if let Some(elements) = value.as_elements() {
        return Some((elements.len(), "elements"));
    }
    value.as_named().map(|named| (named.len(), "entries"))
}

struct Range<'a> {
    min: &'a usize,
    max: &'a usize,
    unit: &'a str,
    length: usize,
}

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min,
            max,
            unit,
            length,
        } = self;
        match max {
            &&usize::MAX => write!(f, "Must have at least {min} {unit}; this has {length}."),
            max => write!(f, "Must have {min} to {max} {unit}; this has {length}."),
        }
    }
}
