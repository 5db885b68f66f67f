use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Field, from_value, to_value};
use crate::framework::value::msgpack;
use crate::framework::value::{Number, Type, Value};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Safe,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nested {
    on: bool,
    note: Field<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    name: String,
    count: Option<u32>,
    ratio: Option<f64>,
    exact: Option<Number>,
    mode: Option<Mode>,
    tags: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    nested: Option<Nested>,
    list: Vec<Nested>,
    id: Field<String>,
    anything: Value,
}

fn ty() -> Type {
    let nested = || Type::object([("on", Type::Bool), ("note", Type::String)]);
    Type::object([
        ("name", Type::String),
        ("count", Type::Number),
        ("ratio", Type::Number),
        ("exact", Type::Number),
        ("mode", Type::String),
        ("tags", Type::set(Type::String)),
        ("env", Type::map(Type::String)),
        ("nested", nested()),
        ("list", Type::list(nested())),
        ("id", Type::String),
        ("anything", Type::Dynamic),
    ])
}

fn model() -> Model {
    Model {
        name: "a".into(),
        count: Some(3),
        ratio: Some(0.1),
        exact: Some("18446744073709551616".parse().unwrap()),
        mode: Some(Mode::Safe),
        tags: Some(vec!["x".into(), "y".into()]),
        env: Some(BTreeMap::from([("A".into(), "1".into())])),
        nested: Some(Nested {
            on: true,
            note: Field::Unknown,
        }),
        list: vec![Nested {
            on: false,
            note: Field::Null,
        }],
        id: Field::Unknown,
        anything: Value::Dynamic(
            Type::set(Type::Number),
            Box::new(Value::set([Value::from(1), Value::Unknown])),
        ),
    }
}

#[test]
fn a_model_survives_the_way_to_the_wire_and_back() {
    let value = to_value(&model(), &ty()).unwrap();
    let bytes = msgpack::encode(&value, &ty()).unwrap();
    let back: Model = from_value(&msgpack::decode(&bytes, &ty()).unwrap()).unwrap();
    assert_eq!(back, model());
}

#[test]
fn a_model_float_is_the_decimal_a_person_means() {
    let value = to_value(&model(), &ty()).unwrap();
    assert_eq!(value.named("ratio"), &Value::Number("0.1".parse().unwrap()));
    assert_eq!(
        value.named("tags"),
        &Value::set([Value::from("y"), Value::from("x")])
    );
}

#[test]
fn every_error_names_the_attribute_and_no_value() {
    let change = |path: &str, to: Value| {
        let mut value = to_value(&model(), &ty()).unwrap();
        *value.at_mut(&path.into()).unwrap() = to;
        from_value::<Model>(&value).unwrap_err().to_string()
    };
    assert_eq!(change("name", Value::Unknown), "name: the value is not known yet");
    assert_eq!(change("tags", Value::Unknown), "tags: the value is not known yet");
    assert_eq!(change("nested.on", Value::Null), "nested.on: a value is required");
    assert_eq!(change("count", Value::from(-1)), "count: u32 is required");
    assert_eq!(change("name", Value::from(7)), "name: a string is required");
    assert_eq!(
        change("mode", Value::from("hunter2")),
        "mode: must be one of \"fast\", \"safe\""
    );
    let list = Value::list([Value::object([
        ("on", Value::from("hunter2")),
        ("note", Value::Null),
    ])]);
    assert_eq!(change("list", list), "list[0].on: a boolean is required");
    let extra = Value::object([("on", Value::Bool(true)), ("new", Value::Null)]);
    assert_eq!(change("nested", extra), "nested: unexpected attribute \"new\"");
}

#[test]
fn optional_takes_null_and_refuses_unknown() {
    let mut value = to_value(&model(), &ty()).unwrap();
    *value.at_mut(&"nested".into()).unwrap() = Value::Null;
    assert_eq!(from_value::<Model>(&value).unwrap().nested, None);
    *value.at_mut(&"nested".into()).unwrap() = Value::Unknown;
    assert!(from_value::<Model>(&value).is_err());
}

#[test]
fn a_field_reads_other_formats_too() {
    let nested: Nested = serde_json::from_str(r#"{"on":true,"note":"x"}"#).unwrap();
    assert_eq!(nested.note, Field::Known("x".into()));
    let nested: Nested = serde_json::from_str(r#"{"on":true,"note":null}"#).unwrap();
    assert_eq!(nested.note, Field::Null);
}

#[test]
fn typed_access_at_a_path_tells_null_from_unknown() {
    let value = to_value(&model(), &ty()).unwrap();
    assert_eq!(value.field::<bool>("nested.on").unwrap(), Field::Known(true));
    assert_eq!(value.field::<String>("nested.note").unwrap(), Field::Unknown);
    assert_eq!(value.field::<bool>("nested.on.off").unwrap(), Field::Null);
    assert_eq!(value.field::<bool>("name").unwrap_err().path.to_string(), "name");
}

proptest! {
    #[test]
    fn a_value_in_a_model_keeps_whatever_is_there(
        value in msgpack_values(),
    ) {
        #[derive(Serialize, Deserialize)]
        struct Holder { held: Value }
        let holder = Value::object([("held", value.clone())]);
        let model: Holder = from_value(&holder).unwrap();
        prop_assert_eq!(&model.held, &value);
        let back = super::to_untyped_value(&model).unwrap();
        prop_assert_eq!(back.named("held"), &value);
    }
}

fn msgpack_values() -> impl Strategy<Value = Value> {
    let ty = Type::object([
        ("s", Type::set(Type::Number)),
        ("t", Type::Tuple(vec![Type::String, Type::Bool])),
        ("m", Type::map(Type::list(Type::Number))),
        ("d", Type::Dynamic),
    ]);
    crate::framework::value::msgpack::test_values(&ty)
}
