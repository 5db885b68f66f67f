//! Values: what Terraform and a provider exchange, and nothing else of either.
//!
//! [`Value`] is the untyped form, with unknowns and exact numbers. Its neighbors turn it into something else:
//! [`msgpack`] and [`json`] from and to the wire, [`mod@typed`] from and to Rust models through serde,
//! [`conform`](Value::conform) into the exact shape of a [`Type`]. No input makes this room panic; what is
//! malformed, too deep or too long is a [`ValueError`] that names the path.

mod conform;
mod error;
pub mod json;
pub mod msgpack;
mod number;
mod path;
pub mod typed;
mod types;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use error::{Problem, ValueError};
pub use number::{MAX_EXPONENT, MAX_NUMBER_TEXT, Number, NumberError};
pub use path::{AttributePath, Step};
pub use typed::{Field, from_value, to_value};
pub use types::{MAX_DEPTH, Type, TypeError};

/// A value of any type, as Terraform sees it: null, unknown ("known after apply"), or known.
///
/// Sets compare without order. In builds with debug assertions `{:?}` shows everything; in release builds it
/// shows the shape only, because any text here may be a secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename = "\u{0}framework::Value")]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// Not known before apply.
    Unknown,
    /// `true` or `false`.
    Bool(bool),
    /// An exact decimal.
    Number(Number),
    /// Unicode text.
    String(String),
    /// Elements of one type in order.
    List(Vec<Value>),
    /// Elements of one type without order. Made by [`Value::set`], which drops duplicates.
    Set(Vec<Value>),
    /// A fixed sequence.
    Tuple(Vec<Value>),
    /// Elements of one type under any keys.
    Map(BTreeMap<String, Value>),
    /// Named attributes.
    Object(BTreeMap<String, Value>),
    /// A value where the schema says "any type", with the type it has.
    Dynamic(#[serde(with = "dynamic_type")] Type, Box<Value>),
}

impl Value {
    /// A set of these elements. Equal known elements become one; elements with unknown parts are kept apart,
    /// as they may turn out to differ.
    pub fn set(elements: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = elements.into_iter().collect();
        kept.sort();
        kept.dedup_by(|a, b| a == b && a.is_wholly_known());
        Self::Set(kept)
    }

    /// An object of these attributes.
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(
            attributes
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// A map of these elements.
    pub fn map<N: Into<String>>(elements: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Map(
            elements
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    }

    /// A list of these elements.
    pub fn list(elements: impl IntoIterator<Item = Self>) -> Self {
        Self::List(elements.into_iter().collect())
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value itself is unknown. One whose parts are unknown is not.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown) || matches!(self, Self::Dynamic(_, inner) if inner.is_unknown())
    }

    /// Whether neither the value nor any part of it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => true,
            Self::List(elements) | Self::Set(elements) | Self::Tuple(elements) => {
                elements.iter().all(Self::is_wholly_known)
            }
            Self::Map(elements) | Self::Object(elements) => elements.values().all(Self::is_wholly_known),
            Self::Dynamic(_, inner) => inner.is_wholly_known(),
        }
    }

    /// The same with every unknown part null: what may be kept of a plan whose apply failed.
    #[must_use]
    pub fn unknown_as_null(self) -> Self {
        match self {
            Self::Unknown => Self::Null,
            Self::List(elements) => Self::List(elements.into_iter().map(Self::unknown_as_null).collect()),
            Self::Set(elements) => Self::set(elements.into_iter().map(Self::unknown_as_null)),
            Self::Tuple(elements) => Self::Tuple(elements.into_iter().map(Self::unknown_as_null).collect()),
            Self::Map(elements) => Self::Map(
                elements
                    .into_iter()
                    .map(|(k, v)| (k, v.unknown_as_null()))
                    .collect(),
            ),
            Self::Object(elements) => Self::Object(
                elements
                    .into_iter()
                    .map(|(k, v)| (k, v.unknown_as_null()))
                    .collect(),
            ),
            Self::Dynamic(ty, inner) => Self::Dynamic(ty, Box::new(inner.unknown_as_null())),
            known => known,
        }
    }

    /// The text, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Dynamic(_, inner) => inner.as_str(),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            Self::Dynamic(_, inner) => inner.as_bool(),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            Self::Dynamic(_, inner) => inner.as_number(),
            _ => None,
        }
    }

    /// The elements, if this is a list, set or tuple.
    pub fn as_elements(&self) -> Option<&[Self]> {
        match self {
            Self::List(elements) | Self::Set(elements) | Self::Tuple(elements) => Some(elements),
            Self::Dynamic(_, inner) => inner.as_elements(),
            _ => None,
        }
    }

    /// The attributes or elements by name, if this is an object or map.
    pub fn as_named(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(elements) | Self::Object(elements) => Some(elements),
            Self::Dynamic(_, inner) => inner.as_named(),
            _ => None,
        }
    }

    /// The attribute or element of this name; null if there is none, unknown if this value is.
    pub fn named(&self, name: &str) -> &Self {
        match self {
            Self::Unknown => &Self::Unknown,
            _ => self
                .as_named()
                .and_then(|named| named.get(name))
                .unwrap_or(&Self::Null),
        }
    }

    /// What is at `path`. Below a null there is null, below an unknown all is unknown; a step that does not
    /// fit the value finds null.
    pub fn at(&self, path: &AttributePath) -> &Self {
        let mut here = self;
        for step in path.steps() {
            here = match (step, here) {
                (_, Self::Unknown) => &Self::Unknown,
                (Step::Attribute(name) | Step::Key(name), value) => value.named(name),
                (Step::Index(index), value) => value
                    .as_elements()
                    .and_then(|all| all.get(*index))
                    .unwrap_or(&Self::Null),
                (Step::Element, _) => &Self::Null,
            };
        }
        here
    }

    /// Where to write for `path`; nothing if there is no such place.
    pub fn at_mut(&mut self, path: &AttributePath) -> Option<&mut Self> {
        let mut here = self;
        for step in path.steps() {
            while let Self::Dynamic(_, inner) = here {
                here = inner;
            }
            here = match (step, here) {
                (Step::Attribute(name) | Step::Key(name), Self::Object(named) | Self::Map(named)) => {
                    named.get_mut(name)?
                }
                (Step::Index(index), Self::List(elements) | Self::Tuple(elements)) => {
                    elements.get_mut(*index)?
                }
                _ => return None,
            };
        }
        Some(here)
    }

    /// What is at `path` as a Rust value, without losing whether it is null or unknown. `path` may be dotted
    /// text: `"helm.namespace"`.
    pub fn field<T: serde::de::DeserializeOwned>(
        &self,
        path: impl Into<AttributePath>,
    ) -> Result<Field<T>, ValueError> {
        let path = path.into();
        from_value(self.at(&path)).map_err(|error| error.under(&path))
    }

    /// The whole as a Rust model.
    pub fn model<M: serde::de::DeserializeOwned>(&self) -> Result<M, ValueError> {
        from_value(self)
    }

    /// The word for the form of this value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown => "an unknown value",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Tuple(_) => "a tuple",
            Self::Map(_) => "a map",
            Self::Object(_) => "an object",
            Self::Dynamic(_, inner) => inner.kind(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Unknown => 1,
            Self::Bool(_) => 2,
            Self::Number(_) => 3,
            Self::String(_) => 4,
            Self::List(_) => 5,
            Self::Set(_) => 6,
            Self::Tuple(_) => 7,
            Self::Map(_) => 8,
            Self::Object(_) => 9,
            Self::Dynamic(..) => 10,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a.cmp(b),
            (Self::Set(a), Self::Set(b)) => {
                // Sorted here and not only in `set`: the variant is public, and an element may have been
                // changed since.
                let (mut a, mut b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
                a.sort();
                b.sort();
                a.cmp(&b)
            }
            (Self::Map(a), Self::Map(b)) | (Self::Object(a), Self::Object(b)) => a.cmp(b),
            (Self::Dynamic(ta, a), Self::Dynamic(tb, b)) => ta.cmp(tb).then_with(|| a.cmp(b)),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Unknown => f.write_str("unknown"),
            Self::Bool(_) | Self::Number(_) | Self::String(_) if !cfg!(debug_assertions) => {
                f.write_str(self.kind())
            }
            Self::Bool(bool) => fmt::Debug::fmt(bool, f),
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::String(text) => fmt::Debug::fmt(text, f),
            Self::List(elements) | Self::Tuple(elements) => f.debug_list().entries(elements).finish(),
            Self::Set(elements) => f.debug_set().entries(elements).finish(),
            Self::Map(elements) | Self::Object(elements) => f.debug_map().entries(elements).finish(),
            Self::Dynamic(_, inner) => f.debug_tuple("any").field(inner).finish(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Number(Number::from(int))
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A type passes through serde as its JSON text.
mod dynamic_type {
    use super::Type;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(ty: &Type, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ty.to_json().to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Type, D::Error> {
        let text = String::deserialize(deserializer)?;
        Type::from_json_slice(text.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_compare_without_order_and_lists_with_it() {
        let (a, b) = (Value::from("a"), Value::from("b"));
        assert_eq!(
            Value::Set(vec![a.clone(), b.clone()]),
            Value::Set(vec![b.clone(), a.clone()])
        );
        assert_ne!(
            Value::List(vec![a.clone(), b.clone()]),
            Value::List(vec![b.clone(), a.clone()])
        );
        assert_ne!(Value::Set(vec![a.clone()]), Value::List(vec![a]));
    }

    #[test]
    fn a_set_drops_equal_known_elements_and_keeps_unknown_ones() {
        let set = Value::set([Value::Unknown, Value::from("a"), Value::Unknown, Value::from("a")]);
        assert_eq!(set.as_elements().map(<[_]>::len), Some(3));
    }

    #[test]
    fn a_path_through_null_finds_null_and_through_unknown_finds_unknown() {
        let value = Value::object([
            ("a", Value::Null),
            ("b", Value::Unknown),
            ("c", Value::list([Value::from("x")])),
        ]);
        assert_eq!(value.at(&"a.deep".into()), &Value::Null);
        assert_eq!(value.at(&"b.deep".into()), &Value::Unknown);
        assert_eq!(value.at(&AttributePath::from("c").index(0)), &Value::from("x"));
        assert_eq!(value.at(&AttributePath::from("c").index(9)), &Value::Null);
    }

    #[test]
    fn writing_at_a_path_reaches_nested_places_only_where_they_exist() {
        let mut value = Value::object([("c", Value::list([Value::object([("d", Value::Null)])]))]);
        *value
            .at_mut(&AttributePath::from("c").index(0).attribute("d"))
            .unwrap() = Value::from(7);
        assert_eq!(
            value.at(&AttributePath::from("c").index(0).attribute("d")),
            &Value::from(7)
        );
        assert!(value.at_mut(&"c.d".into()).is_none());
    }
}
