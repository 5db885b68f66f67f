//! A run of a pipeline: a state machine without clock and without I/O.
//!
//! ```text
//!   Event ──► apply ──► begin     what starts, and whether at all
//!               │   ├─► end       what an end leads to: retries, rollback, the next one
//!               │   └─► scope     what expressions mean in the middle of it
//!               ▼
//!            Effects              commands for whoever runs tasks and asks people; nodes that changed
//! ```
//!
//! [`Run`] is a plan and a [`State`]. The state is plain data; kept with the commands of an event in one transaction, it
//! survives a kill at any moment: [`Run::restore`] takes it back, and [`Run::outstanding`] says again what is to be done.
//! Commands name a task by its node and attempt, so that doing one twice can be told from doing two.
//!
//! Every node ends exactly once, whatever comes in whatever order: an event that does not fit is refused and changes
//! nothing. The run ends when every task that it submitted has ended and everybody who was asked has answered or is not
//! asked any more.

mod begin;
mod end;
mod scope;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::expression::Value;
use super::plan::{Errors, Plan};
pub use state::{Doing, Fault, Iteration, Node, NodeId, Outcome, State, Status};
pub use view::{Asked, NodeView};

/// Milliseconds since the epoch.
pub type Millis = i64;

/// Most iterations of one strategy.
pub const MAX_ITERATIONS: u32 = 256;

/// Most nodes of one run: a matrix in a matrix grows fast.
pub const MAX_NODES: usize = 20_000;

/// Most that is kept of the result of one task, bytes: output variables and fields, each.
pub const MAX_KEPT_BYTES: usize = 64 * 1024;

/// Lists and maps within each other in a field that is kept: a state is kept as JSON, of which 128 levels are read.
pub const MAX_KEPT_NESTING: usize = 32;

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    plan: Arc<Plan>,
    state: State,
    effects: Effects,
    /// Nodes that are to be looked at again, because something in them changed.
    todo: VecDeque<NodeId>,
}

/// What happens to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A task is over.
    TaskEnded(TaskRef, TaskEnd),
    /// Somebody answers an approval.
    Answered {
        /// The step.
        node: NodeId,
        /// Who.
        by: String,
        /// Yes or no.
        approved: bool,
        /// Why.
        comment: Option<String>,
    },
    /// Somebody decides about a failure.
    Decided {
        /// The step.
        node: NodeId,
        /// Who.
        by: String,
        /// What is to follow.
        decision: Decision,
    },
    /// Somebody ends the run.
    Abort {
        /// Who.
        by: String,
    },
    /// Time has passed: see [`Run::next_deadline`].
    Tick,
}

/// An attempt of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskRef {
    /// The step.
    pub node: NodeId,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// How.
    pub status: TaskStatus,
    /// Name of the delegate that ran it, when one did.
    pub delegate: Option<String>,
    /// What went wrong.
    pub message: Option<String>,
    /// Output variables, by the task's names for them.
    pub output_vars: BTreeMap<String, String>,
    /// The other fields of the result.
    pub fields: serde_json::Map<String, Json>,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Well, or with nothing to do.
    Succeeded,
    /// It said no, or a delegate could not do its part.
    Failed,
    /// It ran out of time.
    TimedOut,
    /// No delegate took it in time.
    Expired,
    /// Somebody ended it.
    Aborted,
}

/// What somebody decides about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Once more.
    Retry,
    /// It does not matter.
    Ignore,
    /// It counts as a success.
    MarkAsSuccess,
    /// It failed.
    MarkAsFailure,
    /// The run ends.
    Abort,
    /// The stage is rolled back.
    StageRollback,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run a task.
    Submit(Submission),
    /// End a task. Its end is awaited all the same.
    Cancel(TaskRef),
    /// Ask somebody.
    Ask(Question),
    /// Nobody needs to answer any more.
    Withdraw(NodeId),
    /// The run is over.
    Finished(Outcome),
}

/// A task to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// For what.
    pub task: TaskRef,
    /// Task kind.
    pub kind: String,
    /// Its data; references to secrets are in it as they were written.
    pub data: Json,
    /// What a delegate must hold.
    pub selectors: Vec<String>,
    /// Bound of the run, and of the wait for a delegate.
    pub timeout_ms: u64,
}

/// Something that people are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The step.
    pub node: NodeId,
    /// What they are asked, or what went wrong.
    pub message: String,
    /// Answers that are needed: so many approvals; none where one decision is.
    pub approvers: Option<u32>,
}

/// What an event leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// What is to be done, in this order.
    pub commands: Vec<Command>,
    /// Nodes that are not as they were, each once, in order.
    pub changed: Vec<NodeId>,
}

/// Why an event was not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such step.
    #[error("there is no such step in the run")]
    Unknown,
    /// That attempt is not, or no longer, under way.
    #[error("that attempt of the step is not under way")]
    NotRunning,
    /// Nobody is asked.
    #[error("nobody is asked that at this step now")]
    NotAsked,
    /// The same person said yes before.
    #[error("that approval was given before; another person has to give the next one")]
    AnsweredBefore,
    /// The run is over.
    #[error("the run is over")]
    Over,
}

/// A state that does not belong to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of the run does not belong to its pipeline; the store was changed from outside")]
pub struct Mismatch;

impl Run {
    /// Starts a run. `inputs` are what [`Plan::inputs`] made of what was given.
    pub fn start(
        plan: Arc<Plan>,
        id: String,
        inputs: BTreeMap<String, Value>,
        now: Millis,
    ) -> (Self, Effects) {
        let mut run = Self {
            plan,
            state: State {
                id,
                inputs,
                started_at: now,
                nodes: Vec::new(),
            },
            effects: Effects::default(),
            todo: VecDeque::new(),
        };
        let root = run.new_node(0, None, None);
        run.begin(now, root);
        let effects = run.settle(now);
        (run, effects)
    }

    /// Takes up a run that was kept.
    pub fn restore(plan: Arc<Plan>, state: State) -> Result<Self, Mismatch> {
        let fits = !state.nodes.is_empty()
            && state.nodes.iter().enumerate().all(|(id, node)| {
                node.element < plan.elements.len()
                    && node.parent.is_none_or(|parent| parent < id)
                    && (node.parent.is_none() == (id == 0))
                    && node
                        .children
                        .iter()
                        .all(|child| (id + 1..state.nodes.len()).contains(child))
            });
        if !fits {
            return Err(Mismatch);
        }
        Ok(Self {
            plan,
            state,
            effects: Effects::default(),
            todo: VecDeque::new(),
        })
    }

    /// What is kept.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How the run ended, when it did.
    pub fn outcome(&self) -> Option<Outcome> {
        self.state.nodes.first().and_then(Node::outcome)
    }

    /// When [`Event::Tick`] is due next.
    pub fn next_deadline(&self) -> Option<Millis> {
        let open = self.state.nodes.iter().filter(|node| node.outcome().is_none());
        open.filter_map(|node| node.deadline).min()
    }

    /// Takes what happened, and says what is to be done.
    pub fn apply(&mut self, now: Millis, event: Event) -> Result<Effects, Refusal> {
        if self.outcome().is_some() {
            return Err(Refusal::Over);
        }
        match event {
            Event::TaskEnded(task, end) => self.task_ended(now, task, end)?,
            Event::Answered {
                node,
                by,
                approved,
                comment,
            } => self.answered(now, node, by, approved, comment)?,
            Event::Decided { node, by, decision } => self.decided(now, node, &by, decision)?,
            Event::Abort { by } => self.stop(now, 0, Outcome::Aborted, &format!("Aborted by {by}.")),
            Event::Tick => {}
        }
        Ok(self.settle(now))
    }

    /// Everything that was asked for and is not done yet, for whoever takes up a run: tasks that run, those that are to
    /// end, and questions without their answers.
    pub fn outstanding(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        for (id, node) in self.state.nodes.iter().enumerate() {
            let Status::Running(doing) = &node.status else {
                continue;
            };
            let task = TaskRef {
                node: id,
                attempt: node.attempts,
            };
            match doing {
                Doing::Task { cancelled: Some(_) } => commands.push(Command::Cancel(task)),
                Doing::Task { cancelled: None } => {
                    commands.extend(self.submission(id).ok().map(Command::Submit));
                }
                Doing::Approval { .. } => commands.extend(self.approval(id).ok().map(Command::Ask)),
                Doing::Intervention { fault } => commands.push(Command::Ask(Question {
                    node: id,
                    message: fault.message.clone(),
                    approvers: None,
                })),
                Doing::Children | Doing::Waiting | Doing::Retrying { .. } => {}
            }
        }
        commands
    }

    /// Tasks that were submitted and whose ends are awaited, with whether they were told to end.
    pub fn open_tasks(&self) -> impl Iterator<Item = (TaskRef, bool)> {
        self.state
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(id, node)| match &node.status {
                Status::Running(Doing::Task { cancelled }) => {
                    let task = TaskRef {
                        node: id,
                        attempt: node.attempts,
                    };
                    Some((task, cancelled.is_some()))
                }
                _ => None,
            })
    }

    /// Looks at what changed, and does what is due, until neither is left. Retries are bounded, and so is this.
    fn settle(&mut self, now: Millis) -> Effects {
        loop {
            while let Some(id) = self.todo.pop_front() {
                self.advance(now, id);
            }
            let due = |node: &Node| node.outcome().is_none() && node.deadline.is_some_and(|at| at <= now);
            let Some(id) = self.state.nodes.iter().position(due) else {
                break;
            };
            self.state.nodes[id].deadline = None;
            self.changed(id);
            self.overdue(now, id);
        }
        self.effects.changed.sort_unstable();
        self.effects.changed.dedup();
        std::mem::take(&mut self.effects)
    }

    fn task_ended(&mut self, now: Millis, task: TaskRef, end: TaskEnd) -> Result<(), Refusal> {
        let node = self.state.nodes.get(task.node).ok_or(Refusal::Unknown)?;
        let Status::Running(Doing::Task { cancelled }) = node.status else {
            return Err(Refusal::NotRunning);
        };
        if node.attempts != task.attempt {
            return Err(Refusal::NotRunning);
        }
        self.state.nodes[task.node].delegate = end.delegate;
        self.keep(task.node, end.output_vars, end.fields);
        let message = end.message.unwrap_or_default();
        let fault = |errors, outcome, otherwise: &str| Fault {
            errors,
            outcome,
            message: if message.is_empty() {
                otherwise.to_owned()
            } else {
                message.clone()
            },
        };
        let fault = match end.status {
            TaskStatus::Succeeded => {
                self.end(now, task.node, Outcome::Succeeded, None);
                return Ok(());
            }
            TaskStatus::Failed => fault(Errors::Unknown, Outcome::Failed, "The task failed."),
            TaskStatus::TimedOut => fault(Errors::Timeout, Outcome::TimedOut, "The task ran out of time."),
            TaskStatus::Expired => fault(
                Errors::DelegateProvisioning,
                Outcome::Failed,
                "No delegate took the task in time.",
            ),
            TaskStatus::Aborted => fault(Errors::Unknown, Outcome::Aborted, "The task was aborted."),
        };
        if let Some(outcome) = cancelled {
            self.end(now, task.node, outcome, Some(fault.message));
        } else {
            self.failed(now, task.node, fault);
        }
        Ok(())
    }

    fn answered(
        &mut self,
        now: Millis,
        id: NodeId,
        by: String,
        approved: bool,
        comment: Option<String>,
    ) -> Result<(), Refusal> {
        let needed = self.approvers(id);
        let node = self.state.nodes.get_mut(id).ok_or(Refusal::Unknown)?;
        let Status::Running(Doing::Approval { by: given }) = &mut node.status else {
            return Err(Refusal::NotAsked);
        };
        let why = comment.map_or_else(String::new, |comment| format!(": {comment}"));
        if !approved {
            let fault = Fault {
                errors: Errors::ApprovalRejection,
                outcome: Outcome::Rejected,
                message: format!("Rejected by {by}{why}"),
            };
            self.effects.commands.push(Command::Withdraw(id));
            self.failed(now, id, fault);
            return Ok(());
        }
        if given.contains(&by) {
            return Err(Refusal::AnsweredBefore);
        }
        given.push(by);
        let (count, names) = (given.len(), given.join(", "));
        self.changed(id);
        if count >= needed {
            self.effects.commands.push(Command::Withdraw(id));
            self.end(
                now,
                id,
                Outcome::Succeeded,
                Some(format!("Approved by {names}{why}")),
            );
        }
        Ok(())
    }

    fn decided(&mut self, now: Millis, id: NodeId, by: &str, decision: Decision) -> Result<(), Refusal> {
        let node = self.state.nodes.get(id).ok_or(Refusal::Unknown)?;
        let Status::Running(Doing::Intervention { fault }) = &node.status else {
            return Err(Refusal::NotAsked);
        };
        let mut fault = fault.clone();
        fault.message = format!("{} Decided by {by}.", fault.message);
        self.effects.commands.push(Command::Withdraw(id));
        self.decide(now, id, decision, fault);
        Ok(())
    }
}
