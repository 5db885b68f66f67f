//! `tags`: from what modules have at hand to the tags of a delegate.

use std::collections::BTreeSet;

use delegate_core::config::Tag;

use crate::framework::prelude::*;

/// The function.
#[derive(Debug, Default)]
pub struct Tags;

#[async_trait]
impl Function for Tags {
    fn name(&self) -> &'static str {
        "tags"
    }

    fn signature(&self) -> Signature {
        Signature::returning(Type::list(Type::String))
            .variadic(
                Parameter::new(
                    "tags",
                    Type::Dynamic,
                    "A text with commas, a list or set of texts, or a map.",
                )
                .allow_null(),
            )
            .describe(
                "Makes the tags of a delegate of texts, lists and maps",
                "Gives a sorted list of valid tags, each once, for `tags` of a `harness_delegate`.\n\n- A text is taken apart at its \
                 commas: `\"linux, prod\"` is two tags.\n- Of a list or set each element is a tag.\n- Of a map each entry is a \
                 tag `key:value`; with the value `true`, or an empty text, the key alone; with `false` or null, none.\n- Null is \
                 nothing.\n\nA tag that a delegate cannot have is an error that names it.",
            )
    }

    async fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        if !arguments.iter().all(Value::is_wholly_known) {
            return Ok(Value::Unknown);
        }
        let mut tags = BTreeSet::new();
        for (index, argument) in arguments.iter().enumerate() {
            collect(argument, &mut tags).map_err(|problem| FunctionError::argument(index, problem))?;
        }
        Ok(Value::list(tags.into_iter().map(Value::from)))
    }
}

/// Adds the tags of one argument; the text says what none is.
fn collect(value: &Value, tags: &mut BTreeSet<String>) -> Result<(), String> {
    if let Value::Dynamic(_, inner) = value {
        return collect(inner, tags);
    }
    if value.is_null() {
        return Ok(());
    }
    if let Some(text) = value.as_str() {
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            add(part, tags)?;
        }
        return Ok(());
    }
    if let Some(elements) = value.as_elements() {
        for element in elements.iter().filter(|element| !element.is_null()) {
            let text = element
                .as_str()
                .ok_or_else(|| format!("Each element must be a text, and one is {}.", element.kind()))?;
            add(text, tags)?;
        }
        return Ok(());
    }
    let Some(entries) = value.as_named() else {
        return Err(format!(
            "Must be a text, a list, a set or a map, and is {}.",
            value.kind()
        ));
    };
    for (key, value) in entries {
        match plain(value) {
            Entry::Key => add(key, tags)?,
            Entry::Pair(value) => add(&format!("{key}:{value}"), tags)?,
            Entry::Nothing => {}
            Entry::Unsuitable(kind) => {
                return Err(format!(
                    "The value of {key:?} must be a text, a number or a boolean, and is {kind}."
                ));
            }
        }
    }
    Ok(())
}

/// What an entry of a map stands for.
enum Entry {
    Key,
    Pair(String),
    Nothing,
    Unsuitable(&'static str),
}

fn plain(value: &Value) -> Entry {
    match value {
        Value::Dynamic(_, inner) => plain(inner),
        Value::Null | Value::Bool(false) => Entry::Nothing,
        Value::Bool(true) => Entry::Key,
        Value::String(text) if text.trim().is_empty() => Entry::Key,
        Value::String(text) => Entry::Pair(text.trim().to_owned()),
        Value::Number(number) => Entry::Pair(number.to_string()),
        other => Entry::Unsuitable(other.kind()),
    }
}

fn add(text: &str, tags: &mut BTreeSet<String>) -> Result<(), String> {
    let tag: Tag = text.parse().map_err(|problem| format!("The tag {problem}."))?;
    tags.insert(tag.to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::value::Number;

    async fn tags(arguments: Vec<Value>) -> Result<Vec<String>, FunctionError> {
        let tags = Tags.call(arguments).await?;
        Ok(tags
            .as_elements()
            .unwrap()
            .iter()
            .map(|tag| tag.as_str().unwrap().to_owned())
            .collect())
    }

    #[tokio::test]
    async fn texts_lists_and_maps_become_one_sorted_list() {
        let map = Value::map([
            ("env", Value::from("prod")),
            ("gpu", true.into()),
            ("old", false.into()),
            ("zone", Value::Null),
            ("tier", Value::Number(Number::from(2))),
            ("note", "".into()),
        ]);
        let list = Value::list([Value::from("linux"), Value::Null, " b ".into()]);
        let found = tags(vec!["linux, a,".into(), list, map, Value::Null])
            .await
            .unwrap();
        assert_eq!(found, ["a", "b", "env:prod", "gpu", "linux", "note", "tier:2"]);
        assert!(tags(Vec::new()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_a_tag_is_named_at_its_argument() {
        for (bad, part) in [
            (Value::list([Value::from("a,b")]), "no comma"),
            (Value::list([Value::from("")]), "is empty"),
            (Value::list([Value::list([])]), "must be a text"),
            (Value::map([("k", Value::list([]))]), "The value of \"k\""),
            (Value::Bool(true), "Must be a text, a list, a set or a map"),
            (Value::from("x".repeat(200)), "200 characters"),
        ] {
            let error = tags(vec!["fine".into(), bad]).await.unwrap_err();
            assert_eq!(error.argument, Some(1));
            assert!(error.text.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_not_known_yet_has_no_tags_yet() {
        let unknown = Value::list([Value::Unknown]);
        assert!(Tags.call(vec![unknown]).await.unwrap().is_unknown());
    }
}
