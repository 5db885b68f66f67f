//! What holds for every kind: its description is whole, and agrees with what reads its data.

use std::sync::Arc;

use delegate_core::task::{NoProvider, Registry, Secrets, TaskKind};
use serde_json::{Value, json};

use crate::bench::conforms;

fn accepts(kind: &dyn TaskKind, data: &Value) -> Result<(), String> {
    let secrets = Secrets::new(Arc::new(NoProvider), Vec::new());
    kind.validate(data, &secrets).map_err(|error| error.to_string())
}

#[test]
fn every_kind_is_described_and_its_example_is_what_it_takes() {
    for (name, kind) in Registry::standard().offered() {
        let about = kind.about();
        for sentence in [about.summary, about.again] {
            assert!(
                sentence.len() > 20 && sentence.ends_with('.'),
                "{name}: {sentence:?}"
            );
        }
        for schema in [&about.data, &about.result] {
            for (property, schema) in schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                assert!(
                    schema["description"].is_string(),
                    "{name}: {property} is not described"
                );
            }
        }
        conforms(about.data.as_value(), &about.example).unwrap();
        accepts(kind, &about.example).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_field_that_no_kind_knows_is_refused_by_schema_and_reader_at_every_depth() {
    for (name, kind) in Registry::standard().offered() {
        let about = kind.about();
        assert_closed(name, about.data.as_value());
        let mut data = about.example.clone();
        data["scirpt"] = json!(1);
        assert!(conforms(about.data.as_value(), &data).is_err(), "{name}");
        let error = accepts(kind, &data).unwrap_err();
        assert!(error.contains("scirpt"), "{name}: {error}");
    }
}

/// An object with named fields takes no others.
fn assert_closed(name: &str, schema: &Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) {
                assert_eq!(fields["additionalProperties"], false, "{name}: {schema}");
            }
            fields.values().for_each(|schema| assert_closed(name, schema));
        }
        Value::Array(items) => items.iter().for_each(|schema| assert_closed(name, schema)),
        _ => {}
    }
}

#[test]
fn what_a_kind_accepts_is_what_its_schema_says() {
    let others = [
        json!(null),
        json!(true),
        json!(-7),
        json!(7),
        json!("x"),
        json!([]),
        json!({}),
        json!({"x": [1]}),
    ];
    for (name, kind) in Registry::standard().offered() {
        let about = kind.about();
        let mut places = Vec::new();
        pointers(&about.example, String::new(), &mut places);
        let mut refused = 0;
        for place in &places {
            for other in &others {
                let mut data = about.example.clone();
                *data.pointer_mut(place).unwrap() = other.clone();
                if let Err(problem) = conforms(about.data.as_value(), &data) {
                    refused += 1;
                    assert!(
                        accepts(kind, &data).is_err(),
                        "{name} takes what its schema refuses: {problem}"
                    );
                }
            }
        }
        assert!(
            refused > places.len(),
            "{name}: the schema refuses {refused} of many"
        );
    }
}

fn pointers(value: &Value, path: String, into: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, format!("{path}/{}", escaped(name)), into);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                pointers(value, format!("{path}/{at}"), into);
            }
        }
        _ => {}
    }
    into.push(path);
}

#[test]
fn secrets_are_marked_in_the_schema() {
    for (kind, place) in [
        ("HTTP", "/properties/bearer/writeOnly"),
        (
            "HTTP",
            "/properties/secret_headers/additionalProperties/writeOnly",
        ),
        (
            "SHELL_SCRIPT",
            "/properties/secrets/additionalProperties/writeOnly",
        ),
    ] {
        let about = Registry::standard().get(kind).unwrap().about();
        assert_eq!(
            about.data.pointer(place),
            Some(&json!(true)),
            "{kind}: {:?}",
            about.data
        );
    }
}

#[test]
fn the_program_lists_kinds_for_people_and_with_their_schemas_for_programs() {
    let list = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_harness-delegate"))
            .args(["task", "kinds"])
            .args(args)
            .env_remove("HARNESS_ENDPOINT")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = list(&[]);
    let json: Vec<Value> = serde_json::from_str(&list(&["--json"])).unwrap();
    let registry = Registry::standard();
    let names: Vec<_> = registry.offered().map(|(name, _)| name).collect();
    assert_eq!(
        json.iter()
            .map(|kind| kind["type"].as_str().unwrap())
            .collect::<Vec<_>>(),
        names
    );
    for (line, kind) in text.lines().skip(1).zip(&json) {
        assert!(line.starts_with(kind["type"].as_str().unwrap()), "{text}");
        assert!(line.contains(kind["summary"].as_str().unwrap()), "{text}");
        conforms(&kind["data"], &kind["example"]).unwrap();
        assert_eq!(kind["offered"].as_bool().unwrap(), kind["missing"].is_null());
    }
}
