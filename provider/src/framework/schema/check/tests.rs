use super::check_wire;
use crate::framework::schema::{Attribute, Block, BlockNesting, Object, Rule, Schema, Validator};
use crate::framework::value::{Type, Value};
use crate::plugin::proto::tfplugin6 as pb;

fn faults(attribute: Attribute) -> Vec<String> {
    Schema::new(0).attribute("x", attribute).check("s")
}

/// The faults after damaging the wire form of an optional string `x`.
fn damaged(damage: impl FnOnce(&mut pb::schema::Attribute)) -> Vec<String> {
    let mut schema = Schema::new(0).attribute("x", Attribute::string()).to_wire();
    damage(&mut schema.block.as_mut().unwrap().attributes[0]);
    check_wire("s", &schema)
}

fn block_faults(min: i64, max: i64, mode: pb::schema::nested_block::NestingMode) -> Vec<String> {
    let nesting = BlockNesting::List { min: 0, max: 0 };
    let mut schema = Schema::new(0)
        .block("b", Block::new(nesting, Object::new()))
        .to_wire();
    let block = &mut schema.block.as_mut().unwrap().block_types[0];
    (block.min_items, block.max_items, block.nesting) = (min, max, mode.into());
    check_wire("s", &schema)
}

#[test]
fn an_attribute_is_optional_required_or_computed() {
    assert_eq!(
        damaged(|x| x.optional = false),
        ["s.x: an attribute is optional, required or computed"]
    );
}

#[test]
fn required_excludes_optional_and_computed() {
    let fault = ["s.x: a required attribute is neither optional nor computed"];
    assert_eq!(damaged(|x| x.required = true), fault);
    assert_eq!(
        damaged(|x| (x.optional, x.required, x.computed) = (false, true, true)),
        fault
    );
}

#[test]
fn type_and_nested_type_exclude_each_other() {
    let fault = ["s.x: an attribute has a type or a nested type, never both"];
    let nested = Schema::new(0)
        .attribute("x", Attribute::object(Object::new()))
        .to_wire();
    let nested = nested.block.unwrap().attributes.remove(0).nested_type;
    assert_eq!(damaged(|x| x.nested_type = nested), fault);
    assert_eq!(damaged(|x| x.r#type.clear()).len(), 1);
}

#[test]
fn names_are_lower_case_words() {
    for name in ["", "Upper", "with-dash", "sp ace", "ü"] {
        assert_eq!(damaged(|x| x.name = name.to_owned()).len(), 1, "{name:?}");
    }
    assert!(damaged(|x| x.name = "a_1".to_owned()).is_empty());
}

#[test]
fn sets_hold_nothing_of_any_type() {
    assert_eq!(
        faults(Attribute::set(Type::Dynamic)),
        ["s.x: a set holds nothing of any type"]
    );
    let inner = Object::new().attribute("y", Attribute::dynamic());
    assert_eq!(
        faults(Attribute::object_set(inner.clone())),
        ["s.x.y: a set holds nothing of any type"]
    );
    assert!(faults(Attribute::object_list(inner)).is_empty());
}

#[test]
fn sets_hold_nothing_write_only() {
    let inner = Object::new().attribute("y", Attribute::string().write_only());
    assert_eq!(
        faults(Attribute::object_set(inner.clone())),
        ["s.x.y: a set holds nothing write-only"]
    );
    assert!(faults(Attribute::object(inner)).is_empty());
}

#[test]
fn write_only_is_not_computed_and_covers_everything_inside() {
    assert_eq!(
        faults(Attribute::string().computed().write_only()),
        ["s.x: a write-only attribute is not computed"]
    );
    let inner = Object::new().attribute("y", Attribute::string());
    assert_eq!(
        faults(Attribute::object(inner).write_only()),
        ["s.x.y: inside a write-only object everything is write-only"]
    );
}

#[test]
fn block_counts_fit_their_nesting() {
    use pb::schema::nested_block::NestingMode::{Group, Invalid, List, Map, Set, Single};
    for (min, max, mode) in [
        (0, 1, Single),
        (2, 2, Single),
        (1, 0, Map),
        (0, 1, Group),
        (3, 2, List),
        (-1, 0, Set),
        (0, 0, Invalid),
    ] {
        assert_eq!(block_faults(min, max, mode).len(), 1, "{min} {max} {mode:?}");
    }
    for (min, max, mode) in [
        (0, 0, Single),
        (1, 1, Single),
        (0, 0, Map),
        (0, 0, Group),
        (3, 0, List),
        (1, 2, Set),
    ] {
        assert!(block_faults(min, max, mode).is_empty(), "{min} {max} {mode:?}");
    }
}

#[test]
fn a_deprecation_message_needs_deprecation() {
    let fault = ["s.x: a deprecation message without deprecation"];
    assert_eq!(damaged(|x| x.deprecation_message = "old".to_owned()), fault);
    assert!(faults(Attribute::string().deprecated("old")).is_empty());
}

#[test]
fn defaults_fit_their_attribute() {
    assert!(faults(Attribute::number().default(1)).is_empty());
    assert_eq!(faults(Attribute::number().default("x")).len(), 1);
    assert_eq!(faults(Attribute::number().default(Value::Null)).len(), 1);
    assert_eq!(faults(Attribute::number().default(1).optional()).len(), 1);
}

#[test]
fn only_what_is_computed_keeps_its_state() {
    assert!(faults(Attribute::string().computed().use_state_for_unknown()).is_empty());
    assert_eq!(faults(Attribute::string().use_state_for_unknown()).len(), 1);
    let inner = Object::new().attribute("y", Attribute::string().computed().use_state_for_unknown());
    assert_eq!(faults(Attribute::object_set(inner)).len(), 1);
}

#[test]
fn rules_name_what_exists() {
    let schema = Schema::new(0).attribute(
        "a",
        Attribute::object(Object::new().attribute("b", Attribute::string())),
    );
    assert!(
        schema
            .clone()
            .rule(Rule::exactly_one_of(["a.b"]))
            .check("s")
            .is_empty()
    );
    assert_eq!(
        schema.rule(Rule::required_with("a", ["a.c"])).check("s"),
        ["s: a rule names a.c, which is not there"]
    );
}

#[test]
fn nested_attributes_have_no_blocks_and_computed_ones_no_validators() {
    let inner = Object::new().block("b", Block::new(BlockNesting::Map, Object::new()));
    assert_eq!(faults(Attribute::object(inner)).len(), 1);
    assert_eq!(
        faults(Attribute::string().computed().validate(Validator::length(1, 2))).len(),
        1
    );
}
