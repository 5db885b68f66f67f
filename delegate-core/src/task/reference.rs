//! References to secrets in task data: `<+secrets.getValue("name")>`, anywhere in a text.
//!
//! A text that holds the beginning of a reference and is none is refused: passing it on would run a script, or open a
//! connection, with words in the place of a secret.

use std::collections::BTreeMap;

use serde_json::Value;

use super::TaskError;
use crate::Secret;

/// How every reference begins.
const BEGINNING: &str = "<+secrets.";

/// What the one function is called that there is.
const FUNCTION: &str = "getValue";

/// A reference in a text.
#[derive(Debug, PartialEq)]
struct Reference<'t> {
    /// All of it.
    whole: &'t str,
    /// What is between the quotes.
    name: &'t str,
}

/// What is referred to, and where first: names with the field and the whole reference.
pub(super) type Wanted = BTreeMap<String, (String, String)>;

/// Finds all references in the texts of some data. `path` is that of the data, for errors.
pub(super) fn find(data: &Value, path: &str, wanted: &mut Wanted) -> Result<(), TaskError> {
    match data {
        Value::String(text) => {
            for reference in references(text) {
                let Reference { whole, name } = reference.map_err(|begun| TaskError::Secret {
                    path: path.to_owned(),
                    reference: begun.to_owned(),
                    problem: format!("not understood; write {BEGINNING}{FUNCTION}(\"name\")>"),
                })?;
                wanted
                    .entry(name.to_owned())
                    .or_insert_with(|| (path.to_owned(), whole.to_owned()));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                find(item, &format!("{path}[{at}]"), wanted)?;
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                find(value, &path, wanted)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Whether there is any reference at all: nearly always there is none.
pub(super) fn has_any(data: &Value) -> bool {
    match data {
        Value::String(text) => memchr::memmem::find(text.as_bytes(), BEGINNING.as_bytes()).is_some(),
        Value::Array(items) => items.iter().any(has_any),
        Value::Object(fields) => fields.values().any(has_any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Puts the values in the place of the references, each in one pass: what looks like a reference within a secret stays
/// what it is.
pub(super) fn replace(data: &mut Value, values: &BTreeMap<String, Secret>) {
    match data {
        Value::String(text) => {
            let (mut done, mut rest) = (String::with_capacity(text.len()), text.as_str());
            for reference in references(text).flatten() {
                let Some(value) = values.get(reference.name) else {
                    continue;
                };
                let at = reference.whole.as_ptr() as usize - rest.as_ptr() as usize;
                done.push_str(&rest[..at]);
                done.push_str(value.expose());
                rest = &rest[at + reference.whole.len()..];
            }
            if rest.len() < text.len() {
                done.push_str(rest);
                *text = done;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, values)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The references of a text in their order; an error is the beginning of what is none.
fn references(text: &str) -> impl Iterator<Item = Result<Reference<'_>, &str>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].find(BEGINNING)?;
        let from = &text[at..];
        if let Some(reference) = parse(from) {
            at += reference.whole.len();
            Some(Ok(reference))
        } else {
            at += BEGINNING.len();
            // The word only: what follows may be anything, secrets too.
            let word = from[BEGINNING.len()..]
                .find(|character: char| !character.is_ascii_alphabetic())
                .map_or(from.len(), |end| BEGINNING.len() + end);
            Some(Err(&from[..word]))
        }
    })
}

/// `<+secrets.getValue("name")>` at the beginning of a text, in either quotes and with blanks where a person may put some.
fn parse(text: &str) -> Option<Reference<'_>> {
    let rest = text.strip_prefix(BEGINNING)?.strip_prefix(FUNCTION)?;
    let rest = rest
        .trim_start_matches(' ')
        .strip_prefix('(')?
        .trim_start_matches(' ');
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, rest) = rest[1..].split_once(quote)?;
    let rest = rest.trim_start_matches(' ').strip_prefix(')')?;
    let rest = rest.trim_start_matches(' ').strip_prefix('>')?;
    let valid = !name.trim().is_empty() && !name.contains('\n');
    valid.then(|| Reference {
        whole: &text[..text.len() - rest.len()],
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn found(data: &Value) -> Result<Wanted, String> {
        let mut wanted = Wanted::new();
        find(data, "", &mut wanted).map_err(|error| error.to_string())?;
        Ok(wanted)
    }

    #[test]
    fn references_are_found_anywhere_with_their_field() {
        let data = json!({
            "env": {"URL": "db://u:<+secrets.getValue(\"account.db\")>@h/<+secrets.getValue( 'x#y' ) >"},
            "list": [1, null, "<+secrets.getValue(\"account.db\")>"],
        });
        let wanted = found(&data).unwrap();
        assert_eq!(wanted.keys().collect::<Vec<_>>(), ["account.db", "x#y"]);
        assert_eq!(wanted["account.db"].0, "env.URL");
        assert_eq!(wanted["x#y"].1, "<+secrets.getValue( 'x#y' ) >");
        assert!(has_any(&data) && !has_any(&json!({"a": ["secrets.getValue"]})));
    }

    #[test]
    fn what_is_replaced_is_replaced_once() {
        let mut data = json!({"a": ["1<+secrets.getValue(\"x\")>2<+secrets.getValue('y')>3", "z"]});
        let values = [("x", "<+secrets.getValue('y')>"), ("y", "Y")];
        let values = values
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .into();
        replace(&mut data, &values);
        assert_eq!(data, json!({"a": ["1<+secrets.getValue('y')>2Y3", "z"]}));
    }

    #[test]
    fn what_begins_like_a_reference_is_refused_and_not_repeated_whole() {
        for text in [
            "<+secrets.getvalue(\"hunter2\")>",
            "<+secrets.getValue(hunter2)>",
            "<+secrets.getValue(\"\")> hunter2",
            "<+secrets.getValue(\"hunter2",
            "<+secrets.",
        ] {
            let error = found(&json!({"script": text})).unwrap_err();
            assert!(
                error.contains("`script`") && error.contains("write <+secrets."),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_one_without_references_stays(
            text in r#"([a-z<+>"'() é]|<\+secrets\.|getValue\("a"\)>){0,30}"#,
        ) {
            let mut data = Value::from(text.clone());
            let _ = find(&data, "", &mut Wanted::new());
            replace(&mut data, &BTreeMap::new());
            prop_assert_eq!(data, Value::from(text));
        }
    }
}
