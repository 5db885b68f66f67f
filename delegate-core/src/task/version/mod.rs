//! `VERSION`: says which version comes next.
//!
//! `source` finds the versions there are, in the data, in the tags of a git repository or in a file; `semantic` and
//! `pattern` know a scheme each and say what follows, without looking at anything else; `record` writes it to a file or
//! makes a tag, when the data asks for that. Nothing is written otherwise.
//!
//! What git, a file or the versions themselves say no to is a `FAILURE` of the task, with what was done by then.

mod commits;
mod data;
mod git;
mod pattern;
mod record;
mod semantic;
mod source;

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::protocol::wire::CommandStatus;
use data::{Bump, Data, Scheme};
use git::Folder;
use source::Found;

/// The kind `VERSION`.
pub struct NextVersion;

#[derive(Serialize, JsonSchema)]
struct Fields {
    /// The next version, without the prefix. One that is there already when nothing calls for another.
    version: String,
    /// The greatest version that was found; null when there was none.
    previous: Option<String>,
    /// Whether it is none of those that were found.
    is_new: bool,
    /// What it consists of: `major`, `minor`, `patch`, `prerelease` and `build`, or the parts of the format.
    parts: BTreeMap<String, String>,
    /// The tag that the repository has for it; null without `tag`.
    tag: Option<String>,
}

/// What a scheme says.
#[derive(Debug, PartialEq)]
struct Next {
    version: String,
    previous: Option<String>,
    is_new: bool,
    parts: BTreeMap<String, String>,
}

/// Why there is no version, or not all that was to be done with it.
enum Ended {
    /// The task says no.
    Task(TaskOutput),
    /// The delegate cannot.
    Delegate(TaskError),
}

impl From<TaskError> for Ended {
    fn from(error: TaskError) -> Self {
        Self::Delegate(error)
    }
}

impl Ended {
    fn failure(reason: impl Into<String>) -> Self {
        Self::Task(TaskOutput::not(CommandStatus::Failure, reason))
    }
}

#[async_trait]
impl TaskKind for NextVersion {
    fn type_name(&self) -> &'static str {
        "VERSION"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Says which version comes next: from a value, the tags of a git repository or a file; semantic, by calendar, or by a \
             format.",
            "Safe: it only reads, and says the same until something changes. With `write` the file gets the next version each time. \
             With `tag` a commit that has a version's tag keeps it, and no other is made.",
            json!({
                "from": {"tags": {"repository": "https://git.example.com/shop.git"}},
                "prefix": "v",
                "scheme": {"semantic": {"bump": "minor", "prerelease": "rc"}},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let data: Data = context.data()?;
        match next(&context, &data).await {
            Ok(output) | Err(Ended::Task(output)) => Ok(output),
            Err(Ended::Delegate(error)) => Err(error),
        }
    }
}

async fn next(context: &TaskContext, data: &Data) -> Result<TaskOutput, Ended> {
    if data.touches_files() && context.confinement.user.is_some() {
        return Err(TaskError::Refused(
            "tasks run as a user of their own here (DELEGATE_TASK_USER), and the delegate does not read or write files in that \
             user's place; use SHELL_SCRIPT for the file"
                .to_owned(),
        )
        .into());
    }
    let found = source::find(context, data).await?;
    let folder = data.folder().map(|path| Folder::new(context, path));
    let here = match &folder {
        Some(folder) if data.tag == Some(true) => tagged_here(folder, data).await?,
        _ => None,
    };
    let keeps = here.is_some();
    let next = match here {
        Some(next) => next,
        None => following(folder.as_ref(), data, &found).await?,
    };
    let said = match &next.previous {
        Some(previous) => format!("the next version is {}, after {previous}", next.version),
        None => format!("the next version is {}, the first one", next.version),
    };
    context.log.line(Level::Info, &said).await;
    let tag = record::record(context, data, &found, folder.as_ref(), &next, keeps).await?;
    let mut vars = BTreeMap::from([("VERSION".to_owned(), next.version.clone())]);
    vars.extend(
        next.previous
            .clone()
            .map(|previous| ("PREVIOUS_VERSION".to_owned(), previous)),
    );
    for (part, value) in &next.parts {
        vars.insert(format!("VERSION_{}", part.to_uppercase()), value.clone());
    }
    let fields = Fields {
        is_new: next.is_new,
        version: next.version,
        previous: next.previous,
        parts: next.parts,
        tag,
    };
    Ok(TaskOutput::success().with_fields(&fields).with_vars(vars))
}

/// The version that the checked-out commit has a tag of already.
async fn tagged_here(folder: &Folder<'_>, data: &Data) -> Result<Option<Next>, Ended> {
    let tags = folder.tags_of_head().await?;
    let versions = source::without_prefix(tags, data.prefix());
    Ok(match &data.scheme {
        Scheme::Semantic(_) => semantic::kept(&semantic::known(&versions)),
        Scheme::Calendar(calendar) => calendar.pattern()?.kept(&versions),
        Scheme::Template(template) => template.pattern()?.kept(&versions),
    })
}

/// What follows the versions there are, by the scheme.
async fn following(folder: Option<&Folder<'_>>, data: &Data, found: &Found) -> Result<Next, Ended> {
    match &data.scheme {
        Scheme::Semantic(rules) => {
            let known = semantic::known(&found.versions);
            if found.is_single && known.is_empty() && !found.versions.is_empty() {
                return Err(Ended::failure(format!(
                    "what {} has is not a semantic version such as 1.2.3",
                    found.from
                )));
            }
            let level = match (rules.bump.unwrap_or(Bump::Patch), folder) {
                (Bump::Commits, Some(folder)) => {
                    let last = semantic::last_release(&known);
                    let last = last.map(|version| format!("{}{version}", data.prefix()));
                    commits::level(&folder.messages_since(last.as_deref()).await?)
                }
                (bump, _) => bump.level(),
            };
            semantic::next(&known, rules, level).map_err(Ended::failure)
        }
        Scheme::Calendar(calendar) => calendar
            .pattern()?
            .next(&found.versions, 0)
            .map_err(Ended::failure),
        Scheme::Template(template) => {
            let start = template.start.unwrap_or(1);
            template
                .pattern()?
                .next(&found.versions, start)
                .map_err(Ended::failure)
        }
    }
}
