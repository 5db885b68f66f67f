//! The page of the task kinds, from what each says of itself.

use delegate_core::task::{About, Registry};
use serde_json::{Map, Value};

/// The page, below `docs`.
pub(crate) const PAGE: &str = "guides/task-kinds.md";

/// What the page says before the kinds.
const HEAD: &str = "\
---
page_title: \"Task kinds\"
subcategory: \"\"
description: |-
  What tasks the delegate runs: the data of each kind, and its result.
---

# Task kinds

A task has a kind, which says what its data is and what comes back. This page is made from the program's own descriptions;
`harness-delegate task kinds` lists them with what a machine lacks for each, and with `--json` it prints the JSON Schemas of data
and result. How to write one: [add a task kind](add-a-task-kind.md).

```console
$ harness-delegate task run --type HTTP --data '{\"url\": \"https://shop.example.com/health\"}' --timeout 1m
```

Every text of the data may hold references to secrets, `<+secrets.getValue(\"name\")>`; see [Secrets and limits of
tasks](secrets.md). Data is validated before anything else is done: what is wrong is named with the path of its field, and the
task is answered `FAILED`. Fields that a kind does not know are refused. Times are written `500ms`, `30s`, `5m`, `1h`.

Every result has these fields, and those of its kind:

| field | type | meaning |
|---|---|---|
| `command_execution_status` | text | `SUCCESS`, `FAILURE`, `TIMEOUT`, `ABORTED` or `SKIPPED` |
| `error_message` | text | What went wrong, and what to do; null on success |
| `output_vars` | texts by name | Output variables, for later steps |
";

/// The page's text.
///
/// # Errors
/// When a kind does not say what it does, or has a schema that cannot be shown.
pub(crate) fn page(registry: &Registry) -> Result<String, String> {
    let mut text = HEAD.to_owned();
    for (name, kind) in registry.offered() {
        text.push('\n');
        text.push_str(&section(name, &kind.about())?);
    }
    Ok(text)
}

fn section(name: &str, about: &About) -> Result<String, String> {
    if about.summary.is_empty() || about.again.is_empty() {
        return Err(format!(
            "the kind {name} does not describe itself: see TaskKind::about"
        ));
    }
    let example = serde_json::to_string_pretty(&about.example).map_err(|error| error.to_string())?;
    let mut data = Vec::new();
    rows("", about.data.as_value(), &mut data);
    let mut result = Vec::new();
    rows("", about.result.as_value(), &mut result);
    Ok(format!(
        "## {name}\n\n{}\n\nRunning it again: {}\n\n```json\n{example}\n```\n\nData:\n\n{}\nThe result's own fields:\n\n{}",
        about.summary,
        about.again,
        table("field", &data, true),
        table("field", &result, false),
    ))
}

/// A field of a schema, by its path.
struct Row {
    path: String,
    kind: String,
    required: bool,
    meaning: String,
}

fn table(heading: &str, rows: &[Row], with_required: bool) -> String {
    let mut text = format!("| {heading} | type | meaning |\n|---|---|---|\n");
    for Row {
        path,
        kind,
        required,
        meaning,
    } in rows
    {
        let required = if with_required && *required {
            ", required"
        } else {
            ""
        };
        text.push_str(&format!(
            "| `{path}` | {kind}{required} | {} |\n",
            meaning.replace('|', "\\|")
        ));
    }
    text
}

/// The fields of an object, and below each those that it consists of.
fn rows(above: &str, schema: &Value, into: &mut Vec<Row>) {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, schema) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        let path = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        let inner = present(schema);
        into.push(Row {
            kind: kind(inner),
            required: required.contains(&&**name),
            meaning: meaning(schema, inner),
            path: path.clone(),
        });
        below(&path, inner, into);
    }
}

fn below(path: &str, schema: &Value, into: &mut Vec<Row>) {
    rows(path, schema, into);
    // Each of an object's forms is a field of its own.
    for form in forms(schema).filter(|form| form["properties"].is_object()) {
        let before = into.len();
        rows(path, form, into);
        for row in &mut into[before..] {
            row.required = row.required && !is_form(&row.path, path);
        }
        if let Some(row) = into.get_mut(before)
            && let Some(text) = form["description"].as_str()
        {
            row.meaning = one_line(text);
        }
    }
    if schema["items"]["properties"].is_object() {
        rows(&format!("{path}[]"), &schema["items"], into);
    }
    if schema["additionalProperties"]["properties"].is_object() {
        rows(&format!("{path}.NAME"), &schema["additionalProperties"], into);
    }
}

fn is_form(row: &str, path: &str) -> bool {
    row.strip_prefix(path)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|rest| !rest.contains('.'))
}

fn forms(schema: &Value) -> impl Iterator<Item = &Value> {
    let all = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    all.into_iter().flatten()
}

/// The schema without the null that optional fields may be.
fn present(schema: &Value) -> &Value {
    let mut others = forms(schema).filter(|form| form["type"] != "null");
    match (schema["anyOf"].is_array(), others.next(), others.next()) {
        (true, Some(only), None) => only,
        _ => schema,
    }
}

fn kind(schema: &Value) -> String {
    if schema["writeOnly"] == true {
        return "secret text".to_owned();
    }
    if let Some(choices) = choices(schema) {
        return choices
            .iter()
            .map(|choice| format!("`{choice}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .collect(),
        _ if forms(schema).any(|form| form["properties"].is_object()) => return "one of".to_owned(),
        _ => {
            let mut kinds: Vec<_> = forms(schema)
                .filter(|form| form["type"] != "null")
                .map(kind)
                .collect();
            kinds.dedup();
            return if kinds.is_empty() {
                "any".to_owned()
            } else {
                kinds.join(" or ")
            };
        }
    };
    let name = |name: &&str| match *name {
        "string" => "text".to_owned(),
        "array" => format!("list of {}", plural(&kind(&schema["items"]))),
        "object" if schema["properties"].is_object() => "object".to_owned(),
        "object" => format!("{} by name", plural(&kind(&schema["additionalProperties"]))),
        other => other.to_owned(),
    };
    names.iter().map(name).collect::<Vec<_>>().join(" or ")
}

fn plural(kind: &str) -> String {
    match kind {
        "any" => "any values".to_owned(),
        "secret text" | "text" | "object" | "integer" | "boolean" | "number" => format!("{kind}s"),
        other => other.to_owned(),
    }
}

/// The texts that a field can be, when it is one of a few.
fn choices<'s>(schema: &'s Value) -> Option<Vec<&'s str>> {
    let own = |schema: &'s Value| {
        let listed = schema["enum"].as_array().into_iter().flatten();
        schema["const"]
            .as_str()
            .into_iter()
            .chain(listed.filter_map(Value::as_str))
    };
    let all: Vec<&str> = own(schema).chain(forms(schema).flat_map(own)).collect();
    (!all.is_empty()).then_some(all)
}

/// What is said of a field, and of what it is.
fn meaning(field: &Value, inner: &Value) -> String {
    let mut said: Vec<String> = Vec::new();
    for schema in [field, inner] {
        if let Some(text) = schema["description"].as_str().map(one_line)
            && !said.contains(&text)
        {
            said.push(text);
        }
    }
    for form in forms(inner) {
        if let Some(text) = form["const"].as_str()
            && let Some(meaning) = form["description"].as_str()
        {
            said.push(format!("`{text}`: {}", one_line(meaning)));
        }
    }
    said.join(" ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
