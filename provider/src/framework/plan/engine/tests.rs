use super::{Proposal, configuration_of, filter_replacements, propose};
use crate::framework::schema::{Attribute, Block, BlockNesting, Object, Schema};
use crate::framework::value::{AttributePath, Type, Value};

fn port() -> Object {
    Object::new()
        .attribute("number", Attribute::number().required())
        .attribute("protocol", Attribute::string().default("tcp"))
        .attribute("node", Attribute::number().computed())
}

fn schema() -> Schema {
    Schema::new(0)
        .attribute("name", Attribute::string().required().requires_replace())
        .attribute("size", Attribute::number().default(1))
        .attribute(
            "zone",
            Attribute::string().optional_computed().use_state_for_unknown(),
        )
        .attribute(
            "grow",
            Attribute::number().requires_replace_if(|change| change.planned < change.prior),
        )
        .attribute("secret", Attribute::string().write_only())
        .attribute("tags", Attribute::set(Type::String))
        .attribute("ports", Attribute::object_list(port()))
        .attribute("open", Attribute::object_set(port()))
        .attribute(
            "disk",
            Attribute::object(Object::new().attribute("id", Attribute::string().computed())),
        )
        .attribute("id", Attribute::string().computed().use_state_for_unknown())
        .attribute("stamp", Attribute::string().computed())
        .block("mount", Block::new(BlockNesting::List { min: 0, max: 0 }, port()))
}

/// An object of the schema with these attributes, the others null and blocks empty.
fn object(set: &[(&str, Value)]) -> Value {
    let mut attributes = vec![("mount", Value::list([]))];
    attributes.extend(set.iter().cloned());
    Value::object(attributes).conform(&schema().ty()).unwrap()
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn a_port(number: i64, protocol: &str, node: Value) -> Value {
    Value::object([
        ("number", Value::from(number)),
        ("protocol", text(protocol)),
        ("node", node),
    ])
}

fn configured_port(number: i64) -> Value {
    Value::object([("number", Value::from(number))])
}

/// Everything set, as stored after a create with `name = "a"`.
fn stored() -> Value {
    object(&[
        ("name", text("a")),
        ("size", Value::from(1)),
        ("zone", text("z1")),
        ("id", text("id-1")),
        ("stamp", text("s1")),
    ])
}

/// As Terraform proposes: what is configured, and for what is not and is computed, what is stored.
fn proposed(config: &Value, prior: &Value) -> Value {
    let mut proposed = config.clone();
    for name in ["size", "zone", "id", "stamp"] {
        let path = AttributePath::from(name);
        if config.at(&path).is_null() {
            *proposed.at_mut(&path).unwrap() = prior.at(&path).clone();
        }
    }
    proposed
}

fn plan(config: &Value, prior: &Value) -> Proposal {
    propose(&schema(), config, prior, proposed(config, prior))
}

#[test]
fn a_create_has_defaults_and_everything_computed_unknown() {
    let Proposal {
        planned,
        requires_replace,
    } = plan(
        &object(&[("name", text("a")), ("secret", text("s"))]),
        &Value::Null,
    );
    assert_eq!(planned.named("size"), &Value::from(1));
    for computed in ["zone", "id", "stamp"] {
        assert_eq!(planned.named(computed), &Value::Unknown, "{computed}");
    }
    assert_eq!(planned.named("secret"), &Value::Null);
    assert_eq!(planned.named("grow"), &Value::Null);
    assert!(requires_replace.is_empty());
}

#[test]
fn an_unchanged_configuration_plans_nothing() {
    let config = object(&[("name", text("a")), ("secret", text("another secret every time"))]);
    let Proposal {
        planned,
        requires_replace,
    } = plan(&config, &stored());
    assert_eq!(planned, stored());
    assert!(requires_replace.is_empty());
}

#[test]
fn a_change_makes_unknown_only_what_may_change_with_it() {
    let config = object(&[("name", text("a")), ("tags", Value::set([text("t")]))]);
    let Proposal { planned, .. } = plan(&config, &stored());
    assert_eq!(planned.named("id"), &text("id-1"));
    assert_eq!(planned.named("zone"), &text("z1"));
    assert_eq!(planned.named("stamp"), &Value::Unknown);
}

#[test]
fn a_set_in_another_order_is_no_change() {
    let tags = |order: [&str; 2]| Value::Set(order.map(Value::from).to_vec());
    let mut prior = stored();
    *prior.at_mut(&"tags".into()).unwrap() = tags(["x", "y"]);
    let config = object(&[("name", text("a")), ("tags", tags(["y", "x"]))]);
    assert_eq!(plan(&config, &prior).planned, prior);
}

#[test]
fn replacement_is_asked_for_where_the_schema_says_so() {
    let replaced = |config: &[(&str, Value)], prior: &Value| -> Vec<String> {
        plan(&object(config), prior)
            .requires_replace
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(replaced(&[("name", text("b"))], &stored()), ["name"]);
    assert_eq!(replaced(&[("name", Value::Unknown)], &stored()), ["name"]);
    let mut prior = stored();
    *prior.at_mut(&"grow".into()).unwrap() = Value::from(5);
    assert_eq!(
        replaced(&[("name", text("a")), ("grow", Value::from(4))], &prior),
        ["grow"]
    );
    assert!(replaced(&[("name", text("a")), ("grow", Value::from(6))], &prior).is_empty());
}

#[test]
fn what_goes_with_its_object_asks_for_replacement_too() {
    let place = Object::new()
        .attribute("folder", Attribute::string().requires_replace())
        .attribute("label", Attribute::string());
    let site = Object::new()
        .attribute("name", Attribute::string().requires_replace())
        .attribute("place", Attribute::object(place));
    let schema = Schema::new(0)
        .attribute("site", Attribute::object(site))
        .attribute("note", Attribute::string());
    let typed = |value: Value| value.conform(&schema.ty()).unwrap();
    let stored = |folder: Value| {
        let place = Value::object([("folder", folder), ("label", text("x"))]);
        let site = Value::object([("name", text("a")), ("place", place)]);
        typed(Value::object([("site", site)]))
    };
    let planned = |prior: &Value, config: Value| {
        let config = typed(config);
        let plan = propose(&schema, &config, prior, config.clone());
        assert_eq!(plan.planned, config);
        filter_replacements(&schema, prior, &plan.planned, plan.requires_replace).unwrap()
    };
    let nothing = || Value::object([("note", text("kept"))]);
    let without_place = || Value::object([("site", Value::object([("name", text("a"))]))]);
    let folder = AttributePath::from("site.place.folder");
    let name = AttributePath::from("site.name");
    let prior = stored(text("/a"));
    assert_eq!(planned(&prior, nothing()), [name.clone(), folder.clone()]);
    assert_eq!(planned(&prior, without_place()), [folder]);
    assert_eq!(planned(&stored(Value::Null), without_place()), []);
    assert_eq!(planned(&stored(Value::Null), nothing()), [name]);
}

#[test]
fn a_default_comes_back_when_the_argument_is_removed() {
    let mut prior = stored();
    *prior.at_mut(&"size".into()).unwrap() = Value::from(9);
    let Proposal { planned, .. } = plan(&object(&[("name", text("a"))]), &prior);
    assert_eq!(planned.named("size"), &Value::from(1));
}

#[test]
fn an_unknown_argument_stays_unknown() {
    let config = object(&[
        ("name", text("a")),
        ("size", Value::Unknown),
        ("ports", Value::Unknown),
    ]);
    let Proposal { planned, .. } = plan(&config, &stored());
    assert_eq!(planned.named("size"), &Value::Unknown);
    assert_eq!(planned.named("ports"), &Value::Unknown);
}

#[test]
fn nested_objects_have_their_own_defaults_and_unknowns() {
    for name in ["ports", "mount"] {
        let config = object(&[
            ("name", text("a")),
            (name, Value::list([configured_port(1), configured_port(2)])),
        ]);
        let Proposal { planned, .. } = plan(&config, &Value::Null);
        let expected = Value::list([a_port(1, "tcp", Value::Unknown), a_port(2, "tcp", Value::Unknown)]);
        assert_eq!(planned.named(name), &expected, "{name}");
    }
}

#[test]
fn elements_of_sets_are_matched_with_what_configures_them() {
    let udp = Value::object([("number", Value::from(2)), ("protocol", text("udp"))]);
    let config = object(&[
        ("name", text("a")),
        ("open", Value::set([configured_port(1), udp])),
    ]);
    let Proposal { planned, .. } = plan(&config, &Value::Null);
    let expected = Value::set([a_port(1, "tcp", Value::Unknown), a_port(2, "udp", Value::Unknown)]);
    assert_eq!(planned.named("open"), &expected);
}

#[test]
fn an_element_of_a_set_that_stays_keeps_what_was_computed_for_it() {
    let mut prior = stored();
    *prior.at_mut(&"open".into()).unwrap() = Value::set([a_port(1, "tcp", Value::from(11))]);
    let config = object(&[
        ("name", text("a")),
        ("open", Value::set([configured_port(1), configured_port(2)])),
    ]);
    let mut proposed = proposed(&config, &prior);
    // Terraform finds the stored element for the configured one, and has its computed values in the proposal.
    let new = Value::object([
        ("number", Value::from(2)),
        ("protocol", Value::Null),
        ("node", Value::Null),
    ]);
    *proposed.at_mut(&"open".into()).unwrap() = Value::set([a_port(1, "tcp", Value::from(11)), new]);
    let Proposal { planned, .. } = propose(&schema(), &config, &prior, proposed);
    let expected = Value::set([
        a_port(1, "tcp", Value::from(11)),
        a_port(2, "tcp", Value::Unknown),
    ]);
    assert_eq!(planned.named("open"), &expected);
}

#[test]
fn an_absent_object_stays_absent_and_a_present_one_is_completed() {
    let Proposal { planned, .. } = plan(&object(&[("name", text("a"))]), &Value::Null);
    assert_eq!(planned.named("disk"), &Value::Null);
    let config = object(&[("name", text("a")), ("disk", Value::object::<String>([]))]);
    let Proposal { planned, .. } = plan(&config, &Value::Null);
    assert_eq!(planned.named("disk"), &Value::object([("id", Value::Unknown)]));
}

#[test]
fn a_destroy_stays_one() {
    let proposal = propose(&schema(), &Value::Null, &stored(), Value::Null);
    assert_eq!(
        proposal,
        Proposal {
            planned: Value::Null,
            requires_replace: Vec::new()
        }
    );
}

#[test]
fn replacements_are_changes_sorted_and_each_once() {
    let planned = object(&[
        ("name", text("b")),
        ("grow", Value::from(1)),
        ("ports", Value::list([configured_port(1)])),
    ]);
    let paths = ["name", "grow", "zone", "name", "secret"]
        .map(AttributePath::from)
        .to_vec();
    let mut prior = planned.clone();
    *prior.at_mut(&"name".into()).unwrap() = text("a");
    *prior.at_mut(&"grow".into()).unwrap() = Value::from(2);
    let kept = filter_replacements(&schema(), &prior, &planned, paths).unwrap();
    assert_eq!(kept, ["grow", "name", "secret"].map(AttributePath::from));

    let inside = AttributePath::from("open")
        .step(crate::framework::value::Step::Element)
        .attribute("number");
    assert_eq!(
        filter_replacements(&schema(), &prior, &planned, vec![inside]).unwrap(),
        []
    );
    let nowhere = vec![AttributePath::from("nowhere")];
    assert!(filter_replacements(&schema(), &prior, &planned, nowhere).is_err());
}

#[test]
fn a_generated_configuration_has_nothing_computed_secret_or_default() {
    let config = configuration_of(&schema(), stored());
    assert_eq!(config.named("name"), &text("a"));
    assert_eq!(config.named("zone"), &text("z1"));
    for absent in ["size", "id", "stamp", "secret"] {
        assert_eq!(config.named(absent), &Value::Null, "{absent}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::framework::plan::checks;
    use crate::framework::value::msgpack::test_values;

    /// Any configuration: computed-only attributes null, required ones not.
    fn configs() -> impl Strategy<Value = Value> {
        test_values(&schema().ty()).prop_filter_map("an object", |value| {
            let Value::Object(_) = value else { return None };
            let mut config = value;
            for computed in ["id", "stamp"] {
                *config.at_mut(&computed.into()).unwrap() = Value::Null;
            }
            strip_nodes(&mut config);
            let mount = config.at_mut(&"mount".into()).unwrap();
            if mount.is_null() {
                *mount = Value::list([]);
            }
            Some(config)
        })
    }

    /// Nulls the computed attributes inside nested objects, and drops null elements, which Terraform does not
    /// send.
    fn strip_nodes(value: &mut Value) {
        match value {
            Value::List(elements) | Value::Set(elements) => {
                elements.retain(|element| !element.is_null());
                elements.iter_mut().for_each(strip_nodes);
            }
            Value::Object(attributes) => {
                let disk = attributes.len() == 1;
                for (name, value) in attributes.iter_mut() {
                    if name == "node" || (disk && name == "id") {
                        *value = Value::Null;
                    }
                    strip_nodes(value);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn every_plan_of_a_create_keeps_terraforms_rules(config in configs()) {
            let planned = propose(&schema(), &config, &Value::Null, config.clone()).planned;
            let violations = checks::plan(&schema(), &Value::Null, &config, &planned);
            prop_assert!(violations.is_empty(), "{violations:?}\n{config:?}\n{planned:?}");
        }

        #[test]
        fn every_plan_of_an_update_keeps_terraforms_rules(config in configs(), before in configs()) {
            let first = propose(&schema(), &before, &Value::Null, before.clone()).planned;
            let prior = first.unknown_as_null();
            let planned = propose(&schema(), &config, &prior, proposed(&config, &prior)).planned;
            let violations = checks::plan(&schema(), &prior, &config, &planned);
            prop_assert!(violations.is_empty(), "{violations:?}\n{config:?}\n{planned:?}");
        }

        #[test]
        fn a_plan_filled_in_keeps_terraforms_rules_for_results(config in configs()) {
            let planned = propose(&schema(), &config, &Value::Null, config.clone()).planned;
            let actual = planned.clone().unknown_as_null();
            let violations = checks::result(&schema(), &planned, &actual);
            prop_assert!(violations.is_empty(), "{violations:?}\n{planned:?}\n{actual:?}");
        }
    }
}
