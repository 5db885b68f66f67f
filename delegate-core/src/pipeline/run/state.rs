//! What is known of a run: a tree of nodes, in one list. Plain data, kept as it is.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Millis;
use crate::pipeline::expression::Value;
use crate::pipeline::plan::{ElementId, Errors};

/// Place of a node in [`State::nodes`].
pub type NodeId = usize;

/// Everything that is known of a run, but for its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Identity of the run.
    pub id: String,
    /// Values that were asked for.
    pub inputs: BTreeMap<String, Value>,
    /// When it started.
    pub started_at: Millis,
    /// The nodes; the first is the run itself, and parents come before their children.
    pub nodes: Vec<Node>,
}

/// An element in a run; or, where its strategy makes several of it, all of them together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub element: ElementId,
    /// What it is part of; nothing for the run itself.
    pub parent: Option<NodeId>,
    /// Which one it is of those that a strategy makes. A node of an element with a strategy and without this is what holds
    /// them together.
    pub iteration: Option<Iteration>,
    /// What is in it, in order.
    pub children: Vec<NodeId>,
    /// Where it is in its life.
    pub status: Status,
    /// When it began.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub ended_at: Option<Millis>,
    /// When something is to happen by time alone.
    pub deadline: Option<Millis>,
    /// Why it ended as it did, or what went wrong last.
    pub message: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// Which of these became a task last: one whose data has no value does not.
    pub submitted: Option<u32>,
    /// How often of these by a strategy for failures.
    pub retries: u32,
    /// Values of its variables.
    pub variables: IndexMap<String, Value>,
    /// Name of the delegate that ran its last task.
    pub delegate: Option<String>,
    /// Output variables, by the names that the pipeline has for them.
    pub outputs: BTreeMap<String, String>,
    /// Other fields of the task's result.
    pub fields: serde_json::Map<String, Json>,
    /// Whether a step in it failed, for the pipeline, stages and rollbacks: later ones ask.
    pub failed: bool,
    /// Everything in it is to end, as this.
    pub stop: Option<Outcome>,
    /// Nothing new begins in this stage, and its rollback follows.
    pub rolling_back: bool,
}

/// Where a node is in its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun.
    Pending,
    /// Begun, and doing this.
    Running(Doing),
    /// Over.
    Ended(Outcome),
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Waits for what is in it.
    Children,
    /// Waits for a task.
    Task {
        /// It was told to end, and then ends as this.
        cancelled: Option<Outcome>,
    },
    /// Waits for people.
    Approval {
        /// Who said yes.
        by: Vec<String>,
    },
    /// Waits for its deadline.
    Waiting,
    /// Is begun again at its deadline.
    Retrying {
        /// What went wrong.
        fault: Fault,
    },
    /// Waits for somebody's decision.
    Intervention {
        /// What went wrong.
        fault: Fault,
    },
}

/// How a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// Not well.
    Failed,
    /// Not well, and that does not matter.
    IgnoreFailed,
    /// Out of time.
    TimedOut,
    /// Somebody said no.
    Rejected,
    /// Ended by somebody.
    Aborted,
    /// Not begun.
    Skipped,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Failed,
        Self::IgnoreFailed,
        Self::TimedOut,
        Self::Rejected,
        Self::Aborted,
        Self::Skipped,
    ];

    /// The outcome of a name, as expressions and reports have it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// The name that expressions and reports have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::IgnoreFailed => "IGNORE_FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Rejected => "REJECTED",
            Self::Aborted => "ABORTED",
            Self::Skipped => "SKIPPED",
        }
    }

    /// Whether what it is part of failed by it.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::TimedOut | Self::Rejected | Self::Aborted
        )
    }
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of failure it is.
    pub errors: Errors,
    /// How the step ends when nothing else follows.
    pub outcome: Outcome,
    /// What is said of it.
    pub message: String,
}

/// One of those that a strategy makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Which one, from 0.
    pub index: u32,
    /// Of how many.
    pub of: u32,
    /// Values of the axes of a matrix.
    pub axes: IndexMap<String, Value>,
    /// The item of a repetition.
    pub item: Option<Value>,
}

impl Node {
    /// How it ended, when it did.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.status {
            Status::Ended(outcome) => Some(outcome),
            Status::Pending | Status::Running(_) => None,
        }
    }

    /// The name of its status, for expressions and reports.
    pub fn status_name(&self) -> &'static str {
        match &self.status {
            Status::Pending => "PENDING",
            Status::Running(_) => "RUNNING",
            Status::Ended(outcome) => outcome.as_str(),
        }
    }
}
