//! A place in a model that can be null, unknown or known.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::framework::value::{Problem, ValueError};

/// The name under which a field asks this layer's deserializer which of the three it is.
pub(super) const FIELD_TOKEN: &str = "\u{0}framework::Field";
/// The name under which an unknown is written.
pub(super) const UNKNOWN_TOKEN: &str = "\u{0}framework::Unknown";

/// One attribute of a model whose value may be known only after apply, as every computed attribute is in a
/// plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// No value.
    #[default]
    Null,
    /// Known after apply.
    Unknown,
    /// Known now.
    Known(T),
}

impl<T> Field<T> {
    /// Whether there is no value.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value is not known yet.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The value if there is one and it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// The same without ownership.
    pub const fn as_ref(&self) -> Field<&T> {
        match self {
            Self::Null => Field::Null,
            Self::Unknown => Field::Unknown,
            Self::Known(value) => Field::Known(value),
        }
    }

    /// The same with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Null => Field::Null,
            Self::Unknown => Field::Unknown,
            Self::Known(value) => Field::Known(f(value)),
        }
    }

    /// Null or known; an error if unknown. The error has no path yet: give it one with [`ValueError::under`].
    pub fn resolved(self) -> Result<Option<T>, ValueError> {
        match self {
            Self::Null => Ok(None),
            Self::Unknown => Err(ValueError::new(Problem::Unknown)),
            Self::Known(value) => Ok(Some(value)),
        }
    }
}

impl<T> From<T> for Field<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Known)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Unknown => serializer.serialize_unit_struct(UNKNOWN_TOKEN),
            Self::Known(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, null or unknown")
            }

            fn visit_none<E: de::Error>(self) -> Result<Field<T>, E> {
                Ok(Field::Null)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Field<T>, E> {
                Ok(Field::Unknown)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<T>, D::Error> {
                T::deserialize(deserializer).map(Field::Known)
            }

            /// Another format than ours, which has no unknown: null or known.
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Field<T>, D::Error> {
                Option::<T>::deserialize(deserializer).map(Field::from)
            }
        }

        deserializer.deserialize_newtype_struct(FIELD_TOKEN, FieldVisitor(PhantomData))
    }
}
