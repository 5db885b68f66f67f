//! Task definitions: which one a service is to run.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::aws::{Aws, ECS};
use crate::task::TaskError;
use crate::task::halt::Halt;

/// What ECS adds to a task definition, and does not take when one is registered.
const ADDED: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "tags",
];

/// Which task definition.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Wanted {
    /// What the service runs now, changed. Nothing is registered where that makes no difference.
    Change(Change),
    /// A whole one, as ECS's `RegisterTaskDefinition` takes it; a revision is registered each time.
    Register(Map<String, Value>),
    /// One that is there: `FAMILY`, `FAMILY:REVISION` or an ARN.
    Existing(String),
}

/// Changes by the names of containers, which must be there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Images by containers.
    images: Option<BTreeMap<String, String>>,
    /// Environment variables by containers; others stay.
    environment: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

/// A task definition that is registered.
pub(super) struct Definition {
    pub(super) arn: String,
    /// By us, now.
    pub(super) is_new: bool,
}

const FIELD: &str = "task_definition";

impl Wanted {
    pub(super) fn check(&self) -> Result<(), TaskError> {
        match self {
            Self::Change(change) => change.check(),
            Self::Register(whole) => check_whole(whole),
            Self::Existing(name) => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:/".contains(&byte);
                if name.is_empty() || !name.bytes().all(fits) {
                    return Err(TaskError::data(
                        format!("{FIELD}.existing"),
                        "is no FAMILY, FAMILY:REVISION or ARN of a task definition",
                    ));
                }
                Ok(())
            }
        }
    }

    /// Makes it. `current`: what the service runs, where there is one.
    pub(super) async fn make(&self, aws: &Aws, current: Option<&str>) -> Result<Definition, Halt> {
        match self {
            Self::Existing(name) => {
                let (found, _) = describe(aws, name).await?;
                Ok(Definition {
                    arn: arn(&Value::Object(found))?,
                    is_new: false,
                })
            }
            Self::Register(whole) => register(aws, whole).await,
            Self::Change(change) => {
                let Some(current) = current else {
                    return Err(Halt::failed(
                        "there is no service whose task definition could be changed; give a whole one in `task_definition.register`",
                    ));
                };
                let (found, tags) = describe(aws, current).await?;
                let mut changed = found.clone();
                change.apply(&mut changed)?;
                if changed == found {
                    return Ok(Definition {
                        arn: arn(&Value::Object(found))?,
                        is_new: false,
                    });
                }
                changed.retain(|name, value| !ADDED.contains(&&**name) && !value.is_null());
                if tags.as_array().is_some_and(|tags| !tags.is_empty()) {
                    changed.insert("tags".to_owned(), tags);
                }
                register(aws, &changed).await
            }
        }
    }
}

impl Change {
    fn check(&self) -> Result<(), TaskError> {
        let images = self.images.iter().flatten();
        let environment = self.environment.iter().flatten();
        if images.clone().next().is_none() && environment.clone().next().is_none() {
            return Err(TaskError::data(
                format!("{FIELD}.change"),
                "changes nothing; give `images` or `environment`, or use ECS_RESTART",
            ));
        }
        for (container, image) in images {
            if image.is_empty() || image.contains(char::is_whitespace) {
                return Err(TaskError::data(
                    format!("{FIELD}.change.images.{container}"),
                    "is no name of an image",
                ));
            }
        }
        for (container, variables) in environment {
            if let Some(name) = variables
                .keys()
                .find(|name| name.is_empty() || name.contains('='))
            {
                return Err(TaskError::data(
                    format!("{FIELD}.change.environment.{container}"),
                    format!("{name:?} is no name of a variable"),
                ));
            }
        }
        Ok(())
    }

    fn apply(&self, definition: &mut Map<String, Value>) -> Result<(), Halt> {
        let Some(Value::Array(containers)) = definition.get_mut("containerDefinitions") else {
            return Err(Halt::failed("the service's task definition has no containers"));
        };
        let there: BTreeSet<String> = containers.iter().filter_map(name_of).collect();
        let images = self.images.iter().flatten().map(|(name, _)| name);
        let environment = self.environment.iter().flatten().map(|(name, _)| name);
        if let Some(missing) = images.chain(environment).find(|name| !there.contains(*name)) {
            let there: Vec<_> = there.into_iter().collect();
            return Err(Halt::failed(format!(
                "the service's task definition has no container `{missing}`; it has {}",
                there.join(", ")
            )));
        }
        for container in containers {
            let Some(name) = name_of(container) else { continue };
            if let Some(image) = self.images.iter().flatten().find(|(wanted, _)| **wanted == name) {
                container["image"] = json!(image.1);
            }
            let variables = self
                .environment
                .iter()
                .flatten()
                .find(|(wanted, _)| **wanted == name);
            for (name, value) in variables.into_iter().flat_map(|(_, variables)| variables) {
                set_variable(container, name, value);
            }
        }
        Ok(())
    }
}

fn set_variable(container: &mut Value, name: &str, value: &str) {
    if !container["environment"].is_array() {
        container["environment"] = json!([]);
    }
    let Some(all) = container["environment"].as_array_mut() else {
        return;
    };
    match all.iter_mut().find(|variable| variable["name"] == name) {
        Some(variable) => variable["value"] = json!(value),
        None => all.push(json!({"name": name, "value": value})),
    }
}

fn name_of(container: &Value) -> Option<String> {
    container["name"].as_str().map(str::to_owned)
}

/// What ECS refuses in any case, found before anything is done.
fn check_whole(whole: &Map<String, Value>) -> Result<(), TaskError> {
    let wrong = |name: &str, problem: &str| Err(TaskError::data(format!("{FIELD}.register.{name}"), problem));
    let is_text = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if !is_text(whole.get("family")) {
        return wrong("family", "is missing, or is no text");
    }
    let containers = whole.get("containerDefinitions").and_then(Value::as_array);
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        return wrong("containerDefinitions", "is missing, or is no list of containers");
    };
    for (at, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if !is_text(container.get(field)) {
                return wrong(
                    &format!("containerDefinitions[{at}].{field}"),
                    "is missing, or is no text",
                );
            }
        }
    }
    if let Some(added) = ADDED
        .iter()
        .find(|name| **name != "tags" && whole.contains_key(**name))
    {
        return wrong(added, "is set by ECS; leave it out");
    }
    Ok(())
}

async fn describe(aws: &Aws, name: &str) -> Result<(Map<String, Value>, Value), Halt> {
    let asked = json!({"taskDefinition": name, "include": ["TAGS"]});
    let mut reply = aws.json(&ECS, "DescribeTaskDefinition", &asked).await?;
    match reply["taskDefinition"].take() {
        Value::Object(definition) => Ok((definition, reply["tags"].take())),
        _ => Err(Halt::failed(format!("ECS describes no task definition {name}"))),
    }
}

async fn register(aws: &Aws, whole: &Map<String, Value>) -> Result<Definition, Halt> {
    let whole = Value::Object(whole.clone());
    let reply = aws.json(&ECS, "RegisterTaskDefinition", &whole).await?;
    Ok(Definition {
        arn: arn(&reply["taskDefinition"])?,
        is_new: true,
    })
}

fn arn(definition: &Value) -> Result<String, Halt> {
    let arn = definition["taskDefinitionArn"].as_str();
    arn.map(str::to_owned)
        .ok_or_else(|| Halt::failed("ECS names no ARN of the task definition"))
}
