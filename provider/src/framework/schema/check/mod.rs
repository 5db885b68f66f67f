//! The self-check of a schema: Terraform's own rules on what is sent, and ours on what is not.
//!
//! Terraform refuses a whole provider for one wrong attribute, and says so to the user. So this runs in
//! tests, and at the start of builds with debug assertions.

use super::{Kind, Mode, Modifier, Nesting, Object, Schema};
use crate::framework::value::{AttributePath, Step, Type};
use crate::plugin::proto::tfplugin6 as pb;

impl Schema {
    /// Every fault of this schema, each as a sentence fragment that begins with `name` and the attribute's
    /// path. Empty for a sound one.
    pub fn check(&self, name: &str) -> Vec<String> {
        let mut faults = check_wire(name, &self.to_wire());
        if self.version < 0 {
            faults.push(format!("{name}: the version is negative"));
        }
        model(
            &self.root,
            name,
            Within {
                set: false,
                write_only: false,
                nested: false,
            },
            &mut faults,
        );
        faults
    }
}

/// What of the surroundings matters inside.
#[derive(Clone, Copy)]
struct Within {
    set: bool,
    write_only: bool,
    nested: bool,
}

/// What the wire form does not show.
fn model(object: &Object, place: &str, within: Within, faults: &mut Vec<String>) {
    if within.nested && !object.blocks.is_empty() {
        faults.push(format!("{place}: a nested attribute has no blocks"));
    }
    for (name, attribute) in &object.attributes {
        let place = format!("{place}.{name}");
        let mut fault = |what: &str| faults.push(format!("{place}: {what}"));
        if let Some(default) = &attribute.default {
            if attribute.mode != Mode::OptionalComputed {
                fault("a default needs an optional and computed attribute");
            }
            match default.clone().conform(&attribute.ty()) {
                Ok(conformed) if !conformed.is_wholly_known() || conformed.is_null() => {
                    fault("a default must be known and not null");
                }
                Ok(_) => {}
                Err(error) => fault(&format!("the default does not fit the type: {error}")),
            }
            if attribute.write_only {
                fault("a write-only attribute has no default");
            }
        }
        let keeps = attribute
            .modifiers
            .iter()
            .any(|modifier| matches!(modifier, Modifier::UseStateForUnknown));
        if keeps && !attribute.mode.is_computed() {
            fault("only a computed attribute keeps its value from state");
        }
        if keeps && within.set {
            fault("an element of a set has no earlier value to keep");
        }
        if within.write_only && !attribute.write_only {
            fault("inside a write-only object everything is write-only");
        }
        if !attribute.mode.is_configurable() && !attribute.validators.is_empty() {
            fault("nobody configures it, so there is nothing to validate");
        }
        if let Kind::Nested(nesting, nested) = &attribute.kind {
            let within = Within {
                set: within.set || *nesting == Nesting::Set,
                write_only: attribute.write_only,
                nested: true,
            };
            model(nested, &place, within, faults);
        }
    }
    for (name, block) in &object.blocks {
        let set = within.set || block.nesting.holder() == Nesting::Set;
        model(
            &block.object,
            &format!("{place}.{name}"),
            Within {
                set,
                write_only: false,
                nested: false,
            },
            faults,
        );
    }
    let ty = object.ty();
    for path in object.rules.iter().flat_map(super::Rule::paths) {
        if !exists(&ty, path) {
            faults.push(format!("{place}: a rule names {path}, which is not there"));
        }
    }
}

fn exists(ty: &Type, path: &AttributePath) -> bool {
    let mut here = ty;
    for step in path.steps() {
        match (here, step) {
            (Type::Object(attributes), Step::Attribute(name)) if attributes.contains_key(name) => {
                here = &attributes[name];
            }
            _ => return false,
        }
    }
    !path.is_root()
}

/// The rules by which Terraform takes or refuses a schema.
pub fn check_wire(name: &str, schema: &pb::Schema) -> Vec<String> {
    let mut faults = Vec::new();
    match &schema.block {
        Some(block) => wire_block(block, name, false, &mut faults),
        None => faults.push(format!("{name}: a schema needs a block")),
    }
    faults
}

fn wire_block(block: &pb::schema::Block, place: &str, in_set: bool, faults: &mut Vec<String>) {
    use pb::schema::nested_block::NestingMode;
    if !block.deprecated && !block.deprecation_message.is_empty() {
        faults.push(format!("{place}: a deprecation message without deprecation"));
    }
    for attribute in &block.attributes {
        wire_attribute(attribute, place, in_set, faults);
    }
    for nested in &block.block_types {
        let place = format!("{place}.{}", nested.type_name);
        let mut fault = |what: &str| faults.push(format!("{place}: {what}"));
        if !well_named(&nested.type_name) {
            fault("a name consists of a-z, 0-9 and _");
        }
        if block
            .attributes
            .iter()
            .any(|attribute| attribute.name == nested.type_name)
        {
            fault("an attribute and a block of one name");
        }
        let (min, max) = (nested.min_items, nested.max_items);
        match nested.nesting() {
            NestingMode::Single if min != max || !(0..=1).contains(&min) => {
                fault("a single block has as many at least as at most, none or one");
            }
            NestingMode::Map | NestingMode::Group if min != 0 || max != 0 => {
                fault("a map or group block has no minimum and no maximum");
            }
            NestingMode::List | NestingMode::Set if min < 0 || max < 0 || (max != 0 && min > max) => {
                fault("the minimum is above the maximum, or one is negative");
            }
            NestingMode::Invalid => fault("a block needs a nesting mode"),
            _ => {}
        }
        let in_set = in_set || nested.nesting() == NestingMode::Set;
        match &nested.block {
            Some(block) => wire_block(block, &place, in_set, faults),
            None => faults.push(format!("{place}: a block needs a schema")),
        }
    }
}

fn wire_attribute(attribute: &pb::schema::Attribute, place: &str, in_set: bool, faults: &mut Vec<String>) {
    use pb::schema::object::NestingMode;
    let place = format!("{place}.{}", attribute.name);
    let mut fault = |what: &str| faults.push(format!("{place}: {what}"));
    if !well_named(&attribute.name) {
        fault("a name consists of a-z, 0-9 and _");
    }
    if !attribute.required && !attribute.optional && !attribute.computed {
        fault("an attribute is optional, required or computed");
    }
    if attribute.required && (attribute.optional || attribute.computed) {
        fault("a required attribute is neither optional nor computed");
    }
    if attribute.write_only && attribute.computed {
        fault("a write-only attribute is not computed");
    }
    if attribute.write_only && in_set {
        fault("a set holds nothing write-only");
    }
    if !attribute.deprecated && !attribute.deprecation_message.is_empty() {
        fault("a deprecation message without deprecation");
    }
    let Some(nested) = &attribute.nested_type else {
        match Type::from_json_slice(&attribute.r#type) {
            Err(error) => fault(&format!("its type is none: {error}")),
            Ok(ty) => {
                let dynamic = |ty: &Type| *ty == Type::Dynamic;
                if in_set && ty.any(&dynamic) {
                    fault("a set holds nothing of any type");
                }
                if ty.any(&|ty| matches!(ty, Type::Set(element) if element.any(&dynamic))) {
                    fault("a set holds nothing of any type");
                }
            }
        }
        return;
    };
    if !attribute.r#type.is_empty() {
        fault("an attribute has a type or a nested type, never both");
    }
    if nested.nesting() == NestingMode::Invalid {
        fault("a nested attribute needs a nesting mode");
    }
    let in_set = in_set || nested.nesting() == NestingMode::Set;
    for attribute in &nested.attributes {
        wire_attribute(attribute, &place, in_set, faults);
    }
}

fn well_named(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests;
