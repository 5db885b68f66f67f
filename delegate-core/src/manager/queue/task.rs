//! One task, and the ways its state may change.
//!
//! A state carries exactly what is known in it, so a running task always has a holder and a waiting one never has.

use crate::manager::ids::{DelegateId, Millis, TaskId};
use crate::protocol::api::TaskStatus;
use crate::protocol::wire::{CommandStatus, ResponseCode};

/// Time a delegate gets beyond a task's own bound to end the run, finish the log and report.
pub const RUN_GRACE_MS: Millis = 60_000;

/// Time a delegate gets to end a task that somebody asked to abort.
pub const ABORT_GRACE_MS: Millis = 30_000;

/// A task that this many delegates passed on is given up.
pub const MAX_ATTEMPTS: u32 = 10;

/// A task, without its data: that stays in the store until a delegate takes the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Identity.
    pub id: TaskId,
    /// Name of the task kind.
    pub kind: String,
    /// What a delegate must hold, all of them.
    pub selectors: Vec<String>,
    /// Bound of the run.
    pub timeout_ms: u64,
    /// Bound of the wait for a delegate.
    pub queue_timeout_ms: u64,
    /// When it was accepted.
    pub created_at: Millis,
    /// How often a delegate took it.
    pub attempts: u32,
    /// Delegates that passed it on.
    pub excluded: Vec<DelegateId>,
    /// Where it is in its life.
    pub state: State,
}

/// Where a task is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waiting for a delegate.
    Queued {
        /// Since when; the start, or the last time a delegate passed it on.
        since: Millis,
    },
    /// Held by a delegate.
    Running {
        /// The holder.
        by: DelegateId,
        /// Its name, for those who look later.
        name: String,
        /// Since when.
        since: Millis,
        /// When somebody asked for its end.
        abort_asked: Option<Millis>,
    },
    /// Over. Kept in memory only until the store has it.
    Ended(Box<Ended>),
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Final status.
    pub status: TaskStatus,
    /// When.
    pub at: Millis,
    /// The last holder, when there was one.
    pub by: Option<DelegateId>,
    /// The holder's name.
    pub name: Option<String>,
    /// When the last run began.
    pub started_at: Option<Millis>,
    /// When somebody asked for its end.
    pub abort_asked: Option<Millis>,
    /// A sentence, when the manager ended it.
    pub reason: Option<String>,
    /// The delegate's answer as JSON, when there is one.
    pub response: Option<String>,
}

/// A delegate's answer, as far as the state machine needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How the delegate's own part went.
    pub code: ResponseCode,
    /// How the command went; success when a foreign task kind does not say.
    pub command: CommandStatus,
    /// The whole answer as JSON.
    pub json: String,
}

impl Answer {
    /// The final status this answer means; `None` when another delegate should try.
    pub fn status(&self) -> Option<TaskStatus> {
        match (self.code, self.command) {
            (ResponseCode::RetryOnOtherDelegate, _) => None,
            (ResponseCode::Failed, _) | (ResponseCode::Ok, CommandStatus::Failure) => {
                Some(TaskStatus::Failed)
            }
            (ResponseCode::Ok, CommandStatus::Success | CommandStatus::Skipped) => {
                Some(TaskStatus::Succeeded)
            }
            (ResponseCode::Ok, CommandStatus::Timeout) => Some(TaskStatus::TimedOut),
            (ResponseCode::Ok, CommandStatus::Aborted) => Some(TaskStatus::Aborted),
        }
    }
}

impl Task {
    /// Status as shown to users.
    pub fn status(&self) -> TaskStatus {
        match &self.state {
            State::Queued { .. } => TaskStatus::Queued,
            State::Running { .. } => TaskStatus::Running,
            State::Ended(ended) => ended.status,
        }
    }

    /// The delegate that holds it, or held it last.
    pub fn holder(&self) -> Option<&DelegateId> {
        match &self.state {
            State::Queued { .. } => None,
            State::Running { by, .. } => Some(by),
            State::Ended(ended) => ended.by.as_ref(),
        }
    }

    /// When the manager must act on its own; `None` when it is over.
    pub fn deadline(&self) -> Option<Millis> {
        match &self.state {
            State::Queued { since } => Some(since.saturating_add(bound(self.queue_timeout_ms))),
            State::Running {
                since, abort_asked, ..
            } => {
                let run = since
                    .saturating_add(bound(self.timeout_ms))
                    .saturating_add(RUN_GRACE_MS);
                Some(abort_asked.map_or(run, |asked| run.min(asked.saturating_add(ABORT_GRACE_MS))))
            }
            State::Ended(_) => None,
        }
    }

    /// Ends it. Whatever was known about the run is kept.
    pub fn end(&mut self, now: Millis, status: TaskStatus, reason: Option<String>, response: Option<String>) {
        let (by, name, started_at, abort_asked) = match &self.state {
            State::Running {
                by,
                name,
                since,
                abort_asked,
            } => (Some(by.clone()), Some(name.clone()), Some(*since), *abort_asked),
            State::Queued { .. } | State::Ended(_) => (None, None, None, None),
        };
        self.state = State::Ended(Box::new(Ended {
            status,
            at: now,
            by,
            name,
            started_at,
            abort_asked,
            reason,
            response,
        }));
    }
}

fn bound(ms: u64) -> Millis {
    Millis::try_from(ms).unwrap_or(Millis::MAX)
}
