//! Models to values.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{
    self, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::VALUE_TOKEN;
use super::field::UNKNOWN_TOKEN;
use crate::framework::value::number::NUMBER_TOKEN;
use crate::framework::value::{MAX_DEPTH, Number, Problem, Step, Type, Value, ValueError};

impl ser::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Invalid(message.to_string()))
    }
}

#[derive(Clone, Copy)]
pub(super) struct ValueSerializer {
    depth: usize,
    /// Whether the text that comes next is a number's digits.
    number: bool,
}

impl ValueSerializer {
    pub(super) const fn new() -> Self {
        Self {
            depth: 0,
            number: false,
        }
    }

    fn deeper(self) -> Result<Self, ValueError> {
        if self.depth >= MAX_DEPTH {
            return Err(ValueError::new(Problem::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            number: false,
        })
    }
}

macro_rules! ints {
    ($($method:ident: $int:ty),*) => {$(
        fn $method(self, int: $int) -> Result<Value, ValueError> {
            Ok(Value::Number(Number::from(int)))
        }
    )*};
}

impl Serializer for ValueSerializer {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = Sequence;
    type SerializeTuple = Sequence;
    type SerializeTupleStruct = Sequence;
    type SerializeTupleVariant = Sequence;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Impossible<Value, ValueError>;

    ints! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    }

    fn serialize_bool(self, bool: bool) -> Result<Value, ValueError> {
        Ok(Value::Bool(bool))
    }

    fn serialize_f32(self, float: f32) -> Result<Value, ValueError> {
        if float.is_finite() {
            return float
                .to_string()
                .parse()
                .map(Value::Number)
                .map_err(ser::Error::custom);
        }
        self.serialize_f64(f64::from(float))
    }

    fn serialize_f64(self, float: f64) -> Result<Value, ValueError> {
        Number::from_f64_shortest(float)
            .map(Value::Number)
            .map_err(ser::Error::custom)
    }

    fn serialize_char(self, char: char) -> Result<Value, ValueError> {
        Ok(Value::String(char.into()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, ValueError> {
        if !self.number {
            return Ok(Value::String(text.to_owned()));
        }
        match text {
            "Inf" => Ok(Value::Number(Number::INFINITY)),
            "-Inf" => Ok(Value::Number(Number::NEG_INFINITY)),
            digits => digits.parse().map(Value::Number).map_err(ser::Error::custom),
        }
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, ValueError> {
        Err(ser::Error::custom(
            "bytes have no form as a value; encode them as text",
        ))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Value, ValueError> {
        Ok(if name == UNKNOWN_TOKEN {
            Value::Unknown
        } else {
            Value::Null
        })
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(match (name, variant) {
            (VALUE_TOKEN, "Unknown") => Value::Unknown,
            (VALUE_TOKEN, _) => Value::Null,
            _ => Value::String(variant.to_owned()),
        })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        value.serialize(Self {
            number: name == NUMBER_TOKEN,
            ..self
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        let value = value.serialize(self.deeper()?)?;
        if name != VALUE_TOKEN {
            return Ok(Value::object([(variant, value)]));
        }
        Ok(match (variant, value) {
            ("Set", Value::List(elements)) => Value::set(elements),
            ("Tuple", Value::List(elements)) => Value::Tuple(elements),
            ("Object", Value::Map(named)) => Value::Object(named),
            (_, value) => value,
        })
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Sequence, ValueError> {
        Ok(Sequence {
            serializer: self.deeper()?,
            elements: Vec::with_capacity(length.unwrap_or(0)),
            dynamic: false,
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<Sequence, ValueError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Sequence, ValueError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        length: usize,
    ) -> Result<Sequence, ValueError> {
        if name != VALUE_TOKEN {
            return Err(ser::Error::custom(
                "an enum variant with several values has no form as a value",
            ));
        }
        Ok(Sequence {
            dynamic: true,
            ..self.serialize_seq(Some(length))?
        })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, ValueError> {
        Ok(Entries {
            serializer: self.deeper()?,
            named: BTreeMap::new(),
            key: None,
            structure: false,
        })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, ValueError> {
        Ok(Entries {
            structure: true,
            ..self.serialize_map(None)?
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, ValueError> {
        Err(ser::Error::custom(
            "an enum variant with fields has no form as a value",
        ))
    }
}

pub(super) struct Sequence {
    serializer: ValueSerializer,
    elements: Vec<Value>,
    /// Whether this is the type and the content of a value of any type.
    dynamic: bool,
}

impl Sequence {
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), ValueError> {
        let index = self.elements.len();
        let element = element
            .serialize(self.serializer)
            .map_err(|error| error.within(Step::Index(index)))?;
        self.elements.push(element);
        Ok(())
    }

    fn finish(self) -> Result<Value, ValueError> {
        if !self.dynamic {
            return Ok(Value::List(self.elements));
        }
        let mut parts = self.elements.into_iter();
        match (parts.next(), parts.next()) {
            (Some(Value::String(json)), Some(inner)) => {
                let ty =
                    Type::from_json_slice(json.as_bytes()).map_err(<ValueError as ser::Error>::custom)?;
                Ok(Value::Dynamic(ty, Box::new(inner)))
            }
            _ => Err(ser::Error::custom(
                "a value of any type needs its type and its content",
            )),
        }
    }
}

macro_rules! sequence {
    ($($kind:ident::$method:ident),*) => {$(
        impl $kind for Sequence {
            type Ok = Value;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), ValueError> {
                self.push(element)
            }

            fn end(self) -> Result<Value, ValueError> {
                self.finish()
            }
        }
    )*};
}

sequence!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

pub(super) struct Entries {
    serializer: ValueSerializer,
    named: BTreeMap<String, Value>,
    key: Option<String>,
    structure: bool,
}

impl SerializeMap for Entries {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        match key.serialize(self.serializer)? {
            Value::String(key) => self.key = Some(key),
            Value::Number(key) => self.key = Some(key.to_string()),
            other => return Err(ValueError::mismatch("a key that is text", other.kind())),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let Some(key) = self.key.take() else {
            return Err(ser::Error::custom("a value without its key"));
        };
        let value = value
            .serialize(self.serializer)
            .map_err(|error| error.within(Step::Key(key.clone())))?;
        self.named.insert(key, value);
        Ok(())
    }

    fn end(self) -> Result<Value, ValueError> {
        Ok(if self.structure {
            Value::Object(self.named)
        } else {
            Value::Map(self.named)
        })
    }
}

impl SerializeStruct for Entries {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ValueError> {
        let value = value
            .serialize(self.serializer)
            .map_err(|error| error.within(Step::Attribute(name.to_owned())))?;
        self.named.insert(name.to_owned(), value);
        Ok(())
    }

    fn end(self) -> Result<Value, ValueError> {
        SerializeMap::end(self)
    }
}
