//! Which events a delegate sees.

use super::{CONFIRM_MS, Delegate, Queue, REOFFER_MS, State, Task};
use crate::manager::ids::{DelegateId, Millis, TaskId};

use super::delegates::NotRegistered;

/// Most events in one reply; the next one has the rest.
const MAX_EVENTS: usize = 512;

/// Events for one delegate, aborts first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Tasks to end.
    pub aborts: Vec<(TaskId, String)>,
    /// Tasks to take, oldest first: identity and kind.
    pub tasks: Vec<(TaskId, String)>,
    /// Whether there is one that the delegate was not given within the last second.
    pub fresh: bool,
    /// When events that are not fresh should be given again.
    pub again_at: Option<Millis>,
}

impl Offer {
    /// Whether there is nothing to see.
    pub fn is_empty(&self) -> bool {
        self.aborts.is_empty() && self.tasks.is_empty()
    }
}

impl Queue {
    /// What a delegate sees now. The same event is seen again until the delegate acts on it.
    ///
    /// `patient`: the delegate is ready to wait for something new; then events given to it within the last
    /// [`REOFFER_MS`] do not count as given again.
    pub fn offer(&mut self, now: Millis, id: &DelegateId, patient: bool) -> Result<Offer, NotRegistered> {
        let delegate = self.delegates.get_mut(id).ok_or(NotRegistered)?;
        delegate.seen(now);
        let delegate = self.delegates.get(id).ok_or(NotRegistered)?;
        let mut offer = Offer::default();
        if delegate.token_active {
            self.collect_aborts(delegate, &mut offer);
            self.collect_tasks(delegate, &mut offer);
            self.collect_unconfirmed(now, delegate, &mut offer);
        }
        let ids: Vec<TaskId> = offer
            .aborts
            .iter()
            .chain(&offer.tasks)
            .map(|(id, _)| id.clone())
            .collect();
        let due = |id: &TaskId| delegate.offered.get(id).map(|at| at + REOFFER_MS);
        offer.again_at = ids.iter().filter_map(due).min();
        offer.fresh = ids.iter().any(|id| due(id).is_none_or(|at| at <= now));
        if (offer.fresh || !patient)
            && let Some(delegate) = self.delegates.get_mut(id)
        {
            delegate.offered.extend(ids.into_iter().map(|id| (id, now)));
        }
        Ok(offer)
    }

    /// Delegates that may take a task now.
    pub(super) fn takers(&self, now: Millis, task: &Task) -> Vec<DelegateId> {
        self.delegates
            .values()
            .filter(|delegate| {
                delegate.token_active
                    && delegate.room() > 0
                    && delegate.is_connected(now)
                    && self.is_for(delegate, task)
            })
            .map(|delegate| delegate.id.clone())
            .collect()
    }

    /// What a waiting task waits for, as a sentence.
    pub fn why_waiting(&self, now: Millis, task: &Task) -> String {
        self.hindrance(now, task)
            .unwrap_or_else(|| format!("No delegate{} took it.", holding(task)))
    }

    /// What keeps every delegate from taking a task; nothing when one only has to.
    pub fn hindrance(&self, now: Millis, task: &Task) -> Option<String> {
        let selected: Vec<&Delegate> = self
            .delegates
            .values()
            .filter(|delegate| delegate.token_active && delegate.is_selected_for(task))
            .collect();
        let holding = holding(task);
        if selected.is_empty() {
            let passed = if task.excluded.is_empty() {
                ""
            } else {
                " that did not pass the task on"
            };
            return Some(format!("There is no delegate{holding}{passed}."));
        }
        let live: Vec<_> = selected
            .iter()
            .filter(|delegate| delegate.is_connected(now))
            .collect();
        if live.is_empty() {
            return Some(format!("No delegate{holding} is connected."));
        }
        if !live.iter().any(|delegate| delegate.supports(&task.kind)) {
            return Some(format!(
                "No connected delegate{holding} runs tasks of type {}.",
                task.kind
            ));
        }
        let is_full = live.iter().all(|delegate| delegate.room() == 0);
        is_full.then(|| format!("Every connected delegate{holding} is at its capacity."))
    }

    /// Whether a delegate is offered a task.
    ///
    /// One that does not run its kind is left out as long as any registered delegate with the selectors does. When
    /// none does, it is offered to all: they refuse it with a reason, which is better than silence.
    fn is_for(&self, delegate: &Delegate, task: &Task) -> bool {
        delegate.is_selected_for(task)
            && (delegate.supports(&task.kind)
                || !self.delegates.values().any(|other| {
                    other.token_active && other.is_selected_for(task) && other.supports(&task.kind)
                }))
    }

    fn collect_aborts(&self, delegate: &Delegate, offer: &mut Offer) {
        let asked = delegate.running.iter().filter_map(|id| {
            let task = self.tasks.get(id)?;
            let aborting = matches!(
                task.state,
                State::Running {
                    abort_asked: Some(_),
                    ..
                }
            );
            aborting.then(|| (id.clone(), task.kind.clone()))
        });
        let stopped = delegate.stops.keys().map(|id| (id.clone(), String::new()));
        offer.aborts = asked.chain(stopped).take(MAX_EVENTS).collect();
    }

    /// Runs of which the delegate may not know.
    fn collect_unconfirmed(&self, now: Millis, delegate: &Delegate, offer: &mut Offer) {
        let overdue = delegate.unconfirmed.iter().filter_map(|id| {
            let task = self.tasks.get(id)?;
            let held =
                matches!(&task.state, State::Running { by, abort_asked: None, .. } if *by == delegate.id);
            let quiet = delegate.offered.get(id).is_none_or(|at| at + CONFIRM_MS <= now);
            (held && quiet).then(|| (id.clone(), task.kind.clone()))
        });
        offer.tasks.extend(overdue.take(MAX_EVENTS));
    }

    fn collect_tasks(&self, delegate: &Delegate, offer: &mut Offer) {
        let room = delegate.room().min(MAX_EVENTS);
        offer.tasks = self
            .waiting
            .iter()
            .filter_map(|(_, id)| self.tasks.get(id))
            .filter(|task| self.is_for(delegate, task))
            .take(room)
            .map(|task| (task.id.clone(), task.kind.clone()))
            .collect();
    }
}

/// The selectors of a task, in a sentence about delegates.
fn holding(task: &Task) -> String {
    if task.selectors.is_empty() {
        String::new()
    } else {
        format!(" with all of the selectors {}", task.selectors.join(", "))
    }
}
