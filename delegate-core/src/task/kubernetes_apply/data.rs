//! The data of the kind, and what its shape cannot tell.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::steps::Step;
use crate::Secret;
use crate::task::cluster::Cluster;
use crate::task::{Span, TaskData, TaskError, workspace};

/// How long it is waited where nothing is said: images are pulled in this time, mostly.
const WAIT: Duration = Duration::from_mins(10);

/// Longest name of a set of manifests: with what stands before it, it names a Secret.
const MAX_NAME: usize = 63;

/// So many files and folders are named in one task.
const MAX_PATHS: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// What these manifests are called from task to task: `prune` and `rollback` are about what was applied under this name in
    /// this namespace. Lower-case letters, digits and hyphens.
    pub(super) name: String,
    /// The manifests.
    pub(super) manifests: Manifests,
    /// Namespace of objects that name none. Default: `default`.
    namespace: Option<String>,
    /// The cluster.
    #[serde(default)]
    pub(super) cluster: Cluster,
    /// Whether to let the API server check everything and change nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// Whether to remove what earlier tasks of this name applied and these manifests do not have.
    #[serde(default)]
    pub(super) prune: bool,
    /// Whether to take over fields that others own. Without, they are named and the task fails.
    #[serde(default)]
    pub(super) force_conflicts: bool,
    /// How long to wait until everything is rolled out; `0s` does not wait. Default: `10m`. The task needs more time than this.
    wait: Option<Span>,
    /// What to do when it cannot be applied, or is not rolled out in time.
    #[serde(default)]
    pub(super) on_failure: OnFailure,
    /// A step of a deployment that goes ahead bit by bit, from the same manifests; without, they are applied as they are.
    pub(super) step: Option<Step>,
}

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Manifests {
    /// Text of the data itself.
    Inline(Inline),
    /// Files, or folders with `.yaml`, `.yml` and `.json` files, at any depth.
    Files(Files),
    /// What `kubectl kustomize` makes of a folder.
    Kustomize(Kustomize),
}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Inline {
    /// YAML with `---` between objects, or JSON.
    pub(super) text: String,
}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    /// Paths: relative to the delegate's workspace, or absolute.
    pub(super) paths: Vec<String>,
}

// Its description is that of the form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kustomize {
    /// Path: relative to the delegate's workspace, or absolute.
    pub(super) folder: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnFailure {
    /// Leave it as it is, to be looked at.
    #[default]
    Keep,
    /// Apply what was good last under this name, and remove what is new; of a step, remove its Deployments.
    Rollback,
}

impl Data {
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    pub(super) fn patience(&self) -> Duration {
        self.wait.map_or(WAIT, |Span(wait)| wait)
    }
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.cluster.secrets().collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        let wrong = |field: &str, problem: &str| Err(TaskError::data(field, problem));
        if !is_label(&self.name) {
            return wrong(
                "name",
                "must be lower-case letters, digits and hyphens, at most 63, with no hyphen at an end",
            );
        }
        if !is_label(self.namespace()) {
            return wrong(
                "namespace",
                "is no name of a namespace; use lower-case letters, digits and hyphens",
            );
        }
        match &self.manifests {
            Manifests::Inline(Inline { text }) if text.trim().is_empty() => {
                return wrong("manifests.inline.text", "is empty");
            }
            Manifests::Inline(_) => {}
            Manifests::Files(Files { paths }) => {
                if paths.is_empty() {
                    return wrong(
                        "manifests.files.paths",
                        "is empty; name at least one file or folder",
                    );
                }
                if paths.len() > MAX_PATHS {
                    return wrong("manifests.files.paths", "has more than 100 paths; name a folder");
                }
                for (at, path) in paths.iter().enumerate() {
                    check_path(&format!("manifests.files.paths[{at}]"), path)?;
                }
            }
            Manifests::Kustomize(Kustomize { folder }) => check_path("manifests.kustomize.folder", folder)?,
        }
        if let Some(step) = &self.step {
            if self.prune {
                return wrong(
                    "prune",
                    "goes with no step, which applies only a part; leave one of the two out",
                );
            }
            step.check()?;
        }
        self.cluster.check("cluster")
    }
}

fn check_path(field: &str, path: &str) -> Result<(), TaskError> {
    workspace::read(field, path).map(drop)
}

fn is_label(text: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= MAX_NAME
        && end(bytes.first())
        && end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}
