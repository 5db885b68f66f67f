//! Going through a value along its schema, with the values that belong to the same place beside it.

use std::collections::BTreeMap;

use crate::framework::schema::{Attribute, Kind, Nesting, Object};
use crate::framework::value::{AttributePath, Step, Value};

/// The values that belong to one place of a planned value.
#[derive(Clone, Copy)]
pub(super) struct Beside<'v> {
    pub(super) config: &'v Value,
    pub(super) prior: &'v Value,
    /// Whether this is inside an element of a set that is stored just as it is planned.
    pub(super) settled: bool,
}

impl<'v> Beside<'v> {
    pub(super) const fn new(config: &'v Value, prior: &'v Value) -> Self {
        Self {
            config,
            prior,
            settled: false,
        }
    }

    /// For changes that look at nothing but the value itself.
    pub(super) const fn nothing() -> Self {
        Self::new(&Value::Null, &Value::Null)
    }

    fn named(self, name: &str) -> Self {
        Self {
            config: self.config.named(name),
            prior: self.prior.named(name),
            ..self
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
            ..self
        }
    }

    /// Elements of sets have no address: the element of the configuration is the one that says most of the
    /// planned one and nothing against it, and the stored one is its equal, if any.
    fn of_element(self, planned: &Value) -> Self {
        let elements = |value: &'v Value| value.as_elements().unwrap_or_default();
        let config = match self.config {
            Value::Unknown => &Value::Unknown,
            known => elements(known)
                .iter()
                .filter_map(|element| Some((agreement(element, planned)?, element)))
                .max_by_key(|(agreement, _)| *agreement)
                .map_or(&Value::Null, |(_, element)| element),
        };
        let stored = elements(self.prior).iter().find(|element| *element == planned);
        Self {
            config,
            prior: stored.unwrap_or(&Value::Null),
            settled: self.settled || stored.is_some(),
        }
    }
}

/// How many values `config` sets just as they are in `planned`; nothing if it sets one differently.
fn agreement(config: &Value, planned: &Value) -> Option<usize> {
    match (config, planned) {
        (Value::Null, _) => Some(0),
        (Value::Object(config), Value::Object(planned)) => config
            .iter()
            .map(|(name, value)| agreement(value, planned.get(name)?))
            .sum(),
        (Value::List(a), Value::List(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .map(|(a, b)| agreement(a, b))
            .sum::<Option<usize>>()
            .map(|inside| inside + 1),
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
            let inside: Option<usize> = a.iter().map(|(key, value)| agreement(value, b.get(key)?)).sum();
            inside.map(|inside| inside + 1)
        }
        (Value::Set(a), Value::Set(b)) if a.len() == b.len() => {
            let one = |a: &Value| b.iter().filter_map(|b| agreement(a, b)).max();
            a.iter().map(one).sum::<Option<usize>>().map(|inside| inside + 1)
        }
        (a, b) => (a == b).then_some(1),
    }
}

/// What is done to each attribute: it gets the attribute's place and returns what is planned there. It is
/// asked before the attribute's own nested attributes are.
pub(super) type Visit<'f> = &'f mut dyn FnMut(&Attribute, &AttributePath, Beside<'_>, Value) -> Value;

/// Changes `planned`, an object of `schema`, attribute by attribute. Null and unknown objects stay what they
/// are; but of one that is stored and no longer planned, each attribute is visited as null: they go with it.
pub(super) fn objects(
    schema: &Object,
    path: &AttributePath,
    beside: Beside<'_>,
    planned: Value,
    visit: Visit<'_>,
) -> Value {
    let mut named = match planned {
        Value::Object(named) => named,
        Value::Null if matches!(beside.prior, Value::Object(_)) => {
            leave(schema, path, beside, visit);
            return Value::Null;
        }
        planned => return planned,
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

/// Visits what was in a stored object that is no longer planned. What is made of it goes nowhere.
fn leave(schema: &Object, path: &AttributePath, beside: Beside<'_>, visit: Visit<'_>) {
    for (name, attribute) in &schema.attributes {
        let (path, beside) = (path.attribute(name), beside.named(name));
        visit(attribute, &path, beside, Value::Null);
        if let Kind::Nested(Nesting::Single, nested) = &attribute.kind
            && matches!(beside.prior, Value::Object(_))
        {
            leave(nested, &path, beside, visit);
        }
    }
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
