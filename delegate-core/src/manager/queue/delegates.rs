//! What can happen to a delegate.

use std::collections::BTreeSet;

use super::{Changed, Delegate, DelegateRow, Effects, Queue};
use crate::manager::ids::{DelegateId, Millis};
use crate::protocol::wire::DelegateParams;

/// How often a sign of life is written to the store: often enough to tell a recent delegate from a forgotten one
/// after a restart, and no more.
const SEEN_WRITTEN_EVERY_MS: Millis = 60_000;

/// The delegate is not registered, or was forgotten: it has to register anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the delegate is not registered")]
pub struct NotRegistered;

impl Queue {
    /// Registers a delegate and says who it is from now on.
    ///
    /// It keeps the identity it names when that is its own. It also gets back the identity of a disconnected delegate
    /// of the same name, host and address that holds no task, so that a restart leaves no stale entry; never that of
    /// a connected one, because two replicas under one identity would both run each task.
    pub fn register(&mut self, now: Millis, params: DelegateParams, token: &str) -> (DelegateId, Effects) {
        let same = |delegate: &&Delegate| {
            delegate.params.delegate_name == params.delegate_name
                && delegate.params.host_name == params.host_name
        };
        let own = self.delegates.get(params.delegate_id.as_str()).filter(same);
        let left = || {
            self.delegates.values().filter(same).find(|delegate| {
                delegate.params.ip == params.ip && delegate.running.is_empty() && !delegate.is_connected(now)
            })
        };
        let id = own
            .or_else(left)
            .map_or_else(DelegateId::random, |delegate| delegate.id.clone());
        let mut delegate = Delegate::new(id.clone(), params, token.to_owned(), now);
        delegate.params.delegate_id = id.to_string();
        if let Some(before) = self.delegates.remove(&id) {
            delegate.running = before.running;
            delegate.stops = before.stops;
        }
        let effects = Effects {
            changes: vec![Changed::Delegate(Box::new(row(&delegate)))],
            wake: Vec::new(),
        };
        self.delegates.insert(id.clone(), delegate);
        (id, effects)
    }

    /// Forgets a delegate that says it is gone. One that holds tasks stays: the next life of it answers them.
    pub fn unregister(&mut self, id: &DelegateId) -> Result<Effects, NotRegistered> {
        let delegate = self.delegates.get(id).ok_or(NotRegistered)?;
        if !delegate.running.is_empty() {
            return Ok(Effects::default());
        }
        self.delegates.remove(id);
        Ok(Effects {
            changes: vec![Changed::DelegateGone(id.clone())],
            wake: Vec::new(),
        })
    }

    /// The kinds that connected delegates say they can run.
    pub fn kinds(&self, now: Millis) -> BTreeSet<String> {
        let connected = self
            .delegates
            .values()
            .filter(|delegate| delegate.is_connected(now));
        connected
            .flat_map(|delegate| &delegate.params.supported_task_types)
            .cloned()
            .collect()
    }

    /// Whether a silent delegate was started again under another identity. Should it live after all, it registers anew.
    pub(super) fn is_superseded(&self, now: Millis, old: &Delegate) -> bool {
        let same = |new: &Delegate| {
            new.params.delegate_name == old.params.delegate_name
                && new.params.host_name == old.params.host_name
                && new.params.ip == old.params.ip
        };
        !old.is_connected(now)
            && self
                .delegates
                .values()
                .any(|new| new.registered_at > old.last_seen && new.is_connected(now) && same(new))
    }

    /// Takes a heartbeat. What the delegate says of itself now replaces what it said before.
    pub fn heartbeat(
        &mut self,
        now: Millis,
        id: &DelegateId,
        said: Option<DelegateParams>,
        token: &str,
    ) -> Result<Effects, NotRegistered> {
        let delegate = self.delegates.get_mut(id).ok_or(NotRegistered)?;
        delegate.heartbeat(now);
        let mut changed = delegate.token_name != token;
        token.clone_into(&mut delegate.token_name);
        delegate.token_active = true;
        if let Some(mut said) = said.filter(|said| !said.delegate_name.is_empty()) {
            // These two change without meaning anything, or are told by another call.
            said.last_heart_beat = delegate.params.last_heart_beat;
            said.task_capacity = said.task_capacity.or(delegate.params.task_capacity);
            said.delegate_id = id.to_string();
            changed |= said != delegate.params;
            delegate.params = said;
        }
        let mut effects = Effects::default();
        if changed {
            delegate.written_at = now;
            effects.changes.push(Changed::Delegate(Box::new(row(delegate))));
            effects.wake.push(id.clone());
        } else if now - delegate.written_at >= SEEN_WRITTEN_EVERY_MS {
            delegate.written_at = now;
            effects.changes.push(Changed::DelegateSeen(id.clone(), now));
        }
        Ok(effects)
    }

    /// Notes a sign of life.
    pub fn seen(&mut self, now: Millis, id: &DelegateId) -> Result<(), NotRegistered> {
        self.delegates.get_mut(id).ok_or(NotRegistered)?.seen(now);
        Ok(())
    }

    /// Sets how many tasks a delegate takes at once.
    pub fn set_capacity(
        &mut self,
        now: Millis,
        id: &DelegateId,
        capacity: u32,
    ) -> Result<Effects, NotRegistered> {
        let delegate = self.delegates.get_mut(id).ok_or(NotRegistered)?;
        delegate.seen(now);
        delegate.params.task_capacity = Some(capacity);
        Ok(Effects {
            changes: vec![Changed::Delegate(Box::new(row(delegate)))],
            wake: vec![id.clone()],
        })
    }

    /// Delegates of a revoked token see nothing any more. Their waiting calls are woken, to be refused.
    pub fn revoke(&mut self, token: &str) -> Effects {
        let mut effects = Effects::default();
        for delegate in self
            .delegates
            .values_mut()
            .filter(|delegate| delegate.token_name == token)
        {
            delegate.token_active = false;
            effects.wake.push(delegate.id.clone());
        }
        effects
    }
}

fn row(delegate: &Delegate) -> DelegateRow {
    DelegateRow {
        id: delegate.id.clone(),
        params: delegate.params.clone(),
        token_name: delegate.token_name.clone(),
        registered_at: delegate.registered_at,
        last_seen: delegate.last_seen,
    }
}
