//! Objects as YAML documents.
//!
//! Kubernetes and Helm read YAML 1.1, where `yes` and `012` are no text; libraries of today write 1.2. So every text is written
//! in double quotes, as JSON, which both versions read alike; only the layout is YAML's.

use std::fmt::Write as _;

use serde_json::Value;

/// The objects, each a document that begins with `---`.
pub fn documents<'a>(objects: impl IntoIterator<Item = &'a Value>) -> String {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&document(object));
    }
    text
}

/// One value as one document, with a newline at its end.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    if is_flat(value) {
        let _ = writeln!(text, "{value}");
    } else {
        write(&mut text, value, 0);
    }
    text
}

/// Writes a mapping or a list that is not empty, each line indented.
fn write(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let _ = write!(text, "{:indent$}{}:", "", key(name));
                below(text, value, indent);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                let _ = write!(text, "{:indent$}-", "");
                if is_flat(element) {
                    let _ = writeln!(text, " {element}");
                } else {
                    let mut inner = String::new();
                    write(&mut inner, element, indent + 2);
                    // The first line of the element stands behind its dash.
                    let _ = write!(text, " {}", inner.trim_start_matches(' '));
                }
            }
        }
        _ => {}
    }
}

fn below(text: &mut String, value: &Value, indent: usize) {
    if is_flat(value) {
        let _ = writeln!(text, " {value}");
    } else {
        text.push('\n');
        write(text, value, indent + 2);
    }
}

/// Whether a value stands on one line: everything but mappings and lists with content.
fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => true,
    }
}

/// A name that cannot be mistaken for anything else stands as it is.
fn key(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() > 3
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(name.to_ascii_lowercase().as_str(), "true" | "false" | "null");
    if plain {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_looks_as_people_write_it() {
        let value = json!({
            "kind": "Thing",
            "data": { "yes": "no", "empty": {}, "mode": "0440", "count": 1 },
            "list": [{ "name": "a", "more": ["b", []] }, "c", [1, 2]],
        });
        assert_eq!(
            document(&value),
            "kind: \"Thing\"\ndata:\n  \"yes\": \"no\"\n  empty: {}\n  mode: \"0440\"\n  count: 1\nlist:\n  - name: \"a\"\n    more:\n      - \
             \"b\"\n      - []\n  - \"c\"\n  - - 1\n    - 2\n"
        );
        assert_eq!(
            documents([&json!({}), &json!({ "name": 1 })]),
            "---\n{}\n---\nname: 1\n"
        );
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\n\té€]{0,12}".prop_map(Value::from),
            Just(Value::from("yes")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z0-9 :#~.-]{0,6}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(value in values()) {
            let text = document(&value);
            let read: Value = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
