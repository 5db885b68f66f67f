//! What an agent tells whoever embeds it: events that count, and where the logs of tasks go.
//!
//! The agent's own metrics are the first [`Recorder`]; another one is told the same, in the same order. Both traits are
//! called on the agent's way of work, so they must not block: count, or hand over to a bounded queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indexmap::IndexMap;

use crate::protocol::wire::CommandStatus;
use crate::task::LogSink;

/// How the run of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The kind ran; this is what it says.
    Ran(CommandStatus),
    /// The delegate could not do its part.
    Failed,
    /// Another delegate shall try.
    PassedOn,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Ran(CommandStatus::Success),
        Self::Ran(CommandStatus::Failure),
        Self::Ran(CommandStatus::Timeout),
        Self::Ran(CommandStatus::Aborted),
        Self::Ran(CommandStatus::Skipped),
        Self::Failed,
        Self::PassedOn,
    ];

    /// As metrics label it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ran(CommandStatus::Success) => "success",
            Self::Ran(CommandStatus::Failure) => "failure",
            Self::Ran(CommandStatus::Timeout) => "timeout",
            Self::Ran(CommandStatus::Aborted) => "aborted",
            Self::Ran(CommandStatus::Skipped) => "skipped",
            Self::Failed => "failed",
            Self::PassedOn => "passed_on",
        }
    }
}

/// Something that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A task that is ours begins.
    TaskStarted {
        /// Its type, as the manager names it.
        kind: &'a str,
    },
    /// Its run ended; the answer is still to be delivered.
    TaskEnded {
        /// Its type, as the manager names it.
        kind: &'a str,
        /// How.
        outcome: Outcome,
        /// From its start to its end.
        took: Duration,
    },
    /// A task that ran is over: its answer was delivered, or is left to the next start of the agent.
    TaskOver {
        /// Identity of the task.
        id: &'a str,
        /// Its type, as the manager names it.
        kind: &'a str,
        /// How its run ended.
        outcome: Outcome,
        /// Whether the manager has its answer.
        answered: bool,
        /// When all this was.
        course: Course,
    },
    /// A task was turned away for want of room; told once for each, until there is room again.
    TaskRejected {
        /// Its type, as the manager names it.
        kind: &'a str,
    },
    /// A call to the manager ended.
    ManagerCall {
        /// Whether the manager answered, whatever it said.
        answered: bool,
    },
    /// The manager answers again after 30 s or more without an answer.
    Reconnected,
    /// An answer could not be delivered, and is tried again.
    AnswerRetried,
    /// Lines of a task's log were dropped.
    LogLost {
        /// How many.
        lines: u64,
        /// Bytes of their text.
        bytes: u64,
    },
}

/// When a task was offered, and how long after that it came how far. Each is at least the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// When it was offered, by this machine's clock.
    pub offered: SystemTime,
    /// Until it was ours, and written down.
    pub acquired: Duration,
    /// Until its run ended.
    pub ended: Duration,
    /// Until its answer was delivered, or left to the next start.
    pub over: Duration,
}

/// Counts what happens in an agent.
pub trait Recorder: Send + Sync {
    /// Takes an event. Must not block and must not panic: the task waits for it.
    fn record(&self, event: Event<'_>);
}

/// What is known of a task when its log begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLabels {
    /// Identity of the task.
    pub id: String,
    /// Its type, as the manager names it.
    pub kind: String,
    /// Key of its log at the log service; empty when it has none.
    pub key: String,
    /// What the manager says the log belongs to.
    pub abstractions: IndexMap<String, String>,
}

/// Says where the logs of tasks go. A closure of the same form is one.
pub trait TaskLogs: Send + Sync {
    /// The sink of one task's log. `usual` leads to the log service: write to it as well, or drop it to keep the log from
    /// there. What the sink gets is masked.
    fn open(&self, task: &TaskLabels, usual: Arc<dyn LogSink>) -> Arc<dyn LogSink>;
}

impl<F> TaskLogs for F
where
    F: Fn(&TaskLabels, Arc<dyn LogSink>) -> Arc<dyn LogSink> + Send + Sync,
{
    fn open(&self, task: &TaskLabels, usual: Arc<dyn LogSink>) -> Arc<dyn LogSink> {
        self(task, usual)
    }
}
