//! Which tasks this agent has in hand: the one place that knows duplicates, capacity and aborts.
//!
//! An id enters before the acquire and leaves after its response was delivered, because the manager lets the same
//! delegate acquire a task twice. Ids that left are remembered for a while: a reply that was on its way may still offer
//! them. Synchronous and without I/O; all decisions are plain function results.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Tasks at once when the operator sets no capacity: the official delegate's own bound.
pub(super) const DEFAULT_CAPACITY: usize = 400;

/// Finished ids remembered against late offers. A late offer is seconds old, so this covers far more than a burst.
const REMEMBERED: usize = 1024;

/// What to do with an offered task.
#[derive(Debug)]
pub(super) enum Offer {
    /// Acquire it.
    Take(Slot),
    /// It is in hand, or was a moment ago.
    Known,
    /// No room. The flag says whether this task was refused for the first time.
    Full { first_time: bool },
    /// No new work is taken any more.
    Closed,
}

/// What to do with an abort.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// The task has been told.
    Told,
    /// It had been told already, or is being answered.
    Known,
    /// Not ours, or over.
    Unknown,
}

#[derive(Debug)]
struct Entry {
    cancel: CancellationToken,
    /// Uses capacity: until its run ended.
    working: bool,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: HashMap<Arc<str>, Entry>,
    working: usize,
    /// Ids that left, and the order in which they did.
    finished: HashSet<Arc<str>>,
    finished_in_order: VecDeque<Arc<str>>,
    /// Ids turned away since the last time there was room, so that each is counted once.
    turned_away: HashSet<Arc<str>>,
    closed: bool,
    /// The machine has no room, whatever the count says.
    overloaded: bool,
}

/// The tasks in hand.
#[derive(Debug)]
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    capacity: usize,
    /// Told whenever a slot is freed or an id leaves.
    changed: Notify,
}

impl Ledger {
    pub(super) fn new(capacity: Option<u32>) -> Self {
        let capacity = capacity.map_or(DEFAULT_CAPACITY, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Self {
            inner: Mutex::default(),
            capacity,
            changed: Notify::new(),
        }
    }

    /// Tasks that may run at once.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides on an offered task; with [`Offer::Take`] it is in hand until the slot is dropped.
    pub(super) fn offer(self: &Arc<Self>, id: &str) -> Offer {
        let mut inner = self.lock();
        if inner.tasks.contains_key(id) || inner.finished.contains(id) {
            return Offer::Known;
        }
        if inner.closed {
            return Offer::Closed;
        }
        if inner.overloaded || inner.working >= self.capacity {
            let first_time = inner.turned_away.len() < REMEMBERED && inner.turned_away.insert(id.into());
            return Offer::Full { first_time };
        }
        Offer::Take(self.enter(&mut inner, id, true))
    }

    /// Takes a task of an earlier life in hand, which only needs its answer delivered. `None` when it is there already.
    pub(super) fn recover(self: &Arc<Self>, id: &str) -> Option<Slot> {
        let mut inner = self.lock();
        (!inner.tasks.contains_key(id)).then(|| self.enter(&mut inner, id, false))
    }

    fn enter(self: &Arc<Self>, inner: &mut Inner, id: &str, working: bool) -> Slot {
        let id: Arc<str> = id.into();
        let cancel = CancellationToken::new();
        let entry = Entry {
            cancel: cancel.clone(),
            working,
        };
        inner.working += usize::from(working);
        inner.tasks.insert(Arc::clone(&id), entry);
        Slot {
            ledger: Arc::clone(self),
            id,
            cancel,
            remember: true,
        }
    }

    /// Tells a task to end.
    pub(super) fn abort(&self, id: &str) -> Abort {
        let inner = self.lock();
        match inner.tasks.get(id) {
            None => Abort::Unknown,
            Some(entry) if !entry.working || entry.cancel.is_cancelled() => Abort::Known,
            Some(entry) => {
                entry.cancel.cancel();
                Abort::Told
            }
        }
    }

    /// Takes no new work from now on.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Whether the machine has room for another task.
    pub(super) fn set_overloaded(&self, overloaded: bool) {
        let mut inner = self.lock();
        inner.overloaded = overloaded;
        if !overloaded {
            inner.turned_away.clear();
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Whether tasks are turned away because of the machine's load.
    pub(super) fn is_overloaded(&self) -> bool {
        self.lock().overloaded
    }

    /// Tells every running task to end.
    pub(super) fn cancel_all(&self) {
        for entry in self.lock().tasks.values().filter(|entry| entry.working) {
            entry.cancel.cancel();
        }
    }

    /// Tasks whose run has not ended, and tasks whose answer has not been delivered.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.working, inner.tasks.len() - inner.working)
    }

    /// Waits until something left. Register interest by creating the future before checking.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

/// A task in hand. Dropping it lets the id go.
#[derive(Debug)]
pub(super) struct Slot {
    ledger: Arc<Ledger>,
    id: Arc<str>,
    cancel: CancellationToken,
    remember: bool,
}

impl Slot {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Cancelled when the run shall end.
    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The run ended: its room is free, its id stays until the answer is delivered.
    pub(super) fn run_ended(&self) {
        let mut inner = self.ledger.lock();
        let Some(entry) = inner.tasks.get_mut(&self.id) else {
            return;
        };
        if std::mem::replace(&mut entry.working, false) {
            inner.working -= 1;
            inner.turned_away.clear();
            drop(inner);
            self.ledger.changed.notify_waiters();
        }
    }

    /// The task was not taken: a later offer of it is a new one.
    pub(super) fn forget(mut self) {
        self.remember = false;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.run_ended();
        let mut inner = self.ledger.lock();
        inner.tasks.remove(&self.id);
        if self.remember {
            if inner.finished.insert(Arc::clone(&self.id)) {
                inner.finished_in_order.push_back(Arc::clone(&self.id));
            }
            if inner.finished_in_order.len() > REMEMBERED
                && let Some(oldest) = inner.finished_in_order.pop_front()
            {
                inner.finished.remove(&oldest);
            }
        }
        drop(inner);
        self.ledger.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(ledger: &Arc<Ledger>, id: &str) -> Slot {
        match ledger.offer(id) {
            Offer::Take(slot) => slot,
            other => panic!("{id}: {other:?}"),
        }
    }

    #[test]
    fn a_task_is_taken_once_until_long_after_its_answer() {
        let ledger = Arc::new(Ledger::new(None));
        let slot = take(&ledger, "a");
        assert!(matches!(ledger.offer("a"), Offer::Known));
        slot.run_ended();
        assert!(
            matches!(ledger.offer("a"), Offer::Known),
            "its answer is on the way"
        );
        drop(slot);
        assert!(matches!(ledger.offer("a"), Offer::Known), "a late offer");
        for n in 0..REMEMBERED {
            drop(take(&ledger, &format!("b{n}")));
        }
        take(&ledger, "a");
    }

    #[test]
    fn a_task_that_another_delegate_got_may_be_offered_again() {
        let ledger = Arc::new(Ledger::new(None));
        take(&ledger, "a").forget();
        take(&ledger, "a");
    }

    #[test]
    fn room_counts_runs_and_not_answers_on_their_way() {
        let ledger = Arc::new(Ledger::new(Some(1)));
        let slot = take(&ledger, "a");
        assert!(matches!(ledger.offer("b"), Offer::Full { first_time: true }));
        assert!(matches!(ledger.offer("b"), Offer::Full { first_time: false }));
        assert!(matches!(ledger.offer("c"), Offer::Full { first_time: true }));
        slot.run_ended();
        assert_eq!(ledger.counts(), (0, 1));
        let _b = take(&ledger, "b");
        assert!(matches!(ledger.offer("c"), Offer::Full { first_time: true }));
        drop(slot);
        assert_eq!(ledger.counts(), (1, 0), "a slot is freed once");
    }

    #[test]
    fn an_abort_reaches_a_running_task_only_and_frees_nothing_by_itself() {
        let ledger = Arc::new(Ledger::new(Some(1)));
        assert_eq!(ledger.abort("a"), Abort::Unknown);
        let slot = take(&ledger, "a");
        assert_eq!(ledger.abort("a"), Abort::Told);
        assert!(slot.cancel().is_cancelled());
        assert_eq!(ledger.abort("a"), Abort::Known);
        assert!(matches!(ledger.offer("b"), Offer::Full { .. }));
        let recovered = ledger.recover("old").unwrap();
        assert!(ledger.recover("old").is_none());
        assert_eq!(ledger.abort("old"), Abort::Known);
        drop((slot, recovered));
        assert_eq!(ledger.counts(), (0, 0));
    }

    #[tokio::test]
    async fn whoever_waits_for_room_is_told() {
        let ledger = Arc::new(Ledger::new(Some(1)));
        let slot = take(&ledger, "a");
        let changed = ledger.changed();
        slot.run_ended();
        changed.await;
    }

    #[test]
    fn a_closed_ledger_takes_nothing_new_but_knows_its_own() {
        let ledger = Arc::new(Ledger::new(None));
        let slot = take(&ledger, "a");
        ledger.close();
        assert!(matches!(ledger.offer("b"), Offer::Closed));
        assert!(matches!(ledger.offer("a"), Offer::Known));
        ledger.cancel_all();
        assert!(slot.cancel().is_cancelled());
    }
}
