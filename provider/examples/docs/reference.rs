//! A schema as the registry shows it: Required, Optional, Read-Only, then what is nested, each with an anchor.

use harness_provider::framework::schema::{
    Attribute, IdentitySchema, Kind, Mode, Nesting, Object, Rule, Validator,
};
use harness_provider::framework::traits::{Parameter, Signature};
use harness_provider::framework::value::{Type, Value};

/// Where Terraform explains what the mark means.
const WRITE_ONLY: &str =
    "[Write-only](https://developer.hashicorp.com/terraform/language/manage-sensitive-data/write-only)";

/// The section `Schema` of a page.
///
/// # Errors
/// When the schema has blocks: nothing here has, and a page that leaves them out would lie.
pub(crate) fn schema(root: &Object) -> Result<String, String> {
    let mut text = String::from("## Schema\n");
    text.push_str(&rules(root));
    let mut nested = Vec::new();
    for (title, mode) in [
        ("Required", Who::Must),
        ("Optional", Who::May),
        ("Read-Only", Who::Provider),
    ] {
        let list = attributes(root, mode, "", &mut nested)?;
        if !list.is_empty() {
            text.push_str(&format!("\n### {title}\n\n{list}"));
        }
    }
    // What a nested object holds follows it at once, as a reader meets it.
    nested.reverse();
    while let Some((path, object)) = nested.pop() {
        text.push_str(&format!(
            "\n<a id=\"{}\"></a>\n### Nested Schema for `{path}`\n",
            anchor(&path)
        ));
        text.push_str(&rules(object));
        let mut deeper = Vec::new();
        for (title, mode) in [
            ("Required", Who::Must),
            ("Optional", Who::May),
            ("Read-Only", Who::Provider),
        ] {
            let list = attributes(object, mode, &path, &mut deeper)?;
            if !list.is_empty() {
                text.push_str(&format!("\n{title}:\n\n{list}"));
            }
        }
        deeper.reverse();
        nested.extend(deeper);
    }
    Ok(text)
}

/// Who gives a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Must,
    May,
    Provider,
}

fn who(attribute: &Attribute) -> Who {
    match attribute.mode() {
        Mode::Required => Who::Must,
        Mode::Optional | Mode::OptionalComputed => Who::May,
        Mode::Computed => Who::Provider,
    }
}

fn attributes<'a>(
    object: &'a Object,
    wanted: Who,
    below: &str,
    nested: &mut Vec<(String, &'a Object)>,
) -> Result<String, String> {
    if let Some(name) = object.blocks().keys().next() {
        return Err(format!(
            "{name} is a block, which the documentation cannot show; make it a nested attribute"
        ));
    }
    let mut list = String::new();
    for (name, attribute) in object.attributes() {
        if who(attribute) != wanted {
            continue;
        }
        list.push_str(&format!("- `{name}` ({})", marks(attribute)));
        let text = sentences(object, name, attribute);
        if !text.is_empty() {
            list.push_str(&format!(" {text}"));
        }
        if let Kind::Nested(_, inner) = attribute.kind() {
            let path = if below.is_empty() {
                name.clone()
            } else {
                format!("{below}.{name}")
            };
            list.push_str(&format!(" (see [below for nested schema](#{}))", anchor(&path)));
            nested.push((path, inner));
        }
        list.push('\n');
    }
    Ok(list)
}

fn anchor(path: &str) -> String {
    format!("nestedatt--{}", path.replace('.', "--"))
}

fn marks(attribute: &Attribute) -> String {
    let mut marks = vec![match attribute.kind() {
        Kind::Plain(ty) => type_name(ty),
        Kind::Nested(nesting, _) => match nesting {
            Nesting::Single => "Attributes",
            Nesting::List => "Attributes List",
            Nesting::Set => "Attributes Set",
            Nesting::Map => "Attributes Map",
        }
        .to_owned(),
    }];
    if attribute.is_sensitive() {
        marks.push("Sensitive".to_owned());
    }
    if attribute.is_write_only() {
        marks.push(WRITE_ONLY.to_owned());
    }
    if attribute.deprecation().is_some() {
        marks.push("Deprecated".to_owned());
    }
    marks.join(", ")
}

/// What is said of an attribute: its description, and what its schema knows beyond that.
fn sentences(object: &Object, name: &str, attribute: &Attribute) -> String {
    // A list item is one paragraph.
    let description = attribute.description().replace("\n\n", " ").replace('\n', " ");
    let mut all = vec![];
    if !description.is_empty() {
        all.push(description.clone());
    }
    for validator in attribute.validators() {
        let sentence = match validator {
            Validator::OneOf(values) if !values.iter().all(|value| description.contains(value.as_str())) => {
                format!("One of {}.", code(values))
            }
            Validator::Between { min, max } => format!("From {min} to {max}."),
            _ => continue,
        };
        all.push(sentence);
    }
    if let Some(default) = attribute.default_value().and_then(plain) {
        all.push(format!("Default: `{default}`."));
    }
    for rule in object.rules() {
        // What the description says already is not said twice.
        if let Rule::RequiredWith(first, others) = rule
            && first.to_string() == name
            && !others
                .iter()
                .all(|other| description.contains(&format!("`{other}`")))
        {
            all.push(format!("Needs {}.", code(others)));
        }
    }
    if attribute.replaces() {
        all.push("A change replaces the resource.".to_owned());
    }
    if let Some(instead) = attribute.deprecation() {
        all.push(format!("Deprecated: {instead}"));
    }
    all.join(" ")
}

/// The rules that are of no single attribute.
fn rules(object: &Object) -> String {
    let sentences = object.rules().iter().filter_map(|rule| match rule {
        Rule::ExactlyOneOf(paths) => Some(format!("Exactly one of {}.", code(paths))),
        Rule::AtMostOneOf(paths) => Some(format!("At most one of {}.", code(paths))),
        Rule::AtLeastOneOf(paths) => Some(format!("At least one of {}.", code(paths))),
        Rule::ConflictsWith(first, others) => Some(format!("Not `{first}` together with {}.", code(others))),
        Rule::RequiredWith(..) => None,
    });
    let list: String = sentences.map(|sentence| format!("- {sentence}\n")).collect();
    if list.is_empty() {
        list
    } else {
        format!("\n{list}")
    }
}

fn code<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.to_string()))
        .collect();
    names.join(", ")
}

/// A default as one writes it in a configuration; nothing for those that are not one word.
fn plain(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(flag) = value.as_bool() {
        return Some(flag.to_string());
    }
    value.as_number().map(ToString::to_string)
}

/// A type in words.
pub(crate) fn type_name(ty: &Type) -> String {
    match ty {
        Type::Dynamic => "Dynamic".to_owned(),
        Type::Bool => "Boolean".to_owned(),
        Type::Number => "Number".to_owned(),
        Type::String => "String".to_owned(),
        Type::List(element) => format!("List of {}", type_name(element)),
        Type::Set(element) => format!("Set of {}", type_name(element)),
        Type::Map(element) => format!("Map of {}", type_name(element)),
        Type::Tuple(_) => "Tuple".to_owned(),
        Type::Object(attributes) => {
            let inner: Vec<String> = attributes
                .iter()
                .map(|(name, ty)| format!("`{name}` {}", type_name(ty)))
                .collect();
            format!("Object of {}", inner.join(", "))
        }
    }
}

/// The section on a resource's identity.
pub(crate) fn identity(schema: &IdentitySchema) -> String {
    let mut text = String::from("### Identity Schema\n");
    for (title, required) in [("Required", true), ("Optional", false)] {
        let list: String = schema
            .attributes()
            .iter()
            .filter(|(_, attribute)| attribute.required == required)
            .map(|(name, attribute)| {
                format!(
                    "- `{name}` ({}) {}\n",
                    type_name(&attribute.ty),
                    attribute.description
                )
            })
            .collect();
        if !list.is_empty() {
            text.push_str(&format!("\n#### {title}\n\n{list}"));
        }
    }
    text
}

/// The sections on a function's call.
pub(crate) fn function(name: &str, signature: &Signature) -> String {
    let argument = |parameter: &Parameter| {
        let description = parameter.description();
        let null = if parameter.allows_null() { ", Nullable" } else { "" };
        format!(
            "`{}` ({}{null}) {description}",
            parameter.name(),
            type_name(parameter.ty())
        )
    };
    let mut names: Vec<String> = signature
        .parameters()
        .iter()
        .map(|parameter| {
            format!(
                "{} {}",
                parameter.name(),
                type_name(parameter.ty()).to_lowercase()
            )
        })
        .collect();
    let mut list = String::new();
    for (position, parameter) in signature.parameters().iter().enumerate() {
        list.push_str(&format!("{}. {}\n", position + 1, argument(parameter)));
    }
    if let Some(parameter) = signature.variadic_parameter() {
        names.push(format!(
            "{} {}...",
            parameter.name(),
            type_name(parameter.ty()).to_lowercase()
        ));
        list.push_str(&format!(
            "{}. (Variadic) {}\n",
            signature.parameters().len() + 1,
            argument(parameter)
        ));
    }
    let mut text = format!(
        "## Signature\n\n```text\n{name}({}) {}\n```\n",
        names.join(", "),
        type_name(signature.returns()).to_lowercase()
    );
    if !list.is_empty() {
        text.push_str(&format!("\n## Arguments\n\n{list}"));
    }
    text
}
