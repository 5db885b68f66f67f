//! Terraform's own rules on what a provider answers, as checks.
//!
//! Terraform enforces them in its core, where a breach reads as "Provider produced inconsistent result". Run
//! on our side of the wire (in tests and in builds with debug assertions) they name the rule and the
//! attribute.

use std::fmt;

use crate::framework::diagnostics::Diagnostic;
use crate::framework::schema::{Attribute, BlockNesting, Kind, Nesting, Object, Schema};
use crate::framework::value::{AttributePath, Step, Value};

/// A broken rule and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The place.
    pub path: AttributePath,
    /// The rule, as a sentence fragment.
    pub rule: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_root() {
            f.write_str(self.rule)
        } else {
            write!(f, "{}: {}", self.path, self.rule)
        }
    }
}

impl From<Violation> for Diagnostic {
    fn from(violation: Violation) -> Self {
        Self::bug(&violation).at(violation.path.addressable())
    }
}

const PRESENCE: &str = "the plan must be there exactly if the configuration is";
const CONFIGURED: &str = "a configured value must be planned as it is, or as it was";
const NOT_COMPUTED: &str = "what is not configured and not computed must be planned as null";
const UNKNOWN_CONFIG: &str = "what is configured as unknown must be planned as unknown";
const COUNT: &str = "the plan must have as many elements as the configuration";
const BLOCK_NULL: &str = "a list, set or map of blocks is never null";
const WRITE_ONLY: &str = "a write-only value must be null";
const SET: &str = "each element of the set must agree with one on the other side";
const KEPT: &str = "a known planned value must come back as it was";
const ABSENT: &str = "what was planned to be there must be there";
const PRESENT: &str = "what was planned to be absent must be absent";
const STILL_UNKNOWN: &str = "nothing may be unknown after apply";
const LENGTH: &str = "a collection must come back with as many elements as planned";

/// What in `planned` breaks the rules for plans (`prior` null for a create, `config` and `planned` null for a
/// destroy).
pub fn plan(schema: &Schema, prior: &Value, config: &Value, planned: &Value) -> Vec<Violation> {
    let mut check = Check::default();
    check.object(&schema.root, prior, config, planned, &AttributePath::root());
    check.violations
}

/// What in the final plan, made with everything known, contradicts the first one.
pub fn final_plan(schema: &Schema, first: &Value, last: &Value) -> Vec<Violation> {
    let mut check = Check::default();
    check.compatible(first, last, &AttributePath::root());
    check.no_write_only(&schema.root, last, &AttributePath::root());
    check.violations
}

/// What in the result of an apply contradicts the plan.
pub fn result(schema: &Schema, planned: &Value, actual: &Value) -> Vec<Violation> {
    let mut check = Check::default();
    check.compatible(planned, actual, &AttributePath::root());
    check.known(actual, &AttributePath::root());
    check.no_write_only(&schema.root, actual, &AttributePath::root());
    check.violations
}

/// What in a state from read, import, upgrade or move no state may have.
pub fn state(schema: &Schema, state: &Value) -> Vec<Violation> {
    let mut check = Check::default();
    check.known(state, &AttributePath::root());
    check.no_write_only(&schema.root, state, &AttributePath::root());
    check.violations
}

#[derive(Default)]
struct Check {
    violations: Vec<Violation>,
}

impl Check {
    fn breach(&mut self, path: &AttributePath, rule: &'static str) {
        self.violations.push(Violation {
            path: path.clone(),
            rule,
        });
    }

    /// Whether the inner check finds nothing; what it finds is dropped.
    fn passes(inner: impl FnOnce(&mut Self)) -> bool {
        let mut check = Self::default();
        inner(&mut check);
        check.violations.is_empty()
    }

    // === plans ===

    fn object(
        &mut self,
        schema: &Object,
        prior: &Value,
        config: &Value,
        planned: &Value,
        path: &AttributePath,
    ) {
        if config.is_null() != planned.is_null() {
            return self.breach(path, PRESENCE);
        }
        if config.is_unknown() {
            if !planned.is_unknown() {
                self.breach(path, UNKNOWN_CONFIG);
            }
            return;
        }
        if planned.is_unknown() {
            return self.breach(path, CONFIGURED);
        }
        if planned.is_null() {
            return;
        }
        for (name, attribute) in &schema.attributes {
            let (prior, config, planned) = (prior.named(name), config.named(name), planned.named(name));
            self.attribute(attribute, prior, config, planned, &path.attribute(name));
        }
        for (name, block) in &schema.blocks {
            let (prior, config, planned) = (prior.named(name), config.named(name), planned.named(name));
            let path = path.attribute(name);
            let collection = !matches!(block.nesting, BlockNesting::Single { .. } | BlockNesting::Group);
            if collection && planned.is_null() {
                self.breach(&path, BLOCK_NULL);
                continue;
            }
            self.held(
                block.nesting.holder(),
                &block.object,
                [prior, config, planned],
                &path,
            );
        }
    }

    fn attribute(
        &mut self,
        schema: &Attribute,
        prior: &Value,
        config: &Value,
        planned: &Value,
        path: &AttributePath,
    ) {
        if schema.write_only {
            if !planned.is_null() {
                self.breach(path, WRITE_ONLY);
            }
            return;
        }
        if planned == config || (planned == prior && !prior.is_null() && !config.is_null()) {
            return;
        }
        if config.is_null() {
            if !schema.mode.is_computed() {
                self.breach(path, NOT_COMPUTED);
            }
            return;
        }
        match &schema.kind {
            Kind::Nested(nesting, nested) => self.held(*nesting, nested, [prior, config, planned], path),
            Kind::Plain(_) if config.is_unknown() => self.breach(path, UNKNOWN_CONFIG),
            Kind::Plain(_) => self.breach(path, CONFIGURED),
        }
    }

    fn held(
        &mut self,
        nesting: Nesting,
        schema: &Object,
        [prior, config, planned]: [&Value; 3],
        path: &AttributePath,
    ) {
        if nesting == Nesting::Single
            || config.is_null()
            || config.is_unknown()
            || planned.is_null()
            || planned.is_unknown()
        {
            if nesting == Nesting::Single {
                return self.object(schema, prior, config, planned, path);
            }
            // Not both present: the presence rules of an object are those of a collection.
            return self.object(&Object::new(), prior, config, planned, path);
        }
        match nesting {
            Nesting::Single => {}
            Nesting::List => {
                let [prior, config, planned] =
                    [prior, config, planned].map(|value| value.as_elements().unwrap_or_default());
                if config.len() != planned.len() {
                    return self.breach(path, COUNT);
                }
                for (index, (config, planned)) in config.iter().zip(planned).enumerate() {
                    let prior = prior.get(index).unwrap_or(&Value::Null);
                    self.object(schema, prior, config, planned, &path.index(index));
                }
            }
            Nesting::Map => {
                let empty = std::collections::BTreeMap::new();
                let [config, planned] = [config, planned].map(|value| value.as_named().unwrap_or(&empty));
                if !config.keys().eq(planned.keys()) {
                    return self.breach(path, COUNT);
                }
                for (key, config) in config {
                    let planned = planned.get(key).unwrap_or(&Value::Null);
                    self.object(schema, prior.named(key), config, planned, &path.key(key));
                }
            }
            Nesting::Set => {
                let element = path.step(Step::Element);
                self.sets(config, planned, path, COUNT, |check, config, planned| {
                    check.object(schema, &Value::Null, config, planned, &element);
                });
            }
        }
    }

    // === results ===

    /// Whether `actual` fills in `planned` and changes nothing that was known.
    fn compatible(&mut self, planned: &Value, actual: &Value, path: &AttributePath) {
        match (planned, actual) {
            (Value::Unknown, _) | (Value::Null, Value::Null) => {}
            (Value::Null, _) => self.breach(path, PRESENT),
            (_, Value::Null) => self.breach(path, ABSENT),
            (Value::Dynamic(planned_type, planned), Value::Dynamic(actual_type, actual))
                if planned_type == actual_type =>
            {
                self.compatible(planned, actual, path);
            }
            (Value::List(planned), Value::List(actual)) | (Value::Tuple(planned), Value::Tuple(actual)) => {
                if planned.len() != actual.len() {
                    return self.breach(path, LENGTH);
                }
                for (index, (planned, actual)) in planned.iter().zip(actual).enumerate() {
                    self.compatible(planned, actual, &path.index(index));
                }
            }
            (Value::Set(_), Value::Set(_)) => {
                let element = path.step(Step::Element);
                self.sets(planned, actual, path, LENGTH, |check, planned, actual| {
                    check.compatible(planned, actual, &element);
                });
            }
            (Value::Map(planned), Value::Map(actual)) => {
                if !planned.keys().eq(actual.keys()) {
                    return self.breach(path, LENGTH);
                }
                for (key, planned) in planned {
                    self.compatible(planned, actual.get(key).unwrap_or(&Value::Null), &path.key(key));
                }
            }
            (Value::Object(planned), Value::Object(actual)) => {
                for (name, planned) in planned {
                    self.compatible(
                        planned,
                        actual.get(name).unwrap_or(&Value::Null),
                        &path.attribute(name),
                    );
                }
            }
            (planned, actual) if planned == actual => {}
            _ => self.breach(path, KEPT),
        }
    }

    /// Elements of sets are matched by whether they could be each other. Unknown parts may make two elements
    /// one, so the count is compared only where everything is known.
    fn sets(
        &mut self,
        left: &Value,
        right: &Value,
        path: &AttributePath,
        count: &'static str,
        pair: impl Fn(&mut Self, &Value, &Value),
    ) {
        let known = left.is_wholly_known() && right.is_wholly_known();
        let [left, right] = [left, right].map(|value| value.as_elements().unwrap_or_default());
        if known && left.len() != right.len() {
            return self.breach(path, count);
        }
        let fits = |a: &Value, b: &Value| Self::passes(|check| pair(check, a, b));
        let all_left = left.iter().all(|a| right.iter().any(|b| fits(a, b)));
        let all_right = right.iter().all(|b| left.iter().any(|a| fits(a, b)));
        if !all_left || !all_right {
            self.breach(path, SET);
        }
    }

    fn known(&mut self, value: &Value, path: &AttributePath) {
        match value {
            Value::Unknown => self.breach(path, STILL_UNKNOWN),
            Value::List(elements) | Value::Tuple(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.known(element, &path.index(index));
                }
            }
            Value::Set(elements) => {
                for element in elements {
                    self.known(element, &path.step(Step::Element));
                }
            }
            Value::Map(elements) => {
                for (key, element) in elements {
                    self.known(element, &path.key(key));
                }
            }
            Value::Object(attributes) => {
                for (name, value) in attributes {
                    self.known(value, &path.attribute(name));
                }
            }
            Value::Dynamic(_, inner) => self.known(inner, path),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn no_write_only(&mut self, schema: &Object, value: &Value, path: &AttributePath) {
        let wrapped = Schema {
            root: schema.clone(),
            ..Schema::default()
        };
        for set in wrapped.write_only_set(value) {
            self.breach(&path.join(&set), WRITE_ONLY);
        }
    }
}

#[cfg(test)]
mod tests;
