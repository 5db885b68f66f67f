//! Going through a value along its schema, with the values that belong to the same place beside it.

use std::collections::BTreeMap;

use crate::framework::schema::{Attribute, Kind, Nesting, Object};
use crate::framework::value::{AttributePath, Step, Value};

/// The values that belong to one place of a planned value.
#[derive(Clone, Copy)]
pub(super) struct Beside<'v> {
    pub(super) config: &'v Value,
    pub(super) prior: &'v Value,
}

impl<'v> Beside<'v> {
    fn named(self, name: &str) -> Self {
        Self {
            config: self.config.named(name),
            prior: self.prior.named(name),
        }
    }

    fn at(self, index: usize) -> Self {
        let element = |value: &'v Value| match value {
            Value::Unknown => &Value::Unknown,
            known => known
                .as_elements()
                .and_then(|all| all.get(index))
                .unwrap_or(&Value::Null),
        };
        Self {
            config: element(self.config),
            prior: element(self.prior),
        }
    }

    /// Elements of sets have no address: the element of the configuration is one that says nothing against the planned one, and the stored one
    /// is its equal, if any.
    fn of_element(self, planned: &Value) -> Self {
        let find = |value: &'v Value, fits: &dyn Fn(&Value) -> bool| match value {
            Value::Unknown => &Value::Unknown,
            known => known
                .as_elements()
                .into_iter()
                .flatten()
                .find(|element| fits(element))
                .unwrap_or(&Value::Null),
        };
        Self {
            config: find(self.config, &|element| agrees(element, planned)),
            prior: find(self.prior, &|element| element == planned),
        }
    }
}

/// Whether everything that `config` sets is so in `planned`.
fn agrees(config: &Value, planned: &Value) -> bool {
    match (config, planned) {
        (Value::Null, _) => true,
        (Value::Object(config), Value::Object(planned)) => config
            .iter()
            .all(|(name, value)| planned.get(name).is_some_and(|other| agrees(value, other))),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| agrees(value, other)))
        }
        (a, b) => a == b,
    }
}

/// What is done to each attribute: it gets the attribute's place and returns what is planned there. It is asked before the attribute's own
/// nested attributes are.
pub(super) type Visit<'f> = &'f mut dyn FnMut(&Attribute, &AttributePath, Beside<'_>, Value) -> Value;

/// Changes `planned`, an object of `schema`, attribute by attribute. Null and unknown objects stay what they are.
pub(super) fn objects(
    schema: &Object,
    path: &AttributePath,
    beside: Beside<'_>,
    planned: Value,
    visit: Visit<'_>,
) -> Value {
    let Value::Object(mut named) = planned else {
        return planned;
    };
    for (name, attribute) in &schema.attributes {
        let Some(value) = named.remove(name) else { continue };
        let (path, beside) = (path.attribute(name), beside.named(name));
        let mut value = visit(attribute, &path, beside, value);
        if let Kind::Nested(nesting, nested) = &attribute.kind {
            value = held(*nesting, nested, &path, beside, value, visit);
        }
        named.insert(name.clone(), value);
    }
    for (name, block) in &schema.blocks {
        let Some(value) = named.remove(name) else { continue };
        let (path, beside) = (path.attribute(name), beside.named(name));
        named.insert(
            name.clone(),
            held(block.nesting.holder(), &block.object, &path, beside, value, visit),
        );
    }
    Value::Object(named)
}

fn held(
    nesting: Nesting,
    schema: &Object,
    path: &AttributePath,
    beside: Beside<'_>,
    planned: Value,
    visit: Visit<'_>,
) -> Value {
    match (nesting, planned) {
        (Nesting::Single, planned) => objects(schema, path, beside, planned, visit),
        (Nesting::List, Value::List(elements)) => {
            let mut changed = Vec::with_capacity(elements.len());
            for (index, element) in elements.into_iter().enumerate() {
                changed.push(objects(
                    schema,
                    &path.index(index),
                    beside.at(index),
                    element,
                    visit,
                ));
            }
            Value::List(changed)
        }
        (Nesting::Set, Value::Set(elements)) => {
            let path = path.step(Step::Element);
            let mut changed = Vec::with_capacity(elements.len());
            for element in elements {
                let beside = beside.of_element(&element);
                changed.push(objects(schema, &path, beside, element, visit));
            }
            Value::set(changed)
        }
        (Nesting::Map, Value::Map(elements)) => {
            let mut changed = BTreeMap::new();
            for (key, element) in elements {
                let element = objects(schema, &path.key(&key), beside.named(&key), element, visit);
                changed.insert(key, element);
            }
            Value::Map(changed)
        }
        (_, planned) => planned,
    }
}
