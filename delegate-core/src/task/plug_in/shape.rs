//! What values may be: the part of JSON Schema (2020-12) that manifests are written in.
//!
//! Every keyword that is taken is also checked, and every other one is an error: a schema that promises more than is looked
//! at would be worse than none. An object with `properties` must say what becomes of others, for a misspelt field that
//! nobody minds is the likeliest mistake in task data.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::Secret;

/// What a value may be.
#[derive(Default)]
pub(super) struct Shape {
    /// None: any.
    types: Vec<Type>,
    choices: Option<Vec<Value>>,
    properties: BTreeMap<String, Shape>,
    required: Vec<String>,
    others: Others,
    items: Option<Box<Shape>>,
    /// Of a list.
    items_count: Bounds,
    /// Of a text, in characters.
    length: Bounds,
    least: Option<f64>,
    most: Option<f64>,
    pattern: Option<Regex>,
    /// A text that is never shown.
    secret: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Object,
}

/// Fields of an object that its shape does not name.
#[derive(Default)]
enum Others {
    #[default]
    Any,
    None,
    Of(Box<Shape>),
}

#[derive(Default)]
struct Bounds {
    least: Option<u64>,
    most: Option<u64>,
}

/// What is wrong with a value: the path of the field, and a problem that reads well after it and shows no value.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) problem: String,
}

const TYPES: [(&str, Type, &str); 7] = [
    ("null", Type::Null, "null"),
    ("boolean", Type::Boolean, "true or false"),
    ("integer", Type::Integer, "a whole number"),
    ("number", Type::Number, "a number"),
    ("string", Type::Text, "a text"),
    ("array", Type::List, "a list"),
    ("object", Type::Object, "an object"),
];

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn shown(self) -> &'static str {
        TYPES
            .iter()
            .find(|(_, kind, _)| *kind == self)
            .map_or("", |(_, _, shown)| shown)
    }
}

impl Shape {
    /// Reads a schema; `path` is where it stands in its manifest. The error names the place.
    pub(super) fn read(path: &str, schema: &Value) -> Result<Self, String> {
        let Value::Object(schema) = schema else {
            return Err(format!("{path} is no schema; expected an object"));
        };
        let mut shape = Self::default();
        for (keyword, value) in schema {
            let at = format!("{path}.{keyword}");
            shape.take(keyword, value, &at)?;
        }
        if !shape.properties.is_empty() && !schema.contains_key("additionalProperties") {
            return Err(format!(
                "{path} has `properties` and does not say what becomes of others; add `\"additionalProperties\": false`"
            ));
        }
        if let Some(name) = shape
            .required
            .iter()
            .find(|name| !shape.properties.contains_key(*name))
        {
            return Err(format!(
                "{path}.required names `{name}`, which is none of `properties`"
            ));
        }
        if shape.secret && shape.types != [Type::Text] {
            return Err(format!(
                "{path}.writeOnly marks a secret, which is of `\"type\": \"string\"`"
            ));
        }
        Ok(shape)
    }

    fn take(&mut self, keyword: &str, value: &Value, at: &str) -> Result<(), String> {
        match keyword {
            "title" | "description" | "default" | "examples" | "$schema" | "$comment" | "deprecated" => {}
            "type" => self.types = types(value, at)?,
            "const" => self.choices = Some(vec![value.clone()]),
            "enum" => self.choices = Some(list(value, at)?.clone()),
            "properties" => {
                for (name, schema) in object(value, at)? {
                    let shape = Self::read(&format!("{at}.{name}"), schema)?;
                    self.properties.insert(name.clone(), shape);
                }
            }
            "required" => {
                for name in list(value, at)? {
                    self.required.push(text(name, at)?.to_owned());
                }
            }
            "additionalProperties" => {
                self.others = match value {
                    Value::Bool(true) => Others::Any,
                    Value::Bool(false) => Others::None,
                    schema => Others::Of(Box::new(Self::read(at, schema)?)),
                }
            }
            "items" => self.items = Some(Box::new(Self::read(at, value)?)),
            "minItems" => self.items_count.least = Some(count(value, at)?),
            "maxItems" => self.items_count.most = Some(count(value, at)?),
            "minLength" => self.length.least = Some(count(value, at)?),
            "maxLength" => self.length.most = Some(count(value, at)?),
            "minimum" => self.least = Some(number(value, at)?),
            "maximum" => self.most = Some(number(value, at)?),
            "pattern" => {
                let pattern = Regex::new(text(value, at)?);
                self.pattern = Some(pattern.map_err(|error| format!("{at} is no pattern: {error}"))?);
            }
            "writeOnly" => {
                self.secret = value
                    .as_bool()
                    .ok_or_else(|| format!("{at} is neither true nor false"))?;
            }
            _ => {
                return Err(format!(
                    "{at} is a keyword that is not checked here; leave it out, or check it in the program"
                ));
            }
        }
        Ok(())
    }

    /// Whether it is that of an object.
    pub(super) fn is_object(&self) -> bool {
        self.types == [Type::Object]
    }

    /// The fields that it names.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.properties.keys()
    }

    /// Looks whether a value is so. `path` is its place, empty for the whole.
    pub(super) fn check(&self, path: &str, value: &Value) -> Result<(), Wrong> {
        let wrong = |problem: String| {
            let path = if path.is_empty() { "data" } else { path };
            Err(Wrong {
                path: path.to_owned(),
                problem,
            })
        };
        if !self.types.is_empty() && !self.types.iter().any(|kind| kind.is_of(value)) {
            let types: Vec<_> = self.types.iter().map(|kind| kind.shown()).collect();
            return wrong(format!("must be {}", types.join(" or ")));
        }
        if let Some(choices) = &self.choices
            && !choices.contains(value)
        {
            let choices: Vec<_> = choices.iter().map(Value::to_string).collect();
            return wrong(format!("must be one of {}", choices.join(", ")));
        }
        match value {
            Value::Object(fields) => self.check_fields(path, fields),
            Value::Array(items) => {
                if let Some(problem) = self.items_count.broken_by(items.len(), "items") {
                    return wrong(problem);
                }
                for (at, item) in items.iter().enumerate() {
                    if let Some(shape) = &self.items {
                        shape.check(&format!("{path}[{at}]"), item)?;
                    }
                }
                Ok(())
            }
            Value::String(text) => {
                if let Some(problem) = self.length.broken_by(text.chars().count(), "characters") {
                    return wrong(problem);
                }
                match &self.pattern {
                    Some(pattern) if !pattern.is_match(text) => wrong(format!("must match `{pattern}`")),
                    _ => Ok(()),
                }
            }
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                match (self.least, self.most) {
                    (Some(least), _) if number < least => wrong(format!("must be at least {least}")),
                    (_, Some(most)) if number > most => wrong(format!("must be at most {most}")),
                    _ => Ok(()),
                }
            }
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    /// The same of an object's fields.
    fn check_fields(&self, path: &str, fields: &Map<String, Value>) -> Result<(), Wrong> {
        if let Some(name) = self.required.iter().find(|name| !fields.contains_key(*name)) {
            return Err(Wrong {
                path: if path.is_empty() { "data" } else { path }.to_owned(),
                problem: format!("missing field `{name}`"),
            });
        }
        self.check_present(path, fields)
    }

    /// The same of those fields that are there.
    pub(super) fn check_present(&self, path: &str, fields: &Map<String, Value>) -> Result<(), Wrong> {
        for (name, value) in fields {
            let place = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match (self.properties.get(name), &self.others) {
                (Some(shape), _) => shape.check(&place, value)?,
                (None, Others::Of(shape)) => shape.check(&place, value)?,
                (None, Others::Any) => {}
                (None, Others::None) => {
                    let known: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
                    return Err(Wrong {
                        path: place,
                        problem: format!("is no field of it; expected {}", known.join(", ")),
                    });
                }
            }
        }
        Ok(())
    }

    /// The texts in a value that are marked as secrets.
    pub(super) fn secrets(&self, value: &Value, into: &mut Vec<Secret>) {
        match value {
            Value::String(text) if self.secret => into.push(Secret::new(text.as_str())),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (self.properties.get(name), &self.others) {
                        (Some(shape), _) => shape.secrets(value, into),
                        (None, Others::Of(shape)) => shape.secrets(value, into),
                        (None, _) => {}
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    if let Some(shape) = &self.items {
                        shape.secrets(item, into);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Bounds {
    fn broken_by(&self, found: usize, what: &str) -> Option<String> {
        let found = found as u64;
        match (self.least, self.most) {
            (Some(least), _) if found < least => Some(format!("must have at least {least} {what}")),
            (_, Some(most)) if found > most => Some(format!("must have at most {most} {what}")),
            _ => None,
        }
    }
}

fn types(value: &Value, at: &str) -> Result<Vec<Type>, String> {
    let read = |value: &Value| {
        let name = text(value, at)?;
        TYPES
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, kind, _)| *kind)
            .ok_or_else(|| {
                let known: Vec<_> = TYPES.iter().map(|(name, ..)| *name).collect();
                format!("{at} is no type; expected {}", known.join(", "))
            })
    };
    match value {
        Value::Array(names) if !names.is_empty() => names.iter().map(read).collect(),
        one => Ok(vec![read(one)?]),
    }
}

fn object<'v>(value: &'v Value, at: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{at} must be an object"))
}

fn list<'v>(value: &'v Value, at: &str) -> Result<&'v Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{at} must be a list"))
}

fn text<'v>(value: &'v Value, at: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{at} must be a text"))
}

fn count(value: &Value, at: &str) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| format!("{at} must be a whole number, at least 0"))
}

fn number(value: &Value, at: &str) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{at} must be a number"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["name"],
            "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
                "size": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
                "mode": {"enum": ["fast", 7]},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
                "more": {"type": "object", "additionalProperties": {"type": "string", "writeOnly": true}},
                "one": {"const": 1},
                "key": {"type": "string", "writeOnly": true},
            },
        });
        Shape::read("data", &schema).unwrap()
    }

    #[test]
    fn values_are_held_against_every_keyword_and_never_shown() {
        let shape = shape();
        for fits in [
            json!({"name": "ab"}),
            json!({"name": "ab", "size": null, "mode": 7, "tags": ["x"], "more": {"k": "v"}, "one": 1, "key": "x"}),
            json!({"name": "ab", "size": 9.0}),
        ] {
            assert_eq!(shape.check("", &fits), Ok(()), "{fits}");
        }
        for (other, path, words) in [
            (json!([]), "data", "must be an object"),
            (json!({}), "data", "missing field `name`"),
            (json!({"name": 1}), "name", "must be a text"),
            (
                json!({"name": "hunter2"}),
                "name",
                "must have at most 5 characters",
            ),
            (json!({"name": "a"}), "name", "must have at least 2 characters"),
            (json!({"name": "a7"}), "name", "must match `^[a-z]+$`"),
            (
                json!({"name": "ab", "size": 1.5}),
                "size",
                "must be a whole number or null",
            ),
            (json!({"name": "ab", "size": 0}), "size", "must be at least 1"),
            (json!({"name": "ab", "size": 10}), "size", "must be at most 9"),
            (
                json!({"name": "ab", "mode": "hunter2"}),
                "mode",
                "must be one of \"fast\", 7",
            ),
            (
                json!({"name": "ab", "tags": []}),
                "tags",
                "must have at least 1 items",
            ),
            (
                json!({"name": "ab", "tags": ["x", 1]}),
                "tags[1]",
                "must be a text",
            ),
            (
                json!({"name": "ab", "more": {"k": 1}}),
                "more.k",
                "must be a text",
            ),
            (json!({"name": "ab", "one": 2}), "one", "must be one of 1"),
            (
                json!({"name": "ab", "nmae": "hunter2"}),
                "nmae",
                "is no field of it; expected `key`, `mode`",
            ),
        ] {
            let wrong = shape.check("", &other).unwrap_err();
            assert_eq!(
                (&*wrong.path, wrong.problem.contains(words)),
                (path, true),
                "{other}: {wrong:?}"
            );
            assert!(!wrong.problem.contains("hunter2"), "{wrong:?}");
        }
    }

    #[test]
    fn secrets_are_found_where_the_schema_marks_them() {
        let value = json!({"name": "no", "key": "one", "more": {"a": "two"}, "unknown": "three"});
        let mut secrets = Vec::new();
        shape().secrets(&value, &mut secrets);
        let found: Vec<_> = secrets.iter().map(Secret::expose).collect();
        assert_eq!(found, ["one", "two"]);
    }

    #[test]
    fn a_schema_that_would_not_be_checked_as_a_whole_is_none() {
        for (schema, words) in [
            (json!(true), "data is no schema"),
            (
                json!({"type": "text"}),
                "data.type is no type; expected null, boolean",
            ),
            (json!({"type": 1}), "data.type must be a text"),
            (
                json!({"oneOf": []}),
                "data.oneOf is a keyword that is not checked here",
            ),
            (
                json!({"items": {"format": "uri"}}),
                "data.items.format is a keyword",
            ),
            (
                json!({"properties": {"a": {}}}),
                "add `\"additionalProperties\": false`",
            ),
            (json!({"properties": []}), "data.properties must be an object"),
            (json!({"required": ["a"]}), "names `a`, which is none"),
            (json!({"required": "a"}), "data.required must be a list"),
            (json!({"pattern": "("}), "data.pattern is no pattern"),
            (json!({"minItems": -1}), "data.minItems must be a whole number"),
            (json!({"minimum": "1"}), "data.minimum must be a number"),
            (json!({"enum": "a"}), "data.enum must be a list"),
            (json!({"writeOnly": 1}), "neither true nor false"),
            (json!({"type": "integer", "writeOnly": true}), "marks a secret"),
            (
                json!({"additionalProperties": 1}),
                "data.additionalProperties is no schema",
            ),
        ] {
            let problem = Shape::read("data", &schema).err().unwrap();
            assert!(problem.contains(words), "{schema}: {problem}");
        }
    }
}
