//! What a task asks for.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Secret;
use crate::task::cluster::Cluster;
use crate::task::helm::source::Source;
use crate::task::{Span, TaskData, TaskError, workspace};

/// Longest name of a release: helm's own bound.
const MAX_RELEASE: usize = 53;

/// Longest name of a namespace.
const MAX_NAMESPACE: usize = 63;

/// How long a release may take to be ready, where nothing is said: helm's own.
const TIMEOUT: Duration = Duration::from_mins(5);

/// How long another operation is left alone before it counts as one that died: twice the time above.
const PENDING: Duration = Duration::from_mins(10);

/// How many revisions are kept, where nothing is said: helm's own.
const HISTORY: u16 = 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::task::helm) struct Data {
    /// `deploy` installs or upgrades, `rollback` goes back to a revision, `uninstall` removes the release.
    #[serde(default)]
    pub(super) command: Action,
    /// Name of the release.
    pub(super) release: String,
    /// Its namespace. Default: `default`.
    namespace: Option<String>,
    /// Whether to make the namespace when it is missing.
    #[serde(default)]
    pub(super) create_namespace: bool,
    /// The cluster.
    #[serde(default)]
    pub(super) cluster: Cluster,
    /// The chart; needed to deploy.
    pub(super) chart: Option<Source>,
    /// Values of the chart. They count before those of files.
    #[serde(default)]
    pub(super) values: Map<String, Value>,
    /// Files of values: relative to the delegate's workspace, or absolute. A later one counts.
    #[serde(default)]
    pub(super) value_files: Vec<String>,
    /// Secret values, by their paths, such as `database.password`. They count before all others.
    #[serde(default)]
    secret_values: BTreeMap<String, Secret>,
    /// Whether to wait until everything is ready. Default: true.
    pub(super) wait: Option<bool>,
    /// How long each operation of helm may take. Default: `5m`, which a rollback gets in any case.
    timeout: Option<Span>,
    /// After a failed deployment: `rollback` brings the last good revision back, or removes what has none; `keep` leaves it. Default:
    /// `rollback`.
    on_failure: Option<OnFailure>,
    /// How many revisions are kept. Default: 10.
    max_history: Option<NonZeroU16>,
    /// Of `rollback`: the revision. Default: the last good one before the newest.
    pub(super) revision: Option<NonZeroU32>,
    /// An operation of somebody else that is pending is refused to be disturbed for so long; after that it counts as one that was
    /// killed, and the release is put in order. Default: `10m`.
    pending: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    #[default]
    Deploy,
    Rollback,
    Uninstall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnFailure {
    Rollback,
    Keep,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.secret_values
            .values()
            .cloned()
            .chain(self.cluster.secrets())
            .chain(self.chart.as_ref().and_then(Source::secrets))
            .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        if !is_name(&self.release, MAX_RELEASE) {
            return wrong(
                "release",
                "must be a name of up to 53 lower-case letters, digits and hyphens",
            );
        }
        if !is_name(self.namespace(), MAX_NAMESPACE) {
            return wrong(
                "namespace",
                "must be a name of up to 63 lower-case letters, digits and hyphens",
            );
        }
        self.cluster.check("cluster")?;
        match (&self.chart, self.command) {
            (None, Action::Deploy) => {
                return wrong("chart", "is missing; give a `path`, `oci` or `repository`");
            }
            (Some(_), Action::Rollback | Action::Uninstall) => {
                return wrong("chart", "is for `deploy` only; leave it out");
            }
            (Some(source), Action::Deploy) => source.check("chart")?,
            (None, _) => {}
        }
        let values =
            !self.values.is_empty() || !self.value_files.is_empty() || !self.secret_values.is_empty();
        if values && self.command != Action::Deploy {
            return wrong("values", "are for `deploy` only; leave them out");
        }
        if self.revision.is_some() && self.command != Action::Rollback {
            return wrong("revision", "is for `rollback` only; leave it out");
        }
        for file in &self.value_files {
            workspace::read("value_files", file)?;
        }
        self.check_secret_values()?;
        match self.timeout {
            Some(Span(time)) if time < Duration::from_secs(1) => {
                wrong("timeout", "must be a second at least")
            }
            _ => Ok(()),
        }
    }
}

impl Data {
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout.map_or(TIMEOUT, |span| span.0)
    }

    /// Going back is what must not fail for want of time.
    pub(super) fn rollback_timeout(&self) -> Duration {
        self.timeout().max(TIMEOUT)
    }

    pub(super) fn pending(&self) -> Duration {
        self.pending.map_or(PENDING, |span| span.0)
    }

    pub(super) fn max_history(&self) -> u16 {
        self.max_history.map_or(HISTORY, NonZeroU16::get)
    }

    pub(super) fn on_failure(&self) -> OnFailure {
        self.on_failure.unwrap_or(OnFailure::Rollback)
    }

    /// Secret values as a tree.
    pub(super) fn secret_tree(&self) -> Value {
        let mut tree = Value::Object(Map::new());
        for (path, value) in &self.secret_values {
            let mut at = &mut tree;
            for part in path.split('.') {
                at = &mut at[part];
            }
            *at = value.expose().into();
        }
        tree
    }

    fn check_secret_values(&self) -> Result<(), TaskError> {
        let paths: Vec<&String> = self.secret_values.keys().collect();
        for (at, path) in paths.iter().enumerate() {
            if path.split('.').any(str::is_empty) || path.contains(['[', ']']) {
                return wrong(
                    "secret_values",
                    "has a path that is none; give names with dots between them, without lists",
                );
            }
            let below = format!("{path}.");
            if paths[at + 1..].iter().any(|other| other.starts_with(&below)) {
                return wrong("secret_values", "has a path that leads through another one");
            }
        }
        Ok(())
    }
}

fn wrong(field: &str, problem: &str) -> Result<(), TaskError> {
    Err(TaskError::data(field, problem))
}

/// What Kubernetes takes as a name.
fn is_name(name: &str, longest: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= longest
        && name.bytes().all(fits)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
