//! Values to models.

use std::collections::btree_map;
use std::fmt;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::VALUE_TOKEN;
use super::field::FIELD_TOKEN;
use crate::framework::value::number::NUMBER_TOKEN;
use crate::framework::value::{Number, Problem, Step, Value, ValueError};

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Invalid(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // What was found is left out: serde would print the value.
        Self::new(Problem::Invalid(format!("{expected} is required")))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Problem::Invalid(format!("{expected} is required")))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let expected: Vec<String> = expected.iter().map(|name| format!("{name:?}")).collect();
        Self::new(Problem::Invalid(format!(
            "must be one of {}",
            expected.join(", ")
        )))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new(Problem::Unexpected(field.to_owned()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::Missing(field.to_owned()))
    }
}

#[derive(Clone, Copy)]
pub(super) struct ValueDeserializer<'de>(pub(super) &'de Value);

impl<'de> ValueDeserializer<'de> {
    /// The value below the "any type" wrapper.
    fn plain(self) -> &'de Value {
        let mut value = self.0;
        while let Value::Dynamic(_, inner) = value {
            value = inner;
        }
        value
    }
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.plain() {
            // Dynamic cannot be: `plain` has looked below it.
            Value::Null | Value::Dynamic(..) => Err(ValueError::new(Problem::Null)),
            Value::Unknown => Err(ValueError::new(Problem::Unknown)),
            Value::Bool(bool) => visitor.visit_bool(*bool),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::List(elements) | Value::Set(elements) | Value::Tuple(elements) => {
                let set = matches!(self.plain(), Value::Set(_));
                visitor.visit_seq(Elements {
                    rest: elements.iter(),
                    index: 0,
                    set,
                })
            }
            Value::Map(named) => visitor.visit_map(Named {
                rest: named.iter(),
                current: None,
                step: Step::Key,
            }),
            Value::Object(named) => visitor.visit_map(Named {
                rest: named.iter(),
                current: None,
                step: Step::Attribute,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.plain() {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.plain() {
            Value::Null => visitor.visit_unit(),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match (name, self.plain()) {
            (FIELD_TOKEN, Value::Null) => visitor.visit_none(),
            (FIELD_TOKEN, Value::Unknown) => visitor.visit_unit(),
            (FIELD_TOKEN, _) => visitor.visit_some(self),
            (NUMBER_TOKEN, Value::Number(number)) => match number.as_i64() {
                Some(int) => visitor.visit_i64(int),
                None => visitor.visit_str(&number.to_string()),
            },
            // A number is not read from text: the schema says number.
            (NUMBER_TOKEN, Value::String(_)) => Err(ValueError::mismatch("a number", "a string")),
            (NUMBER_TOKEN, _) => self.deserialize_any(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if name == VALUE_TOKEN {
            return visitor.visit_enum(Whole(self.0));
        }
        match self.plain() {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple tuple_struct map struct
        identifier
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, ValueError> {
    if let Some(int) = number.as_i64() {
        visitor.visit_i64(int)
    } else if let Some(int) = number.as_u64() {
        visitor.visit_u64(int)
    } else {
        visitor.visit_f64(number.to_f64())
    }
}

struct Elements<'de> {
    rest: slice::Iter<'de, Value>,
    index: usize,
    set: bool,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(element) = self.rest.next() else {
            return Ok(None);
        };
        let step = if self.set {
            Step::Element
        } else {
            Step::Index(self.index)
        };
        self.index += 1;
        seed.deserialize(ValueDeserializer(element))
            .map(Some)
            .map_err(|error| error.within(step))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Named<'de> {
    rest: btree_map::Iter<'de, String, Value>,
    current: Option<(&'de String, &'de Value)>,
    step: fn(String) -> Step,
}

impl<'de> MapAccess<'de> for Named<'de> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        self.current = self.rest.next();
        let Some((name, _)) = self.current else {
            return Ok(None);
        };
        seed.deserialize(StrDeserializer::<ValueError>::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let Some((name, value)) = self.current else {
            return Err(ValueError::malformed("a value was asked for before its key"));
        };
        seed.deserialize(ValueDeserializer(value))
            .map_err(|error| error.within((self.step)(name.clone())))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A whole [`Value`], as the enum that it is.
struct Whole<'de>(&'de Value);

impl<'de> EnumAccess<'de> for Whole<'de> {
    type Error = ValueError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ValueError> {
        let variant = match self.0 {
            Value::Null => "Null",
            Value::Unknown => "Unknown",
            Value::Bool(_) => "Bool",
            Value::Number(_) => "Number",
            Value::String(_) => "String",
            Value::List(_) => "List",
            Value::Set(_) => "Set",
            Value::Tuple(_) => "Tuple",
            Value::Map(_) => "Map",
            Value::Object(_) => "Object",
            Value::Dynamic(..) => "Dynamic",
        };
        Ok((
            seed.deserialize(StrDeserializer::<ValueError>::new(variant))?,
            self,
        ))
    }
}

impl<'de> VariantAccess<'de> for Whole<'de> {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ValueError> {
        seed.deserialize(ValueDeserializer(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Dynamic(ty, inner) => visitor.visit_seq(TypeThenValue {
                ty: Some(ty.to_json().to_string()),
                inner: Some(inner),
            }),
            other => Err(ValueError::mismatch("a value of any type", other.kind())),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ValueError> {
        Err(ValueError::mismatch("a value", "a structure"))
    }
}

/// The two parts of [`Value::Dynamic`].
struct TypeThenValue<'de> {
    ty: Option<String>,
    inner: Option<&'de Value>,
}

impl<'de> SeqAccess<'de> for TypeThenValue<'de> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        if let Some(ty) = self.ty.take() {
            let ty: de::value::StringDeserializer<ValueError> = ty.into_deserializer();
            return seed.deserialize(ty).map(Some);
        }
        self.inner
            .take()
            .map(|inner| seed.deserialize(ValueDeserializer(inner)))
            .transpose()
    }
}
