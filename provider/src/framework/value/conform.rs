//! Bringing a value into the exact shape of a type: what a model serialized to is close to it, what goes on
//! the wire must be it.

use std::collections::BTreeMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{MAX_DEPTH, Problem, Step, Type, Value, ValueError};

impl Value {
    /// This value in the exact form of `ty`: sequences become the list, set or tuple that is asked for,
    /// structures the map or object; attributes that are absent become null; text is brought to Unicode NFC,
    /// which Terraform does on its side too, so that a comparison here decides as the one there. Fails where
    /// the types differ; an attribute that the type does not have is an error, not dropped.
    pub fn conform(self, ty: &Type) -> Result<Self, ValueError> {
        conform(self, ty, 0)
    }

    /// The type this value has of itself. Sequences are taken as tuples and structures as objects unless they
    /// are uniform collections already typed by [`Value::Dynamic`]; null and unknown have none and are
    /// [`Type::Dynamic`].
    pub fn infer_type(&self) -> Type {
        match self {
            Self::Null | Self::Unknown => Type::Dynamic,
            Self::Bool(_) => Type::Bool,
            Self::Number(_) => Type::Number,
            Self::String(_) => Type::String,
            Self::List(elements) | Self::Set(elements) | Self::Tuple(elements) => {
                Type::Tuple(elements.iter().map(Self::infer_type).collect())
            }
            Self::Map(elements) | Self::Object(elements) => Type::Object(
                elements
                    .iter()
                    .map(|(name, value)| (name.clone(), value.infer_type()))
                    .collect(),
            ),
            Self::Dynamic(ty, _) => ty.clone(),
        }
    }
}

fn conform(value: Value, ty: &Type, depth: usize) -> Result<Value, ValueError> {
    if depth > MAX_DEPTH {
        return Err(ValueError::new(Problem::TooDeep));
    }
    match (ty, value) {
        (_, Value::Null) => Ok(Value::Null),
        (_, Value::Unknown) => Ok(Value::Unknown),
        (Type::Dynamic, Value::Dynamic(Type::Dynamic, inner)) => conform(*inner, ty, depth + 1),
        (Type::Dynamic, Value::Dynamic(inner_type, inner)) => {
            let inner = conform(*inner, &inner_type, depth + 1)?;
            Ok(Value::Dynamic(inner_type, Box::new(inner)))
        }
        (Type::Dynamic, value) => {
            let inferred = value.infer_type();
            let inner = conform(value, &inferred, depth + 1)?;
            Ok(Value::Dynamic(inferred, Box::new(inner)))
        }
        (_, Value::Dynamic(_, inner)) => conform(*inner, ty, depth + 1),
        (Type::Bool, value @ Value::Bool(_)) | (Type::Number, value @ Value::Number(_)) => Ok(value),
        (Type::String, Value::String(text)) => Ok(Value::String(normalized(text))),
        (Type::List(element), Value::List(elements) | Value::Tuple(elements) | Value::Set(elements)) => {
            each(elements, |_| element, depth, Step::Index).map(Value::List)
        }
        (Type::Set(element), Value::List(elements) | Value::Tuple(elements) | Value::Set(elements)) => {
            each(elements, |_| element, depth, |_| Step::Element).map(Value::set)
        }
        (Type::Tuple(types), Value::List(elements) | Value::Tuple(elements))
            if types.len() == elements.len() =>
        {
            each(elements, |index| &types[index], depth, Step::Index).map(Value::Tuple)
        }
        (Type::Map(element), Value::Map(elements) | Value::Object(elements)) => elements
            .into_iter()
            .map(|(key, value)| {
                let value =
                    conform(value, element, depth + 1).map_err(|e| e.within(Step::Key(key.clone())))?;
                Ok((normalized(key), value))
            })
            .collect::<Result<_, _>>()
            .map(Value::Map),
        (Type::Object(types), Value::Map(elements) | Value::Object(elements)) => {
            object(elements, types, depth)
        }
        (_, other) => Err(ValueError::mismatch(ty, other.kind())),
    }
}

fn each<'t>(
    elements: Vec<Value>,
    ty: impl Fn(usize) -> &'t Type,
    depth: usize,
    step: impl Fn(usize) -> Step,
) -> Result<Vec<Value>, ValueError> {
    let conformed = |(index, value)| conform(value, ty(index), depth + 1).map_err(|e| e.within(step(index)));
    elements.into_iter().enumerate().map(conformed).collect()
}

fn object(
    mut given: BTreeMap<String, Value>,
    types: &BTreeMap<String, Type>,
    depth: usize,
) -> Result<Value, ValueError> {
    let mut attributes = BTreeMap::new();
    for (name, ty) in types {
        let value = given.remove(name).unwrap_or_default();
        let value = conform(value, ty, depth + 1).map_err(|e| e.within(Step::Attribute(name.clone())))?;
        attributes.insert(name.clone(), value);
    }
    match given.into_keys().next() {
        Some(extra) => Err(ValueError::new(Problem::Unexpected(extra))),
        None => Ok(Value::Object(attributes)),
    }
}

/// Text in the form in which Terraform keeps it. Nearly all text is in it already.
fn normalized(text: String) -> String {
    if is_nfc(&text) { text } else { text.nfc().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_and_structures_take_the_form_asked_for() {
        let ty = Type::object([
            ("list", Type::list(Type::String)),
            ("set", Type::set(Type::String)),
            ("map", Type::map(Type::String)),
            ("absent", Type::Number),
        ]);
        let texts = || Value::list([Value::from("b"), Value::from("a"), Value::from("a")]);
        let value = Value::map([
            ("list", texts()),
            ("set", texts()),
            ("map", Value::object([("k", Value::from("v"))])),
        ]);
        let conformed = value.conform(&ty).unwrap();
        assert_eq!(conformed.at(&"list".into()), &texts());
        assert_eq!(
            conformed.at(&"set".into()),
            &Value::set([Value::from("a"), Value::from("b")])
        );
        assert_eq!(
            conformed.at(&"map".into()),
            &Value::map([("k", Value::from("v"))])
        );
        assert_eq!(conformed.as_named().unwrap()["absent"], Value::Null);
    }

    #[test]
    fn a_misfit_names_its_place() {
        let ty = Type::object([("a", Type::list(Type::object([("b", Type::Number)])))]);
        let wrong = |inner: Value| {
            Value::object([("a", Value::list([inner]))])
                .conform(&ty)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            wrong(Value::object([("b", Value::from("x"))])),
            "a[0].b: number is required, this is a string"
        );
        assert_eq!(
            wrong(Value::object([("c", Value::Null)])),
            "a[0]: unexpected attribute \"c\""
        );
    }

    #[test]
    fn text_and_keys_are_brought_to_nfc() {
        let decomposed = "e\u{301}";
        let value = Value::map([(decomposed, Value::from(decomposed))]);
        let expected = Value::map([("\u{e9}", Value::from("\u{e9}"))]);
        assert_eq!(value.conform(&Type::map(Type::String)).unwrap(), expected);
    }

    #[test]
    fn a_value_of_any_type_carries_the_type_it_has() {
        let value = Value::map([("a", Value::list([Value::from(1), Value::from("x")]))]);
        let Value::Dynamic(ty, inner) = value.conform(&Type::Dynamic).unwrap() else {
            panic!("not dynamic")
        };
        assert_eq!(
            ty,
            Type::object([("a", Type::Tuple(vec![Type::Number, Type::String]))])
        );
        assert_eq!(inner.at(&AttributePath::from("a").index(1)), &Value::from("x"));
    }

    use super::super::AttributePath;
}
