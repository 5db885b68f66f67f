//! Functions of texts, lists and maps: the ones that pipelines in the field use, by the names they have there.
//!
//! Positions in texts count characters. Nothing here is a regular expression, for which there is `=~`.

use super::evaluate::{equal, text};
use super::value::whole;
use super::{MAX_ITEMS, MAX_TEXT_BYTES, Value};

/// Functions of texts, as they are called.
const OF_TEXTS: [&str; 17] = [
    "concat(text, …)",
    "contains(text)",
    "endsWith(text)",
    "equals(value)",
    "indexOf(text)",
    "isEmpty()",
    "lastIndexOf(text)",
    "length()",
    "replace(text, by)",
    "split(separator)",
    "startsWith(text)",
    "substring(from)",
    "substring(from, to)",
    "toLowerCase()",
    "toString()",
    "toUpperCase()",
    "trim()",
];

/// Functions of lists and maps.
const OF_OTHERS: [&str; 6] = [
    "contains(value)",
    "get(index or name)",
    "isEmpty()",
    "join(separator)",
    "length()",
    "size()",
];

/// The names of all functions.
pub(in crate::pipeline) fn names() -> impl Iterator<Item = &'static str> {
    OF_TEXTS
        .into_iter()
        .chain(OF_OTHERS)
        .filter_map(|signature| signature.split('(').next())
}

/// Calls a function.
pub(super) fn call(of: Value, function: &str, arguments: &[Value]) -> Result<Value, String> {
    let known = match &of {
        Value::Secret(_) => {
            return Err(format!(
                "`{function}` cannot look at a secret, which only the delegate knows; write its reference beside the text"
            ));
        }
        Value::Text(subject) => {
            let subject = subject.as_str();
            if let Some(result) = of_text(subject, function, arguments)? {
                return Ok(result);
            }
            &OF_TEXTS[..]
        }
        Value::List(items) => {
            if let Some(result) = of_list(items, function, arguments)? {
                return Ok(result);
            }
            &OF_OTHERS[..]
        }
        Value::Map(fields) => match (function, arguments) {
            ("get", [name]) => return element(of, name),
            ("isEmpty", []) => return Ok(Value::Truth(fields.is_empty())),
            ("length" | "size", []) => return Ok(count(fields.len())),
            ("contains", [Value::Text(name)]) => return Ok(Value::Truth(fields.contains_key(name))),
            _ => &OF_OTHERS[..],
        },
        // Variables are texts or numbers, and one who calls these does not care which.
        Value::Number(_) | Value::Truth(_) => return call(text(of.to_text())?, function, arguments),
        Value::Null => return Err(format!("null has no function `{function}`")),
    };
    Err(unknown(&of, function, known))
}

fn unknown(of: &Value, function: &str, known: &[&str]) -> String {
    let alike: Vec<_> = known
        .iter()
        .filter(|signature| signature.split('(').next() == Some(function))
        .copied()
        .collect();
    if alike.is_empty() {
        format!(
            "{} has no function `{function}`; it has {}",
            of.what(),
            known.join(", ")
        )
    } else {
        format!("the function is called as {}", alike.join(" or "))
    }
}

fn of_text(subject: &str, function: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    let truth = |truth| Ok(Some(Value::Truth(truth)));
    match (function, arguments) {
        ("toLowerCase", []) => text(subject.to_lowercase()).map(Some),
        ("toUpperCase", []) => text(subject.to_uppercase()).map(Some),
        ("trim", []) => text(subject.trim()).map(Some),
        ("toString", []) => text(subject).map(Some),
        ("isEmpty", []) => truth(subject.is_empty()),
        ("length", []) => Ok(Some(count(subject.chars().count()))),
        ("equals", [other]) => truth(equal(&Value::Text(subject.to_owned()), other)),
        ("contains", [part]) => truth(subject.contains(&as_text(part, function)?)),
        ("startsWith", [part]) => truth(subject.starts_with(&as_text(part, function)?)),
        ("endsWith", [part]) => truth(subject.ends_with(&as_text(part, function)?)),
        ("indexOf", [part]) => Ok(Some(place(subject, subject.find(&as_text(part, function)?)))),
        ("lastIndexOf", [part]) => Ok(Some(place(subject, subject.rfind(&as_text(part, function)?)))),
        ("concat", [_, ..]) => {
            let mut joined = subject.to_owned();
            for argument in arguments {
                joined.push_str(&as_text(argument, function)?);
            }
            text(joined).map(Some)
        }
        ("replace", [part, by]) => {
            let (part, by) = (as_text(part, function)?, as_text(by, function)?);
            if part.is_empty() {
                return Err("`replace` needs a text to look for that is not empty".to_owned());
            }
            // Looked at before it is made: it could be millions of times longer.
            let places = subject.matches(&part).count();
            if places.saturating_mul(by.len()) > MAX_TEXT_BYTES {
                return Err(format!("the text is longer than {MAX_TEXT_BYTES} bytes"));
            }
            text(subject.replace(&part, &by)).map(Some)
        }
        ("split", [separator]) => {
            let separator = as_text(separator, function)?;
            if separator.is_empty() {
                return Err("`split` needs a separator that is not empty".to_owned());
            }
            let items: Vec<_> = subject
                .split(&separator)
                .take(MAX_ITEMS + 1)
                .map(|item| Value::Text(item.to_owned()))
                .collect();
            if items.len() > MAX_ITEMS {
                return Err(format!("the list is longer than {MAX_ITEMS}"));
            }
            Ok(Some(Value::List(items)))
        }
        ("substring", [from]) => substring(subject, position(from, function)?, None).map(Some),
        ("substring", [from, to]) => {
            let to = position(to, function)?;
            substring(subject, position(from, function)?, Some(to)).map(Some)
        }
        _ => Ok(None),
    }
}

fn of_list(items: &[Value], function: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    Ok(Some(match (function, arguments) {
        ("length" | "size", []) => count(items.len()),
        ("isEmpty", []) => Value::Truth(items.is_empty()),
        ("contains", [wanted]) => Value::Truth(items.iter().any(|item| equal(item, wanted))),
        ("get", [index]) => element(Value::List(items.to_vec()), index)?,
        ("join", [separator]) => {
            let separator = as_text(separator, function)?;
            let texts = items
                .iter()
                .map(|item| as_text(item, function))
                .collect::<Result<Vec<_>, _>>()?;
            let separators = separator.len().saturating_mul(texts.len());
            if separators.saturating_add(texts.iter().map(String::len).sum()) > MAX_TEXT_BYTES {
                return Err(format!("the text is longer than {MAX_TEXT_BYTES} bytes"));
            }
            text(texts.join(&separator))?
        }
        _ => return Ok(None),
    }))
}

/// `list[0]`, `map["name"]`.
pub(super) fn element(of: Value, index: &Value) -> Result<Value, String> {
    match (of, index) {
        (Value::List(mut items), index) => {
            let at = position(index, "[ ]")?;
            if at < items.len() {
                Ok(items.swap_remove(at))
            } else {
                Err(format!(
                    "the list has {} items, counted from 0; there is no item {at}",
                    items.len()
                ))
            }
        }
        (Value::Map(mut fields), Value::Text(name)) => fields
            .swap_remove(name)
            .ok_or_else(|| "there is nothing of that name in the map".to_owned()),
        (of, index) => Err(format!(
            "{} cannot be asked for an item by {}",
            of.what(),
            index.what()
        )),
    }
}

fn as_text(value: &Value, function: &str) -> Result<String, String> {
    match value {
        Value::Text(_) | Value::Number(_) | Value::Truth(_) => Ok(value.to_text()),
        other => Err(format!("`{function}` takes a text, not {}", other.what())),
    }
}

fn position(value: &Value, function: &str) -> Result<usize, String> {
    value
        .as_number()
        .and_then(whole)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("`{function}` takes a whole number from 0, not {}", value.what()))
}

fn substring(subject: &str, from: usize, to: Option<usize>) -> Result<Value, String> {
    let length = subject.chars().count();
    let to = to.unwrap_or(length);
    if from > to || to > length {
        return Err(format!(
            "`substring` of {from} to {to} in a text of {length} characters"
        ));
    }
    text(subject.chars().skip(from).take(to - from).collect::<String>())
}

/// Characters before a byte; -1 where there is none, as the field has it.
fn place(subject: &str, byte: Option<usize>) -> Value {
    byte.map_or(Value::Number(-1.0), |byte| count(subject[..byte].chars().count()))
}

#[allow(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn count(length: usize) -> Value {
    Value::Number(length as f64)
}
