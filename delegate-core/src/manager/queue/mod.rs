//! The state machine of tasks and delegates.
//!
//! Synchronous and without a clock: every transition takes the time, changes the state at once, and returns
//! [`Effects`]: what must be written to the store, in order, and which delegates have something new to see. It does no
//! I/O, so each order of events is a plain test. It fails only with a reason for the caller; a refused transition has
//! no effect.

mod delegate;
mod delegates;
mod offer;
mod task;
#[cfg(test)]
mod tests;
mod transitions;

use std::collections::{BTreeSet, HashMap};

pub use delegate::{
    CONFIRM_MS, DEFAULT_CAPACITY, Delegate, FORGET_AFTER_MS, LOST_AFTER_MS, MAX_SILENCE_MS, MIN_SILENCE_MS,
    REOFFER_MS, STOP_ORDER_MS,
};
pub use delegates::NotRegistered;
pub use offer::Offer;
pub use task::{ABORT_GRACE_MS, Answer, Ended, MAX_ATTEMPTS, RUN_GRACE_MS, State, Task};
pub use transitions::{AbortError, AcquireError, QueueFull, RespondError, Responded, Submission};

use super::ids::{DelegateId, Millis, TaskId};

/// Most tasks waiting at once. Each costs about half a kilobyte here; its data is in the store.
pub const MAX_WAITING: usize = 200_000;

/// What a transition leads to.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// States to be written, in this order.
    pub changes: Vec<Changed>,
    /// Delegates that have something new to see.
    pub wake: Vec<DelegateId>,
}

/// A state to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// A task as it is now.
    Task(Box<Task>),
    /// A delegate as it is now.
    Delegate(Box<DelegateRow>),
    /// A delegate was heard of.
    DelegateSeen(DelegateId, Millis),
    /// A delegate was forgotten.
    DelegateGone(DelegateId),
}

/// What is kept of a delegate.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegateRow {
    /// Identity.
    pub id: DelegateId,
    /// What it said of itself.
    pub params: crate::protocol::wire::DelegateParams,
    /// Name of its token.
    pub token_name: String,
    /// When it registered.
    pub registered_at: Millis,
    /// When it was heard of last.
    pub last_seen: Millis,
}

impl Effects {
    fn task(task: &Task) -> Self {
        Self {
            changes: vec![Changed::Task(Box::new(task.clone()))],
            wake: Vec::new(),
        }
    }

    fn absorb(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.wake.extend(other.wake);
    }
}

/// Tasks that are not over, and registered delegates.
#[derive(Debug, Default)]
pub struct Queue {
    tasks: HashMap<TaskId, Task>,
    /// Waiting tasks in the order in which they are offered.
    waiting: BTreeSet<(Millis, TaskId)>,
    /// When the manager must act on a task on its own.
    deadlines: BTreeSet<(Millis, TaskId)>,
    delegates: HashMap<DelegateId, Delegate>,
}

impl Queue {
    /// Rebuilds the state from what the store kept.
    ///
    /// Delegates get the benefit of the doubt: silence counts from `now`, for it was the manager that was away.
    pub fn restore(
        now: Millis,
        tasks: Vec<Task>,
        delegates: Vec<DelegateRow>,
        active_tokens: &[String],
    ) -> Self {
        let mut queue = Self::default();
        for row in delegates {
            let mut delegate = Delegate::new(row.id.clone(), row.params, row.token_name, now);
            delegate.registered_at = row.registered_at;
            delegate.token_active = active_tokens.contains(&delegate.token_name);
            // One that was long gone before is not made new by a restart.
            if now - row.last_seen > LOST_AFTER_MS {
                delegate.last_seen = row.last_seen;
            }
            queue.delegates.insert(row.id, delegate);
        }
        for task in tasks {
            if let State::Running { by, .. } = &task.state
                && let Some(delegate) = queue.delegates.get_mut(by)
            {
                delegate.unconfirmed.insert(task.id.clone());
            }
            queue.insert(task);
        }
        queue
    }

    /// A task that is not over yet, or that is over but not yet forgotten.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// A registered delegate.
    pub fn delegate(&self, id: &str) -> Option<&Delegate> {
        self.delegates.get(id)
    }

    /// All registered delegates, in no order.
    pub fn delegates(&self) -> impl Iterator<Item = &Delegate> {
        self.delegates.values()
    }

    /// Number of waiting tasks.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of running tasks.
    pub fn running(&self) -> usize {
        self.delegates
            .values()
            .map(|delegate| delegate.running.len())
            .sum()
    }

    /// When [`Queue::tick`] has to be called next for a task's sake.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Forgets a task that is over, once the store has it.
    pub fn forget(&mut self, id: &str) {
        if self.tasks.get(id).is_some_and(|task| task.status().is_final()) {
            self.tasks.remove(id);
        }
    }

    /// Takes back a task that the store refused.
    pub fn retract(&mut self, id: &str) {
        if let Some(task) = self.tasks.remove(id) {
            self.unindex(&task);
        }
    }

    fn insert(&mut self, task: Task) {
        self.index(&task);
        self.tasks.insert(task.id.clone(), task);
    }

    /// Changes a task and keeps the indexes true; the one way to change a task. Returns it as it is now.
    fn change(&mut self, id: &str, change: impl FnOnce(&mut Task)) -> Option<Task> {
        let mut task = self.tasks.remove(id)?;
        self.unindex(&task);
        change(&mut task);
        self.index(&task);
        self.tasks.insert(task.id.clone(), task.clone());
        Some(task)
    }

    fn index(&mut self, task: &Task) {
        if let Some(at) = task.deadline() {
            self.deadlines.insert((at, task.id.clone()));
        }
        match &task.state {
            State::Queued { since } => {
                self.waiting.insert((*since, task.id.clone()));
            }
            State::Running { by, .. } => {
                if let Some(delegate) = self.delegates.get_mut(by) {
                    delegate.running.insert(task.id.clone());
                }
            }
            State::Ended(_) => {}
        }
    }

    fn unindex(&mut self, task: &Task) {
        if let Some(at) = task.deadline() {
            self.deadlines.remove(&(at, task.id.clone()));
        }
        match &task.state {
            State::Queued { since } => {
                self.waiting.remove(&(*since, task.id.clone()));
            }
            State::Running { by, .. } => {
                if let Some(delegate) = self.delegates.get_mut(by) {
                    delegate.running.remove(&task.id);
                }
            }
            State::Ended(_) => {}
        }
    }
}
