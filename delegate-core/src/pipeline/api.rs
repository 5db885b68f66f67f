//! Messages of `/api/v1/pipelines`: shared by the manager that answers and the command line that asks.
//!
//! In the manner of `protocol::api`: names are snake case, times RFC 3339 in UTC, requests refuse unknown fields, and replies
//! may grow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::run::{Decision, NodeView, Outcome};

/// Body of `POST /pipelines`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// The pipeline file, YAML.
    pub file: String,
    /// Values of variables that ask for one: `NAME`, or `STAGE.NAME` for a variable of a stage.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Makes the call safe to repeat: a run that was started with the same key is given back, and no other is started,
    /// whatever else the call says. 1 to 128 characters, good for as long as the run is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A run as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Identity of the run.
    pub id: String,
    /// Identifier of the pipeline.
    pub pipeline: String,
    /// Name of the pipeline.
    pub name: String,
    /// `RUNNING`, or how it ended.
    pub status: String,
    /// When it started.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
}

/// Reply of `GET /pipelines`: newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPage {
    /// The runs of this page.
    pub runs: Vec<RunSummary>,
    /// Give it as `cursor` to get the next page; absent on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// Reply of `GET /pipelines/{id}`, and of everything that is done to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// The run.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Give it as `after` to wait for the next change.
    pub cursor: String,
    /// Stages and steps.
    pub tree: NodeView,
}

/// Body of `POST /pipelines/{id}/abort`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbortRun {
    /// Who aborts it.
    #[serde(default)]
    pub by: Option<String>,
}

/// Body of `POST /pipelines/{id}/steps/{step}/approve` and `…/reject`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Who answers. Each counts once.
    #[serde(default)]
    pub by: Option<String>,
    /// Why.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Body of `POST /pipelines/{id}/steps/{step}/decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// What is to follow the failure.
    pub decision: Decision,
    /// Who decides.
    #[serde(default)]
    pub by: Option<String>,
}

impl RunView {
    /// How the run ended, when it did.
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::parse(&self.summary.status)
    }
}
