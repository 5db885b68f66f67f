//! The JSON form of values: stored state that is to be upgraded, and what some callers send instead of
//! msgpack.
//!
//! Read level by level from the raw text, so that numbers keep every digit and errors know their path. There
//! is no unknown in JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{MAX_DEPTH, Problem, Step, Type, Value, ValueError};

/// How strictly objects must match their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Every attribute present, no other.
    Exact,
    /// As stored by another version: attributes that the type no longer has are dropped, missing ones are
    /// null.
    Stored,
}

/// The value of type `ty` in this JSON text.
pub fn decode(json: &[u8], ty: &Type, shape: Shape) -> Result<Value, ValueError> {
    let raw: &RawValue = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    Decoder { shape }.value(raw.get(), ty, 0)
}

/// The error of the JSON parser, without the excerpt it might hold.
fn malformed(error: &serde_json::Error) -> ValueError {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends early",
        serde_json::error::Category::Data => "another type",
        _ => "a syntax error",
    };
    ValueError::malformed(format!(
        "JSON: {what} at line {} column {}",
        error.line(),
        error.column()
    ))
}

struct Decoder {
    shape: Shape,
}

impl Decoder {
    fn value(&self, raw: &str, ty: &Type, depth: usize) -> Result<Value, ValueError> {
        if depth > MAX_DEPTH {
            return Err(ValueError::new(Problem::TooDeep));
        }
        if raw == "null" {
            return Ok(Value::Null);
        }
        let kind = Kind::of(raw);
        match (ty, kind) {
            (Type::Dynamic, Kind::Object) => self.dynamic(raw, depth),
            // Terraform converts between primitives when it reads state, and so do we: an attribute may have
            // changed its type.
            (Type::Bool, Kind::Bool) => Ok(Value::Bool(raw == "true")),
            (Type::Bool, Kind::String) => match text(raw)?.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(ValueError::mismatch(ty, "a string")),
            },
            (Type::Number, Kind::Number) => raw.parse().map(Value::Number).map_err(ValueError::malformed),
            (Type::Number, Kind::String) => text(raw)?
                .parse()
                .map(Value::Number)
                .map_err(|_| ValueError::mismatch(ty, "a string")),
            (Type::String, Kind::String) => Value::String(text(raw)?).conform(ty),
            (Type::String, Kind::Bool) => Ok(Value::String(raw.to_owned())),
            (Type::String, Kind::Number) => {
                let number: super::Number = raw.parse().map_err(ValueError::malformed)?;
                Ok(Value::String(number.to_string()))
            }
            (Type::List(element), Kind::Array) => self
                .elements(raw, |_| element, depth, Step::Index)
                .map(Value::List),
            (Type::Set(element), Kind::Array) => self
                .elements(raw, |_| element, depth, |_| Step::Element)
                .map(Value::set),
            (Type::Tuple(types), Kind::Array) => {
                let elements: Vec<&RawValue> = parse(raw)?;
                if elements.len() != types.len() {
                    return Err(ValueError::malformed(format!(
                        "a tuple of {} elements, not {}",
                        elements.len(),
                        types.len()
                    )));
                }
                self.elements(raw, |index| &types[index], depth, Step::Index)
                    .map(Value::Tuple)
            }
            (Type::Map(element), Kind::Object) => {
                let raw: BTreeMap<String, &RawValue> = parse(raw)?;
                raw.into_iter()
                    .map(|(key, raw)| {
                        let value = self
                            .value(raw.get(), element, depth + 1)
                            .map_err(|e| e.within(Step::Key(key.clone())))?;
                        Ok((key, value))
                    })
                    .collect::<Result<BTreeMap<_, _>, _>>()
                    .and_then(|elements| Value::Map(elements).conform(ty))
            }
            (Type::Object(types), Kind::Object) => self.object(raw, types, depth),
            (_, kind) => Err(ValueError::mismatch(ty, kind.name())),
        }
    }

    fn object(&self, raw: &str, types: &BTreeMap<String, Type>, depth: usize) -> Result<Value, ValueError> {
        let mut raw: BTreeMap<String, &RawValue> = parse(raw)?;
        let mut attributes = BTreeMap::new();
        for (name, ty) in types {
            let value = match (raw.remove(name), self.shape) {
                (Some(raw), _) => self
                    .value(raw.get(), ty, depth + 1)
                    .map_err(|e| e.within(Step::Attribute(name.clone())))?,
                (None, Shape::Stored) => Value::Null,
                (None, Shape::Exact) => return Err(ValueError::new(Problem::Missing(name.clone()))),
            };
            attributes.insert(name.clone(), value);
        }
        match raw.into_keys().next() {
            Some(extra) if self.shape == Shape::Exact => Err(ValueError::new(Problem::Unexpected(extra))),
            _ => Ok(Value::Object(attributes)),
        }
    }

    fn elements<'t>(
        &self,
        raw: &str,
        ty: impl Fn(usize) -> &'t Type,
        depth: usize,
        step: impl Fn(usize) -> Step,
    ) -> Result<Vec<Value>, ValueError> {
        let raw: Vec<&RawValue> = parse(raw)?;
        let element = |(index, raw): (usize, &RawValue)| {
            self.value(raw.get(), ty(index), depth + 1)
                .map_err(|e| e.within(step(index)))
        };
        raw.into_iter().enumerate().map(element).collect()
    }

    /// `{"type": …, "value": …}`.
    fn dynamic(&self, raw: &str, depth: usize) -> Result<Value, ValueError> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(rename = "type")]
            ty: serde_json::Value,
            #[serde(borrow)]
            value: &'a RawValue,
        }
        let typed: Typed<'_> = parse(raw)?;
        let ty = Type::from_json(&typed.ty).map_err(ValueError::malformed)?;
        let inner = self.value(typed.value.get(), &ty, depth + 1)?;
        Ok(match ty {
            Type::Dynamic => inner,
            ty => Value::Dynamic(ty, Box::new(inner)),
        })
    }
}

/// What a JSON text is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    fn of(raw: &str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(b't' | b'f') => Self::Bool,
            _ => Self::Number,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, ValueError> {
    serde_json::from_str(raw).map_err(|error| malformed(&error))
}

fn text(raw: &str) -> Result<String, ValueError> {
    parse(raw)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ty() -> Type {
        Type::object([
            ("name", Type::String),
            ("count", Type::Number),
            ("tags", Type::set(Type::String)),
            ("nested", Type::list(Type::object([("on", Type::Bool)]))),
            ("any", Type::Dynamic),
        ])
    }

    #[test]
    fn stored_state_of_another_version_is_brought_into_shape() {
        let json = br#"{"name":"a","gone":{"x":[1]},"nested":[{"on":true,"old":1},{}]}"#;
        let value = decode(json, &ty(), Shape::Stored).unwrap();
        assert_eq!(value.named("name"), &Value::from("a"));
        assert_eq!(value.named("count"), &Value::Null);
        assert_eq!(value.as_named().unwrap().len(), 5);
        let on = |value| Value::object([("on", value)]);
        assert_eq!(
            value.named("nested"),
            &Value::list([on(Value::Bool(true)), on(Value::Null)])
        );
        assert!(decode(json, &ty(), Shape::Exact).is_err());
    }

    #[test]
    fn numbers_keep_every_digit() {
        for text in ["0.1", "18446744073709551616", "123456789012345678901234567890.5"] {
            let value = decode(format!(" {text} ").as_bytes(), &Type::Number, Shape::Exact).unwrap();
            assert_eq!(value, Value::Number(text.parse().unwrap()));
        }
        assert!(decode(b"1e9999999", &Type::Number, Shape::Exact).is_err());
    }

    #[test]
    fn values_of_any_type_carry_it() {
        let value = decode(
            br#"{"value":["x"],"type":["list","string"]}"#,
            &Type::Dynamic,
            Shape::Exact,
        )
        .unwrap();
        assert_eq!(
            value,
            Value::Dynamic(
                Type::list(Type::String),
                Box::new(Value::list([Value::from("x")]))
            )
        );
        assert!(decode(br#""bare""#, &Type::Dynamic, Shape::Exact).is_err());
    }

    #[test]
    fn primitives_convert_as_terraform_converts_them() {
        assert_eq!(
            decode(br#""12""#, &Type::Number, Shape::Stored),
            Ok(Value::from(12))
        );
        assert_eq!(
            decode(br#""true""#, &Type::Bool, Shape::Stored),
            Ok(Value::Bool(true))
        );
        assert_eq!(
            decode(b"1e2", &Type::String, Shape::Stored),
            Ok(Value::from("100"))
        );
    }

    #[test]
    fn a_misfit_names_its_place_and_not_its_value() {
        let error = decode(br#"{"nested":[{"on":"hunter2"}]}"#, &ty(), Shape::Stored)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "nested[0].on: bool is required, this is a string");
        let error = decode(br#"{"name":"hunter2"#, &ty(), Shape::Stored)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ends early") && !error.contains("hunter2"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text in "[\\[\\]{}\",:a-z0-9.e-]{0,60}") {
            let _ = decode(text.as_bytes(), &ty(), Shape::Stored);
            let _ = decode(text.as_bytes(), &Type::Dynamic, Shape::Stored);
        }
    }
}
