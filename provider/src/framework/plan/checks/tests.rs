use super::{final_plan, plan, result, state};
use crate::framework::schema::{Attribute, Block, BlockNesting, Object, Schema};
use crate::framework::value::{Type, Value};

fn inner() -> Object {
    Object::new()
        .attribute("x", Attribute::string())
        .attribute("id", Attribute::string().computed())
}

fn schema() -> Schema {
    Schema::new(0)
        .attribute("name", Attribute::string())
        .attribute("auto", Attribute::string().optional_computed())
        .attribute("id", Attribute::string().computed())
        .attribute("secret", Attribute::string().write_only())
        .attribute("tags", Attribute::set(Type::String))
        .attribute("list", Attribute::object_list(inner()))
        .attribute("map", Attribute::object_map(inner()))
        .attribute("set", Attribute::object_set(inner()))
        .attribute("one", Attribute::object(inner()))
        .block(
            "block",
            Block::new(BlockNesting::List { min: 0, max: 0 }, inner()),
        )
}

fn object(set: &[(&str, Value)]) -> Value {
    let mut attributes = vec![("block", Value::list([]))];
    attributes.extend(set.iter().cloned());
    Value::object(attributes).conform(&schema().ty()).unwrap()
}

fn x(text: &str) -> Value {
    Value::object([("x", Value::from(text))])
}

fn planned(config: &[(&str, Value)], planned: &[(&str, Value)]) -> Vec<String> {
    planned_from(&Value::Null, config, planned)
}

fn planned_from(prior: &Value, config: &[(&str, Value)], planned: &[(&str, Value)]) -> Vec<String> {
    plan(&schema(), prior, &object(config), &object(planned))
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn applied(planned: &[(&str, Value)], actual: &[(&str, Value)]) -> Vec<String> {
    result(&schema(), &object(planned), &object(actual))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_configured_value_is_planned_as_it_is_or_was() {
    let name = |text: &str| ("name", Value::from(text));
    assert!(planned(&[name("a")], &[name("a")]).is_empty());
    assert_eq!(
        planned(&[name("a")], &[name("b")]),
        [format!("name: {}", super::CONFIGURED)]
    );
    assert_eq!(
        planned(&[name("a")], &[("name", Value::Unknown)]),
        [format!("name: {}", super::CONFIGURED)]
    );
    // The way out for values that mean the same.
    assert!(planned_from(&object(&[name("A")]), &[name("a")], &[name("A")]).is_empty());
}

#[test]
fn only_what_is_computed_may_be_filled_in() {
    let value = |name| (name, Value::from("v"));
    assert_eq!(
        planned(&[], &[value("name")]),
        [format!("name: {}", super::NOT_COMPUTED)]
    );
    assert!(planned(&[], &[value("auto"), value("id")]).is_empty());
    assert!(planned(&[], &[("auto", Value::Unknown), ("id", Value::Unknown)]).is_empty());
}

#[test]
fn what_is_configured_unknown_is_planned_unknown() {
    assert_eq!(
        planned(&[("name", Value::Unknown)], &[("name", Value::from("v"))]),
        [format!("name: {}", super::UNKNOWN_CONFIG)]
    );
    assert_eq!(
        planned(&[("one", Value::Unknown)], &[("one", x("v"))]),
        [format!("one: {}", super::UNKNOWN_CONFIG)]
    );
    assert_eq!(
        planned(&[("list", Value::Unknown)], &[("list", Value::list([]))]).len(),
        1
    );
}

#[test]
fn write_only_values_are_null_everywhere() {
    let secret = [("secret", Value::from("s"))];
    assert!(planned(&secret, &[]).is_empty());
    assert_eq!(
        planned(&secret, &secret),
        [format!("secret: {}", super::WRITE_ONLY)]
    );
    assert_eq!(applied(&[], &secret).len(), 2);
    assert_eq!(state(&schema(), &object(&secret)).len(), 1);
    assert_eq!(final_plan(&schema(), &object(&[]), &object(&secret)).len(), 2);
}

#[test]
fn nested_objects_keep_their_count_and_their_values() {
    let list = |elements: Vec<Value>| ("list", Value::list(elements));
    assert!(planned(&[list(vec![x("a")])], &[list(vec![x("a")])]).is_empty());
    assert_eq!(
        planned(&[list(vec![x("a")])], &[list(vec![])]),
        [format!("list: {}", super::COUNT)]
    );
    assert_eq!(
        planned(&[list(vec![x("a")])], &[list(vec![x("b")])]),
        [format!("list[0].x: {}", super::CONFIGURED)]
    );
    let map = |key: &str| ("map", Value::map([(key, x("a"))]));
    assert!(planned(&[map("k")], &[map("k")]).is_empty());
    assert_eq!(
        planned(&[map("k")], &[map("l")]),
        [format!("map: {}", super::COUNT)]
    );
    assert_eq!(
        planned(&[("one", x("a"))], &[]),
        [format!("one: {}", super::PRESENCE)]
    );
    assert_eq!(
        planned(&[], &[("one", x("a"))]),
        [format!("one: {}", super::NOT_COMPUTED)]
    );
}

#[test]
fn elements_of_sets_agree_with_one_on_the_other_side() {
    let with_id = |text: &str| Value::object([("x", Value::from(text)), ("id", Value::Unknown)]);
    let config = [("set", Value::set([x("a"), x("b")]))];
    assert!(planned(&config, &[("set", Value::set([with_id("b"), with_id("a")]))]).is_empty());
    assert_eq!(
        planned(&config, &[("set", Value::set([with_id("a"), with_id("c")]))]),
        [format!("set: {}", super::SET)]
    );
    assert_eq!(
        planned(&config, &[("set", Value::set([x("a")]))]),
        [format!("set: {}", super::COUNT)]
    );
}

#[test]
fn blocks_keep_their_count_and_are_never_null() {
    let block = |elements: Vec<Value>| ("block", Value::list(elements));
    assert!(planned(&[block(vec![x("a")])], &[block(vec![x("a")])]).is_empty());
    assert_eq!(
        planned(&[block(vec![x("a")])], &[block(vec![])]),
        [format!("block: {}", super::COUNT)]
    );
    assert_eq!(
        planned(&[], &[("block", Value::Null)]),
        [format!("block: {}", super::BLOCK_NULL)]
    );
}

#[test]
fn a_plan_is_there_exactly_if_the_configuration_is() {
    assert_eq!(plan(&schema(), &Value::Null, &object(&[]), &Value::Null).len(), 1);
    assert_eq!(plan(&schema(), &object(&[]), &Value::Null, &object(&[])).len(), 1);
    assert!(plan(&schema(), &object(&[]), &Value::Null, &Value::Null).is_empty());
}

#[test]
fn known_planned_values_come_back_and_unknown_ones_become_known() {
    let name = |value: Value| ("name", value);
    assert!(
        applied(
            &[name("a".into()), ("id", Value::Unknown)],
            &[name("a".into()), ("id", "1".into())]
        )
        .is_empty()
    );
    assert_eq!(
        applied(&[name("a".into())], &[name("b".into())]),
        [format!("name: {}", super::KEPT)]
    );
    assert_eq!(
        applied(&[name("a".into())], &[]),
        [format!("name: {}", super::ABSENT)]
    );
    assert_eq!(
        applied(&[], &[name("a".into())]),
        [format!("name: {}", super::PRESENT)]
    );
    let unknown = [("id", Value::Unknown)];
    assert_eq!(
        applied(&unknown, &unknown),
        [format!("id: {}", super::STILL_UNKNOWN)]
    );
}

#[test]
fn collections_come_back_with_what_was_planned() {
    let tags = |texts: &[&str]| ("tags", Value::set(texts.iter().map(|text| Value::from(*text))));
    assert!(applied(&[tags(&["a", "b"])], &[tags(&["b", "a"])]).is_empty());
    assert_eq!(
        applied(&[tags(&["a", "b"])], &[tags(&["a"])]),
        [format!("tags: {}", super::LENGTH)]
    );
    assert_eq!(
        applied(&[tags(&["a"])], &[tags(&["b"])]),
        [format!("tags: {}", super::SET)]
    );
    let list = |text: &str| ("list", Value::list([x(text)]));
    assert_eq!(
        applied(&[list("a")], &[list("b")]),
        [format!("list[0].x: {}", super::KEPT)]
    );
    let unknown = ("set", Value::Set(vec![Value::Unknown, Value::Unknown]));
    assert!(applied(&[unknown], &[("set", Value::set([x("a")]))]).is_empty());
}

#[test]
fn a_final_plan_may_fill_in_but_not_change() {
    let first = object(&[
        ("name", "a".into()),
        ("id", Value::Unknown),
        ("auto", Value::Unknown),
    ]);
    let filled = object(&[("name", "a".into()), ("id", Value::Unknown), ("auto", "z".into())]);
    assert!(final_plan(&schema(), &first, &filled).is_empty());
    let changed = object(&[
        ("name", Value::Unknown),
        ("id", Value::Unknown),
        ("auto", "z".into()),
    ]);
    assert_eq!(final_plan(&schema(), &first, &changed).len(), 1);
}
