//! Types of values, and their JSON form, in which schemas and dynamic values carry them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value as Json, json};

use super::path::{AttributePath, Step};

/// The deepest nesting of types and values that is read or written. Terraform configurations stay below ten.
pub const MAX_DEPTH: usize = 96;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Any type, decided by the value.
    Dynamic,
    /// `true` or `false`.
    Bool,
    /// An exact decimal.
    Number,
    /// Unicode text.
    String,
    /// Elements of one type in order.
    List(Box<Type>),
    /// Elements of one type without order or duplicates.
    Set(Box<Type>),
    /// Elements of one type under any keys.
    Map(Box<Type>),
    /// A fixed sequence, each element of its own type.
    Tuple(Vec<Type>),
    /// Named attributes, each of its own type, all present.
    Object(BTreeMap<String, Type>),
}

/// A type's JSON that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Not the JSON of a type.
    #[error("not a type: {0}")]
    Malformed(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("a type nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Type {
    /// A list of `element`.
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of `element`.
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map of `element`.
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object of these attributes.
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(
            attributes
                .into_iter()
                .map(|(name, ty)| (name.into(), ty))
                .collect(),
        )
    }

    /// Whether this type is or holds `wanted`.
    pub fn any(&self, wanted: &dyn Fn(&Self) -> bool) -> bool {
        wanted(self)
            || match self {
                Self::List(element) | Self::Set(element) | Self::Map(element) => element.any(wanted),
                Self::Tuple(elements) => elements.iter().any(|ty| ty.any(wanted)),
                Self::Object(attributes) => attributes.values().any(|ty| ty.any(wanted)),
                Self::Dynamic | Self::Bool | Self::Number | Self::String => false,
            }
    }

    /// The type at `path` in values of this one. What a value of any type holds is of any type.
    pub fn at(&self, path: &AttributePath) -> Option<&Self> {
        let mut here = self;
        for step in path.steps() {
            here = match (here, step) {
                (Self::Dynamic, _) => return Some(here),
                (Self::Object(attributes), Step::Attribute(name)) => attributes.get(name)?,
                (Self::Map(element), Step::Key(_) | Step::Attribute(_))
                | (Self::List(element), Step::Index(_))
                | (Self::Set(element), Step::Element) => element,
                (Self::Tuple(elements), Step::Index(index)) => elements.get(*index)?,
                _ => return None,
            };
        }
        Some(here)
    }

    /// The JSON form: `"string"`, `["list","number"]`, `["object",{"a":"bool"}]`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Dynamic => json!("dynamic"),
            Self::Bool => json!("bool"),
            Self::Number => json!("number"),
            Self::String => json!("string"),
            Self::List(element) => json!(["list", element.to_json()]),
            Self::Set(element) => json!(["set", element.to_json()]),
            Self::Map(element) => json!(["map", element.to_json()]),
            Self::Tuple(elements) => json!(["tuple", elements.iter().map(Self::to_json).collect::<Vec<_>>()]),
            Self::Object(attributes) => {
                let attributes: serde_json::Map<_, _> = attributes
                    .iter()
                    .map(|(name, ty)| (name.clone(), ty.to_json()))
                    .collect();
                json!(["object", attributes])
            }
        }
    }

    /// Reads the JSON form.
    pub fn from_json(json: &Json) -> Result<Self, TypeError> {
        Self::from_json_at(json, 0)
    }

    /// Reads the JSON form from its text.
    pub fn from_json_slice(json: &[u8]) -> Result<Self, TypeError> {
        let json: Json =
            serde_json::from_slice(json).map_err(|error| TypeError::Malformed(error.to_string()))?;
        Self::from_json(&json)
    }

    fn from_json_at(json: &Json, depth: usize) -> Result<Self, TypeError> {
        if depth > MAX_DEPTH {
            return Err(TypeError::TooDeep);
        }
        let malformed = || TypeError::Malformed(json.to_string().chars().take(80).collect());
        let inner = |json| Self::from_json_at(json, depth + 1);
        match json {
            Json::String(name) => match name.as_str() {
                "dynamic" => Ok(Self::Dynamic),
                "bool" => Ok(Self::Bool),
                "number" => Ok(Self::Number),
                "string" => Ok(Self::String),
                _ => Err(malformed()),
            },
            Json::Array(parts) => match parts.as_slice() {
                [Json::String(kind), element] if kind == "list" => inner(element).map(Self::list),
                [Json::String(kind), element] if kind == "set" => inner(element).map(Self::set),
                [Json::String(kind), element] if kind == "map" => inner(element).map(Self::map),
                [Json::String(kind), Json::Array(elements)] if kind == "tuple" => elements
                    .iter()
                    .map(inner)
                    .collect::<Result<_, _>>()
                    .map(Self::Tuple),
                // A third part lists optional attributes, which only matters for conversions Terraform has
                // done already.
                [Json::String(kind), Json::Object(attributes), ..]
                    if kind == "object" && parts.len() <= 3 =>
                {
                    attributes
                        .iter()
                        .map(|(name, ty)| Ok((name.clone(), inner(ty)?)))
                        .collect::<Result<_, _>>()
                        .map(Self::Object)
                }
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dynamic => f.write_str("any"),
            Self::Bool => f.write_str("bool"),
            Self::Number => f.write_str("number"),
            Self::String => f.write_str("string"),
            Self::List(element) => write!(f, "list of {element}"),
            Self::Set(element) => write!(f, "set of {element}"),
            Self::Map(element) => write!(f, "map of {element}"),
            Self::Tuple(_) => f.write_str("tuple"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_form_is_terraforms() {
        let ty = Type::object([
            ("a", Type::String),
            ("b", Type::list(Type::Number)),
            ("c", Type::set(Type::Bool)),
            ("d", Type::map(Type::Dynamic)),
            ("e", Type::Tuple(vec![Type::String, Type::Number])),
        ]);
        let text = r#"["object",{"a":"string","b":["list","number"],"c":["set","bool"],"d":["map","dynamic"],"e":["tuple",["string","number"]]}]"#;
        assert_eq!(ty.to_json().to_string(), text);
        assert_eq!(Type::from_json_slice(text.as_bytes()), Ok(ty));
    }

    #[test]
    fn optional_attributes_of_an_object_type_are_read_over() {
        let ty = Type::from_json_slice(br#"["object",{"a":"string"},["a"]]"#).unwrap();
        assert_eq!(ty, Type::object([("a", Type::String)]));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for text in [
            "",
            "1",
            "null",
            r#""text""#,
            r#"["list"]"#,
            r#"["set","x"]"#,
            r#"["tuple","string"]"#,
            r#"["object",[]]"#,
        ] {
            assert!(Type::from_json_slice(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{}\"string\"{}", r#"["list","#.repeat(120), "]".repeat(120));
        assert!(Type::from_json_slice(deep.as_bytes()).is_err());
    }
}
