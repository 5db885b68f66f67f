//! The steps of a plan, in their order.
//!
//! 1. Defaults, where the configuration says nothing.
//! 2. Write-only values become null: Terraform proposes them, and refuses to see them again.
//! 3. If anything differs from what is stored, what the provider computes becomes unknown, except in elements
//!    of sets that stay as they are. If nothing differs, everything stays, and the plan is empty.
//! 4. Modifiers: what keeps its stored value gets it back; what replaces the object when it changes is
//!    collected.
//!
//! The resource's own hook comes after, and then [`filter_replacements`].

use super::walk::{Beside, objects};
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::schema::{BlockNesting, Change, Kind, Modifier, Object, Schema};
use crate::framework::value::{AttributePath, Step, Value};

/// What the schema alone makes of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What is planned.
    pub planned: Value,
    /// Where a change replaces the object. Neither sorted nor without duplicates.
    pub requires_replace: Vec<AttributePath>,
}

/// Plans the change from `prior` (null for a create) to what `config` asks for, starting from Terraform's own
/// proposal. All of them have the type of the schema; a null proposal (a destroy) stays null.
pub fn propose(schema: &Schema, config: &Value, prior: &Value, proposed: Value) -> Proposal {
    if proposed.is_null() {
        return Proposal {
            planned: Value::Null,
            requires_replace: Vec::new(),
        };
    }
    let (root, top, beside) = (&schema.root, AttributePath::root(), Beside::new(config, prior));
    let planned = objects(
        root,
        &top,
        beside,
        proposed,
        &mut |attribute, _, beside, planned| {
            match &attribute.default {
                // In the form of the type: a default is written as a plain Rust value.
                Some(default) if beside.config.is_null() => {
                    default.clone().conform(&attribute.ty()).unwrap_or(planned)
                }
                _ => planned,
            }
        },
    );
    let planned = null_write_only(schema, planned);
    let planned = if planned == *prior {
        planned
    } else {
        objects(
            root,
            &top,
            beside,
            planned,
            &mut |attribute, _, beside, planned| {
                let computed = attribute.mode.is_computed() && attribute.default.is_none() && !beside.settled;
                if computed && beside.config.is_null() {
                    Value::Unknown
                } else {
                    planned
                }
            },
        )
    };
    let mut requires_replace = Vec::new();
    let exists = !prior.is_null();
    let planned = objects(
        root,
        &top,
        beside,
        planned,
        &mut |attribute, path, beside, planned| {
            if !exists {
                return planned;
            }
            let keeps = attribute
                .modifiers
                .iter()
                .any(|modifier| matches!(modifier, Modifier::UseStateForUnknown));
            let planned =
                if keeps && planned.is_unknown() && beside.config.is_null() && !beside.prior.is_null() {
                    beside.prior.clone()
                } else {
                    planned
                };
            // What is write-only is null on both sides, so its change is never seen here; its version
            // attribute is for that.
            if planned != *beside.prior {
                let change = Change {
                    config: beside.config,
                    prior: beside.prior,
                    planned: &planned,
                };
                let replaces = attribute.modifiers.iter().any(|modifier| match modifier {
                    Modifier::RequiresReplace => true,
                    Modifier::RequiresReplaceIf(condition) => condition(change),
                    Modifier::UseStateForUnknown => false,
                });
                if replaces {
                    requires_replace.push(path.clone());
                }
            }
            planned
        },
    );
    Proposal {
        planned,
        requires_replace,
    }
}

/// The same value with every write-only attribute null.
pub fn null_write_only(schema: &Schema, value: Value) -> Value {
    let nothing = Beside::nothing();
    objects(
        &schema.root,
        &AttributePath::root(),
        nothing,
        value,
        &mut |attribute, _, _, value| {
            if attribute.write_only { Value::Null } else { value }
        },
    )
}

/// The same value with the blocks that are held in collections never null: a stored state, or a model, may
/// not have them.
pub fn complete_blocks(schema: &Schema, value: Value) -> Value {
    blocks(&schema.root, value)
}

fn blocks(schema: &Object, value: Value) -> Value {
    let Value::Object(mut named) = value else {
        return value;
    };
    for (name, block) in &schema.blocks {
        let Some(held) = named.remove(name) else { continue };
        let inside = |value| blocks(&block.object, value);
        let held = match (block.nesting, held) {
            (BlockNesting::List { .. }, Value::Null) => Value::list([]),
            (BlockNesting::Set { .. }, Value::Null) => Value::set([]),
            (BlockNesting::Map, Value::Null) => Value::map::<String>([]),
            (BlockNesting::Group, Value::Null) => {
                let empty = Value::object::<String>([])
                    .conform(&block.object.ty())
                    .unwrap_or_default();
                inside(empty)
            }
            (_, Value::List(elements)) => Value::List(elements.into_iter().map(inside).collect()),
            (_, Value::Set(elements)) => Value::set(elements.into_iter().map(inside)),
            (_, Value::Map(elements)) => Value::Map(
                elements
                    .into_iter()
                    .map(|(key, value)| (key, inside(value)))
                    .collect(),
            ),
            (_, held) => inside(held),
        };
        named.insert(name.clone(), held);
    }
    Value::Object(named)
}

/// The configuration that would lead to `state`: nothing that the provider computes, nothing that is a
/// default anyway, and no secrets, because it is written to a file.
pub fn configuration_of(schema: &Schema, state: Value) -> Value {
    let nothing = Beside::nothing();
    objects(
        &schema.root,
        &AttributePath::root(),
        nothing,
        state,
        &mut |attribute, _, _, value| {
            let default = attribute
                .default
                .as_ref()
                .and_then(|default| default.clone().conform(&attribute.ty()).ok());
            let computed = !attribute.mode.is_configurable();
            if computed || attribute.write_only || attribute.sensitive || default.as_ref() == Some(&value) {
                Value::Null
            } else {
                value
            }
        },
    )
}

/// The replacements Terraform is told of: those where something does change (a write-only attribute always
/// counts), as far as they can be addressed, sorted, each once. A path that the schema does not have is a
/// fault of the provider.
pub fn filter_replacements(
    schema: &Schema,
    prior: &Value,
    planned: &Value,
    paths: Vec<AttributePath>,
) -> Result<Vec<AttributePath>, Diagnostics> {
    let ty = schema.ty();
    let mut kept = Vec::new();
    for path in paths {
        let path = path.addressable();
        if path.is_root() || ty.at(&path).is_none() {
            let what =
                format!("a replacement was asked for because of {path}, which the schema does not have");
            return Err(Diagnostic::bug(what).into());
        }
        if planned.at(&path) != prior.at(&path) || is_write_only(&schema.root, &path) {
            kept.push(path);
        }
    }
    kept.sort();
    kept.dedup();
    Ok(kept)
}

fn is_write_only(root: &Object, path: &AttributePath) -> bool {
    let mut object = root;
    for step in path.steps() {
        // Indices and keys stay in the same object schema.
        let Step::Attribute(name) = step else { continue };
        if let Some(block) = object.blocks.get(name) {
            object = &block.object;
            continue;
        }
        let Some(attribute) = object.attributes.get(name) else {
            return false;
        };
        if attribute.write_only {
            return true;
        }
        match &attribute.kind {
            Kind::Nested(_, nested) => object = nested,
            Kind::Plain(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
