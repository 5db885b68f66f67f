//! Checking a configuration against the validators and rules of its schema.

use super::{Attribute, Kind, Nesting, Object, Schema, Validator};
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::value::{AttributePath, Step, Value};

impl Schema {
    /// What is wrong with `config`. Unknown values are taken as right.
    pub fn validate(&self, config: &Value) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        object(&self.root, config, &AttributePath::root(), &mut diagnostics);
        diagnostics
    }

    /// The write-only attributes that `config` sets. A host that does not know them would store them.
    pub fn write_only_set(&self, config: &Value) -> Vec<AttributePath> {
        let mut set = Vec::new();
        write_only(&self.root, config, &AttributePath::root(), &mut set);
        set
    }
}

fn object(schema: &Object, value: &Value, path: &AttributePath, diagnostics: &mut Diagnostics) {
    if value.is_null() || value.is_unknown() {
        return;
    }
    for (name, attribute_schema) in &schema.attributes {
        attribute(
            attribute_schema,
            value.named(name),
            &path.attribute(name),
            diagnostics,
        );
    }
    for (name, block) in &schema.blocks {
        for (path, element) in elements(block.nesting.holder(), value.named(name), &path.attribute(name)) {
            object(&block.object, element, &path, diagnostics);
        }
    }
    for rule in &schema.rules {
        diagnostics.extend(rule.check(value).under(path));
    }
}

fn attribute(schema: &Attribute, value: &Value, path: &AttributePath, diagnostics: &mut Diagnostics) {
    if value.is_null() || value.is_unknown() {
        return;
    }
    for validator in &schema.validators {
        run(validator, value, path, diagnostics);
    }
    if let Kind::Nested(nesting, nested) = &schema.kind {
        for (path, element) in elements(*nesting, value, path) {
            object(nested, element, &path, diagnostics);
        }
    }
}

fn run(validator: &Validator, value: &Value, path: &AttributePath, diagnostics: &mut Diagnostics) {
    if let Validator::Each(validator) = validator {
        let nesting = match value {
            Value::Set(_) => Nesting::Set,
            Value::Map(_) | Value::Object(_) => Nesting::Map,
            _ => Nesting::List,
        };
        for (path, element) in elements(nesting, value, path) {
            if !element.is_null() && !element.is_unknown() {
                run(validator, element, &path, diagnostics);
            }
        }
    } else if let Some(problem) = validator.problem(value) {
        diagnostics.push(Diagnostic::error("Invalid value", problem).at(path));
    }
}

/// The objects held by `value`, each with its path.
pub(crate) fn elements<'v>(
    nesting: Nesting,
    value: &'v Value,
    path: &AttributePath,
) -> Vec<(AttributePath, &'v Value)> {
    match nesting {
        Nesting::Single => vec![(path.clone(), value)],
        Nesting::List => {
            let elements = value.as_elements().unwrap_or_default();
            elements
                .iter()
                .enumerate()
                .map(|(index, element)| (path.index(index), element))
                .collect()
        }
        Nesting::Set => {
            let elements = value.as_elements().unwrap_or_default();
            elements
                .iter()
                .map(|element| (path.step(Step::Element), element))
                .collect()
        }
        Nesting::Map => value
            .as_named()
            .into_iter()
            .flatten()
            .map(|(key, element)| (path.key(key), element))
            .collect(),
    }
}

fn write_only(schema: &Object, value: &Value, path: &AttributePath, set: &mut Vec<AttributePath>) {
    if value.is_null() || value.is_unknown() {
        return;
    }
    for (name, attribute) in &schema.attributes {
        let (value, path) = (value.named(name), path.attribute(name));
        if attribute.write_only && !value.is_null() {
            set.push(path);
        } else if let Kind::Nested(nesting, nested) = &attribute.kind {
            for (path, element) in elements(*nesting, value, &path) {
                write_only(nested, element, &path, set);
            }
        }
    }
    for (name, block) in &schema.blocks {
        for (path, element) in elements(block.nesting.holder(), value.named(name), &path.attribute(name)) {
            write_only(&block.object, element, &path, set);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;
    use crate::framework::value::Type;

    fn schema() -> Schema {
        let inner = Object::new()
            .attribute("level", Attribute::number().validate(Validator::between(1, 3)))
            .attribute("secret", Attribute::string().write_only())
            .attribute("file", Attribute::string())
            .rule(Rule::at_most_one_of(["secret", "file"]));
        Schema::new(0)
            .attribute(
                "mode",
                Attribute::string().validate(Validator::one_of(["fast", "safe"])),
            )
            .attribute(
                "tags",
                Attribute::list(Type::String).validate(Validator::length(1, 3).each()),
            )
            .attribute(
                "env",
                Attribute::map(Type::String).validate(Validator::length(1, 2).keys()),
            )
            .attribute("a", Attribute::object(inner.clone()))
            .attribute("b", Attribute::object_list(inner))
            .attribute(
                "note",
                Attribute::string().validate(Validator::text(|text| {
                    if text.contains(' ') {
                        Err("Must have no spaces.".to_owned())
                    } else {
                        Ok(())
                    }
                })),
            )
            .rule(Rule::exactly_one_of(["a", "b"]))
            .rule(Rule::required_with("note", ["mode"]))
            .rule(Rule::conflicts_with("env", ["tags"]))
            .rule(Rule::at_least_one_of(["mode", "a", "b"]))
    }

    fn config(set: &[(&str, Value)]) -> Value {
        Value::object(set.iter().cloned())
            .conform(&schema().ty())
            .unwrap()
    }

    fn faults(set: &[(&str, Value)]) -> Vec<String> {
        schema()
            .validate(&config(set))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_right_configuration_and_an_unknown_one_pass() {
        let a = Value::object([("level", Value::from(3))]);
        assert!(faults(&[("a", a), ("mode", "fast".into()), ("note", "x".into())]).is_empty());
        let unknown = ["mode", "tags", "a", "b", "note"].map(|name| (name, Value::Unknown));
        assert!(faults(&unknown).is_empty());
    }

    #[test]
    fn each_fault_names_its_attribute() {
        let level = |level: i64| Value::object([("level", Value::from(level))]);
        let b = ("b", Value::list([level(1), level(4)]));
        assert_eq!(
            faults(std::slice::from_ref(&b)),
            ["error: Invalid value (b[1].level): Must be from 1 to 3."]
        );
        assert_eq!(
            faults(&[("mode", "slow".into()), ("a", level(1))]),
            ["error: Invalid value (mode): Must be one of \"fast\", \"safe\"."]
        );
        assert_eq!(
            faults(&[
                ("tags", Value::list(["ok".into(), Value::Unknown, "".into()])),
                ("a", level(1))
            ]),
            ["error: Invalid value (tags[2]): Must have 1 to 3 characters; this has 0."]
        );
        assert_eq!(
            faults(&[("env", Value::map([("long", Value::Null)])), ("a", level(1))]),
            ["error: Invalid value (env): Key \"long\": Must have 1 to 2 characters; this has 4."]
        );
        assert_eq!(
            faults(&[("mode", "fast".into()), ("note", "a b".into()), ("a", level(1))]),
            ["error: Invalid value (note): Must have no spaces."]
        );
    }

    #[test]
    fn rules_name_what_conflicts_and_what_is_missing() {
        let empty = || Value::object::<String>([]);
        assert_eq!(
            faults(&[("a", empty()), ("b", Value::list([]))]),
            [
                "error: Conflicting arguments (b): Exactly one of a, b must be set, but a, b are. Remove all but one."
            ]
        );
        assert_eq!(
            faults(&[("mode", "fast".into())]),
            ["error: Missing argument: Exactly one of a, b must be set, but none is."]
        );
        assert_eq!(
            faults(&[("a", empty()), ("note", "x".into())]),
            ["error: Missing argument (note): With note set, mode must be set too. Set it, or remove note."]
        );
        assert_eq!(
            faults(&[
                ("a", empty()),
                ("env", Value::map::<String>([])),
                ("tags", Value::list([]))
            ]),
            ["error: Conflicting arguments (env): With tags set, env may not be set. Remove one of them."]
        );
        let both = Value::object([("secret", Value::from("s")), ("file", Value::from("f"))]);
        assert_eq!(
            faults(&[("a", both)]),
            [
                "error: Conflicting arguments (a.file): At most one of secret, file may be set, but secret, file are. Remove all but one."
            ]
        );
        assert_eq!(faults(&[]).len(), 2);
    }

    #[test]
    fn set_write_only_attributes_are_found_where_they_are() {
        let secret = Value::object([("secret", Value::from("s"))]);
        let b = Value::list([Value::object::<String>([]), secret]);
        let set = schema().write_only_set(&config(&[("b", b)]));
        assert_eq!(set, [AttributePath::from("b").index(1).attribute("secret")]);
    }
}
