//! A run as people and programs look at it: a tree of stages and steps, with names, states and times.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::{Doing, NodeId, Outcome, Status};
use super::{Millis, Run, TaskRef};
use crate::pipeline::plan::{Body, Level};

/// What the rollback of a stage is called, as in a file.
const ROLLBACK: &str = "rollbackSteps";

/// A node and what is in it. Parallel branches have no name, and so are no level of it: what is in them stands where they
/// do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Which node it is: for answers and decisions.
    pub node: NodeId,
    /// Where it is: `build.tests.unit_0`. Empty for the run itself.
    pub path: String,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub level: Level,
    /// `PENDING`, `RUNNING`, or how it ended.
    pub status: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How often it was begun.
    pub attempts: u32,
    /// Why it ended as it did, or what went wrong last.
    pub message: Option<String>,
    /// Task kind of a step that is a task.
    pub kind: Option<String>,
    /// The task of its last attempt that became one.
    pub task_id: Option<String>,
    /// Name of the delegate that runs that task, or ran it.
    pub delegate: Option<String>,
    /// What keeps delegates from taking that task, while none can.
    pub waiting_for: Option<String>,
    /// What is waited for from people.
    pub asked: Option<Asked>,
    /// Output variables.
    pub outputs: BTreeMap<String, String>,
    /// What is in it, in order.
    pub children: Vec<NodeView>,
}

/// What is waited for from people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Approvals.
    Approval {
        /// What they are asked.
        question: String,
        /// How many.
        needed: usize,
        /// Who said yes already.
        given: Vec<String>,
    },
    /// A decision about a failure.
    Decision,
}

impl Run {
    /// The whole run. `task_id` tells what the task of an attempt is called by whoever runs tasks.
    pub fn view(&self, task_id: &dyn Fn(TaskRef) -> String) -> NodeView {
        self.view_of(0, task_id)
    }

    fn view_of(&self, id: NodeId, task_id: &dyn Fn(TaskRef) -> String) -> NodeView {
        let node = &self.state.nodes[id];
        let element = self.element(id);
        let asked = match &node.status {
            Status::Running(Doing::Approval { by }) => Some(Asked::Approval {
                question: self.approval(id).map(|asked| asked.message).unwrap_or_default(),
                needed: self.approvers(id),
                given: by.clone(),
            }),
            Status::Running(Doing::Intervention { .. }) => Some(Asked::Decision),
            _ => None,
        };
        NodeView {
            node: id,
            path: match element.level {
                // What is in it is found without it, as expressions find it.
                Level::Rollback => format!("{}.{ROLLBACK}", self.path(id)),
                _ => self.path(id),
            },
            name: match element.level {
                Level::Rollback => ROLLBACK.to_owned(),
                _ if node.iteration.is_some() => self.key(id),
                _ => element.name.clone(),
            },
            level: element.level,
            status: node.status_name().to_owned(),
            started_at: node.started_at.map(shown),
            ended_at: node.ended_at.map(shown),
            attempts: node.attempts,
            message: node.message.clone(),
            kind: match &element.body {
                Body::Task(task) => Some(task.kind.clone()),
                _ => None,
            },
            task_id: node
                .submitted
                .map(|attempt| task_id(TaskRef { node: id, attempt })),
            delegate: node.delegate.clone(),
            waiting_for: None,
            asked,
            outputs: node.outputs.clone(),
            children: self.shown_in(id, task_id),
        }
    }

    fn shown_in(&self, id: NodeId, task_id: &dyn Fn(TaskRef) -> String) -> Vec<NodeView> {
        let children = self.state.nodes[id].children.iter();
        children
            .flat_map(|child| {
                if self.element(*child).level == Level::Parallel {
                    self.shown_in(*child, task_id)
                } else {
                    vec![self.view_of(*child, task_id)]
                }
            })
            .collect()
    }
}

impl NodeView {
    /// How long it took, or has taken until now, in seconds.
    #[allow(clippy::cast_precision_loss, reason = "times are far below 2^53 milliseconds")]
    pub fn seconds(&self, now: Millis) -> f64 {
        let or_now = |at: Option<Timestamp>| at.map_or(now, Timestamp::as_millisecond);
        (or_now(self.ended_at) - or_now(self.started_at)).max(0) as f64 / 1000.0
    }

    /// Whether it failed, and what it is part of by it.
    pub fn is_failure(&self) -> bool {
        [
            Outcome::Failed,
            Outcome::TimedOut,
            Outcome::Rejected,
            Outcome::Aborted,
        ]
        .iter()
        .any(|outcome| outcome.as_str() == self.status)
    }

    /// The steps in it, in order; iterations each on their own. A stage or a group that was not begun stands for its own.
    pub fn steps(&self) -> Vec<&NodeView> {
        if self.children.is_empty() {
            return vec![self];
        }
        self.children.iter().flat_map(Self::steps).collect()
    }
}

/// A time as programs read it.
fn shown(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or_default()
}
