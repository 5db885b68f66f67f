//! One registered delegate: what it can do, what it holds, and whether it lives.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::manager::ids::{DelegateId, Millis, TaskId};
use crate::protocol::wire::DelegateParams;

use super::task::Task;

/// Most tasks at once of a delegate that sets no limit: what the official delegate takes.
pub const DEFAULT_CAPACITY: u32 = 400;

/// A delegate is called silent after three of its own heartbeat intervals, but not before this.
pub const MIN_SILENCE_MS: Millis = 30_000;

/// … and not later than this, which is also used until its interval is known: delegates in the field send a
/// heartbeat every 10, 50 or 60 seconds.
pub const MAX_SILENCE_MS: Millis = 180_000;

/// A delegate that was silent for this long will not answer for its tasks any more.
pub const LOST_AFTER_MS: Millis = 5 * 60_000;

/// A delegate that was silent for this long is forgotten, as the product does.
pub const FORGET_AFTER_MS: Millis = 6 * 60 * 60_000;

/// A waiting delegate gets an event again after this time, should it not have acted on it.
pub const REOFFER_MS: Millis = 1_000;

/// A delegate that gave no sign of running a task it was given is offered the task again after this time, and so on:
/// the reply that gave it may have been lost. One that does run it knows the task and takes no notice.
pub const CONFIRM_MS: Millis = 15_000;

/// A delegate is told for this long to end a task that was ended without it.
pub const STOP_ORDER_MS: Millis = 10 * 60_000;

/// A registered delegate.
#[derive(Debug, Clone)]
pub struct Delegate {
    /// Identity.
    pub id: DelegateId,
    /// What it said at registration, or in its last heartbeat.
    pub params: DelegateParams,
    /// Name of the token it used last.
    pub token_name: String,
    /// Whether that token is active.
    pub token_active: bool,
    /// When it registered.
    pub registered_at: Millis,
    /// When it was heard of last.
    pub last_seen: Millis,
    /// When its life was written to the store last.
    pub written_at: Millis,
    /// When its last heartbeat came.
    last_heartbeat: Option<Millis>,
    /// Usual time between its heartbeats.
    interval: Option<Millis>,
    /// Tasks it holds.
    pub running: BTreeSet<TaskId>,
    /// Those of them that it gave no sign of running.
    pub unconfirmed: HashSet<TaskId>,
    /// When each event was given to it last.
    pub offered: HashMap<TaskId, Millis>,
    /// Tasks it may still be running although they are over here, and until when it is told so.
    pub stops: HashMap<TaskId, Millis>,
}

impl Delegate {
    /// A delegate that has just registered.
    pub fn new(id: DelegateId, params: DelegateParams, token_name: String, now: Millis) -> Self {
        Self {
            id,
            params,
            token_name,
            token_active: true,
            registered_at: now,
            last_seen: now,
            written_at: now,
            last_heartbeat: None,
            interval: None,
            running: BTreeSet::new(),
            unconfirmed: HashSet::new(),
            offered: HashMap::new(),
            stops: HashMap::new(),
        }
    }

    /// Notes a sign of life.
    pub fn seen(&mut self, now: Millis) {
        self.last_seen = self.last_seen.max(now);
    }

    /// Notes a heartbeat, and learns from it how often they come.
    pub fn heartbeat(&mut self, now: Millis) {
        if let Some(last) = self.last_heartbeat.filter(|last| *last < now) {
            let gap = now - last;
            // A gap that was itself a silence says nothing about the usual interval.
            if gap <= MAX_SILENCE_MS {
                self.interval = Some(gap);
            }
        }
        self.last_heartbeat = Some(now);
        self.seen(now);
    }

    /// How long it may be silent before it counts as disconnected.
    pub fn silence_allowed(&self) -> Millis {
        self.interval.map_or(MAX_SILENCE_MS, |gap| {
            (3 * gap).clamp(MIN_SILENCE_MS, MAX_SILENCE_MS)
        })
    }

    /// Whether it has shown life lately.
    pub fn is_connected(&self, now: Millis) -> bool {
        now - self.last_seen <= self.silence_allowed()
    }

    /// Most tasks at once.
    pub fn capacity(&self) -> usize {
        self.params.task_capacity.unwrap_or(DEFAULT_CAPACITY) as usize
    }

    /// Tasks it can take now.
    pub fn room(&self) -> usize {
        self.capacity().saturating_sub(self.running.len())
    }

    /// Whether it holds every selector of the task, as tag, name or host name, and did not pass the task on.
    pub fn is_selected_for(&self, task: &Task) -> bool {
        !task.excluded.contains(&self.id)
            && task.selectors.iter().all(|selector| {
                *selector == self.params.delegate_name
                    || *selector == self.params.host_name
                    || self.params.tags.contains(selector)
            })
    }

    /// Whether it says that it can run this kind. One that says nothing is taken to run everything.
    pub fn supports(&self, kind: &str) -> bool {
        let types = &self.params.supported_task_types;
        types.is_empty() || types.iter().any(|known| known == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delegate() -> Delegate {
        Delegate::new("d".into(), DelegateParams::default(), "t".into(), 0)
    }

    #[test]
    fn silence_is_judged_by_the_delegates_own_cadence() {
        for (interval, allowed) in [
            (1_000, 30_000),
            (10_000, 30_000),
            (50_000, 150_000),
            (60_000, 180_000),
        ] {
            let mut delegate = delegate();
            assert_eq!(delegate.silence_allowed(), MAX_SILENCE_MS, "unknown at first");
            delegate.heartbeat(interval);
            delegate.heartbeat(2 * interval);
            assert_eq!(delegate.silence_allowed(), allowed, "every {interval} ms");
            assert!(delegate.is_connected(2 * interval + allowed));
            assert!(!delegate.is_connected(2 * interval + allowed + 1));
        }
    }

    #[test]
    fn an_outage_is_not_taken_for_a_cadence() {
        let mut delegate = delegate();
        for at in [10_000, 20_000, 900_000] {
            delegate.heartbeat(at);
        }
        assert_eq!(delegate.silence_allowed(), 30_000);
    }
}
