//! Between values and Rust models, through serde.
//!
//! A model is any type with `Serialize` and `Deserialize`. `Option<T>` is null or known, and an unknown where
//! a model has no place for one is an error that names the attribute; [`Field<T>`] has a place for all three.
//! A [`Value`] inside a model keeps whatever is there.

mod de;
mod field;
mod ser;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Type, Value, ValueError};

pub use field::Field;

/// The model that `value` holds.
///
/// ```
/// # use harness_provider::framework::value::{from_value, Field, Value};
/// #[derive(serde::Deserialize)]
/// struct Model {
///     name: String,
///     size: Option<u16>,
///     id: Field<String>,
/// }
/// let value = Value::object([("name", "a".into()), ("size", Value::Null), ("id", Value::Unknown)]);
/// let model: Model = from_value(&value).unwrap();
/// assert!(model.id.is_unknown() && model.size.is_none());
///
/// let value = Value::object([("name", Value::Unknown), ("size", 1.into()), ("id", Value::Null)]);
/// assert_eq!(from_value::<Model>(&value).err().unwrap().to_string(), "name: the value is not known yet");
/// ```
pub fn from_value<M: DeserializeOwned>(value: &Value) -> Result<M, ValueError> {
    M::deserialize(de::ValueDeserializer(value))
}

/// The value of a model, in the exact shape of `ty`.
pub fn to_value<M: Serialize + ?Sized>(model: &M, ty: &Type) -> Result<Value, ValueError> {
    to_untyped_value(model)?.conform(ty)
}

/// The value of a model as serde describes it: sequences are lists, structures objects.
pub(crate) fn to_untyped_value<M: Serialize + ?Sized>(model: &M) -> Result<Value, ValueError> {
    model.serialize(ser::ValueSerializer::new())
}

/// The name under which a [`Value`] passes through serde; it must equal the `rename` on the enum.
const VALUE_TOKEN: &str = "\u{0}framework::Value";

#[cfg(test)]
mod tests;
