use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{decode, encode};
use crate::framework::value::{Number, Type, Value};

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

/// Bytes observed from Terraform 1.11, and the value they are.
#[test]
fn terraforms_own_bytes_pass_through_unchanged() {
    let mut half = vec![0xcb];
    half.extend(0.5_f64.to_be_bytes());
    let mut infinity = vec![0xcb];
    infinity.extend(f64::INFINITY.to_be_bytes());
    let huge = format!("1{}", "0".repeat(300));
    let mut huge_bytes = vec![0xda, 0x01, 0x2d];
    huge_bytes.extend(huge.as_bytes());
    let text = |text: &str| [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();

    let table: Vec<(Type, Vec<u8>, Value)> = vec![
        (Type::String, vec![0xc0], Value::Null),
        (Type::String, vec![0xd4, 0x00, 0x00], Value::Unknown),
        (Type::Bool, vec![0xc3], Value::Bool(true)),
        (Type::Number, vec![0x02], number("2")),
        (Type::Number, vec![0xff], number("-1")),
        (Type::Number, half, number("0.5")),
        (Type::Number, text("0.1"), number("0.1")),
        (
            Type::Number,
            text("9223372036854775808"),
            number("9223372036854775808"),
        ),
        (
            Type::Number,
            text("18446744073709551616"),
            number("18446744073709551616"),
        ),
        (Type::Number, huge_bytes, number(&huge)),
        (Type::Number, infinity, Value::Number(Number::INFINITY)),
        (
            Type::list(Type::String),
            vec![0x92, 0xa1, b'a', 0xc0],
            Value::list([Value::from("a"), Value::Null]),
        ),
        (
            Type::map(Type::Bool),
            vec![0x81, 0xa1, b'k', 0xc2],
            Value::map([("k", Value::Bool(false))]),
        ),
        (
            Type::object([("a", Type::String), ("b", Type::Number)]),
            vec![0x82, 0xa1, b'a', 0xd4, 0x00, 0x00, 0xa1, b'b', 0x01],
            Value::object([("a", Value::Unknown), ("b", Value::from(1))]),
        ),
        (
            Type::Dynamic,
            [&[0x92, 0xc4, 0x08][..], br#""string""#, &[0xa1, b'x']].concat(),
            Value::Dynamic(Type::String, Box::new(Value::from("x"))),
        ),
        (
            Type::Dynamic,
            [&[0x92, 0xc4, 0x08][..], br#""string""#, &[0xc0]].concat(),
            Value::Dynamic(Type::String, Box::new(Value::Null)),
        ),
        (Type::Dynamic, vec![0xc0], Value::Null),
        (Type::Dynamic, vec![0xd4, 0x00, 0x00], Value::Unknown),
    ];
    for (ty, bytes, value) in table {
        assert_eq!(decode(&bytes, &ty).as_ref(), Ok(&value), "{bytes:02x?}");
        assert_eq!(encode(&value, &ty), Ok(bytes), "{value:?}");
    }
}

#[test]
fn every_extension_is_an_unknown() {
    // Refined: code 12, a map with 1 => false ("not null").
    let table: [&[u8]; 7] = [
        &[0xc7, 0x03, 0x0c, 0x81, 0x01, 0xc2],
        &[0xd4, 0x0c, 0x80],
        &[0xd5, 0x05, 0x00, 0x00],
        &[0xd6, 0x00, 0, 0, 0, 0],
        &[0xc7, 0x00, 0x00],
        &[0xc8, 0x00, 0x01, 0x0c, 0x80],
        &[0xc9, 0x00, 0x00, 0x00, 0x01, 0x0c, 0x80],
    ];
    for bytes in table {
        for ty in [
            Type::String,
            Type::Number,
            Type::list(Type::Bool),
            Type::Dynamic,
            Type::object([("a", Type::Bool)]),
        ] {
            assert_eq!(decode(bytes, &ty), Ok(Value::Unknown), "{bytes:02x?}");
        }
    }
}

#[test]
fn every_number_form_is_read() {
    let table: [(&[u8], &str); 10] = [
        (&[0x7f], "127"),
        (&[0xcc, 0xff], "255"),
        (&[0xcd, 0xff, 0xff], "65535"),
        (&[0xce, 0xff, 0xff, 0xff, 0xff], "4294967295"),
        (
            &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "18446744073709551615",
        ),
        (&[0xd0, 0x80], "-128"),
        (&[0xd1, 0x80, 0x00], "-32768"),
        (&[0xd2, 0x80, 0x00, 0x00, 0x00], "-2147483648"),
        (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
        (&[0xca, 0x3f, 0x00, 0x00, 0x00], "0.5"),
    ];
    for (bytes, text) in table {
        assert_eq!(decode(bytes, &Type::Number), Ok(number(text)));
    }
}

#[test]
fn misfits_name_their_place() {
    let ty = Type::object([("a", Type::list(Type::Bool))]);
    let error = |bytes: &[u8]| decode(bytes, &ty).unwrap_err().to_string();
    assert_eq!(error(&[0x80]), "attribute \"a\" is missing");
    assert_eq!(error(&[0x81, 0xa1, b'b', 0xc0]), "unexpected attribute \"b\"");
    assert!(error(&[0x81, 0xa1, b'a', 0x91, 0x01]).starts_with("a[0]: bool is required"));
    assert_eq!(
        error(&[0x81, 0xa1, b'a', 0xdd, 0xff, 0xff, 0xff, 0xff]),
        "a[0]: malformed: the value ends early"
    );
    assert_eq!(
        error(&[0x81, 0xa1, b'a', 0x90, 0x00]),
        "malformed: bytes after the end of the value"
    );
    let nan = [&[0xcb][..], &f64::NAN.to_be_bytes()].concat();
    assert!(decode(&nan, &Type::Number).is_err());
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    let wrap = br#"["list","dynamic"]"#;
    let mut bytes = Vec::new();
    for _ in 0..100_000 {
        bytes.extend([0x92, 0xc4, u8::try_from(wrap.len()).unwrap()]);
        bytes.extend(wrap);
        bytes.push(0x91);
    }
    assert!(
        decode(&bytes, &Type::Dynamic)
            .unwrap_err()
            .to_string()
            .contains("deeper")
    );
}

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Dynamic),
        Just(Type::Bool),
        Just(Type::Number),
        Just(Type::String)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(Type::Object),
        ]
    })
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?".prop_map(|text| text.parse().unwrap()),
        any::<f64>().prop_filter_map("NaN", |float| Number::from_f64_exact(float).ok()),
    ]
}

/// A value of this type, with nulls and unknowns anywhere.
pub(crate) fn values(ty: &Type) -> BoxedStrategy<Value> {
    let known: BoxedStrategy<Value> = match ty {
        Type::Dynamic => prop_oneof![
            "[a-z]{0,4}".prop_map(|text| Value::Dynamic(Type::String, Box::new(Value::String(text)))),
            any::<i64>().prop_map(|int| Value::Dynamic(
                Type::list(Type::Number),
                Box::new(Value::list([Value::from(int)]))
            )),
        ]
        .boxed(),
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => numbers().prop_map(Value::Number).boxed(),
        Type::String => "\\PC{0,8}"
            .prop_map(|text| Value::String(text).conform(&Type::String).unwrap())
            .boxed(),
        Type::List(element) => prop::collection::vec(values(element), 0..4)
            .prop_map(Value::List)
            .boxed(),
        Type::Set(element) => prop::collection::vec(values(element), 0..4)
            .prop_map(Value::set)
            .boxed(),
        Type::Map(element) => prop::collection::btree_map("[a-z]{0,4}", values(element), 0..4)
            .prop_map(Value::Map)
            .boxed(),
        Type::Tuple(types) => types
            .iter()
            .map(values)
            .collect::<Vec<_>>()
            .prop_map(Value::Tuple)
            .boxed(),
        Type::Object(types) => types
            .iter()
            .map(|(name, ty)| (Just(name.clone()), values(ty)))
            .collect::<Vec<_>>()
            .prop_map(|attributes| Value::Object(attributes.into_iter().collect::<BTreeMap<_, _>>()))
            .boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 1 => Just(Value::Unknown), 8 => known].boxed()
}

proptest! {
    #[test]
    fn what_is_encoded_is_what_is_decoded((ty, value) in types().prop_flat_map(|ty| (Just(ty.clone()), values(&ty)))) {
        let bytes = encode(&value, &ty).unwrap();
        prop_assert_eq!(decode(&bytes, &ty).unwrap(), value);
    }

    #[test]
    fn conforming_to_its_own_type_changes_nothing((ty, value) in types().prop_flat_map(|ty| (Just(ty.clone()), values(&ty)))) {
        prop_assert_eq!(value.clone().conform(&ty).unwrap(), value);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(ty in types(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, &ty);
    }

    #[test]
    fn damaged_values_are_a_value_or_an_error(
        (ty, value) in types().prop_flat_map(|ty| (Just(ty.clone()), values(&ty))),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&value, &ty).unwrap();
        let position = at.index(bytes.len());
        bytes[position] = byte;
        let _ = decode(&bytes, &ty);
        bytes.truncate(cut.index(bytes.len()));
        let _ = decode(&bytes, &ty);
    }
}
