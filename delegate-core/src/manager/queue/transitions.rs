//! What can happen to a task.

use super::{
    ABORT_GRACE_MS, Answer, Effects, FORGET_AFTER_MS, LOST_AFTER_MS, MAX_ATTEMPTS, MAX_WAITING, Queue,
    STOP_ORDER_MS,
};
use super::{Changed, State, Task};
use crate::manager::ids::{DelegateId, Millis, TaskId};
use crate::protocol::api::TaskStatus;

/// A new task.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Identity it shall have.
    pub id: TaskId,
    /// Name of the task kind.
    pub kind: String,
    /// What a delegate must hold.
    pub selectors: Vec<String>,
    /// Bound of the run.
    pub timeout_ms: u64,
    /// Bound of the wait.
    pub queue_timeout_ms: u64,
}

/// There are [`MAX_WAITING`] tasks waiting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_WAITING} tasks are waiting already")]
pub struct QueueFull;

/// Why a delegate does not get a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The delegate is not registered.
    #[error("the delegate is not registered")]
    NotRegistered,
    /// There is no such task, or it is over and forgotten.
    #[error("there is no such task waiting")]
    UnknownTask,
    /// Another delegate holds it.
    #[error("another delegate has the task")]
    Taken,
    /// It is over.
    #[error("the task is over")]
    Over,
    /// The selectors, or its own refusal, keep this delegate from it.
    #[error("the task is not for this delegate")]
    NotSelected,
    /// The delegate holds as many tasks as it said it can.
    #[error("the delegate holds as many tasks as its capacity allows")]
    NoRoom,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responded {
    /// It was taken.
    Taken,
    /// It had been taken before, or the task was over without it; nothing changed.
    Repeated,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// Not among the tasks in memory: the store knows whether it ever was one.
    #[error("there is no such task running")]
    UnknownTask,
    /// Another delegate, or none, holds it.
    #[error("this delegate does not hold the task")]
    NotHolder,
}

/// Not among the tasks in memory: the store knows whether it ever was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such task waiting or running")]
pub struct AbortError;

impl Queue {
    /// Accepts a task.
    pub fn submit(&mut self, now: Millis, new: Submission) -> Result<Effects, QueueFull> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(QueueFull);
        }
        let task = Task {
            id: new.id,
            kind: new.kind,
            selectors: new.selectors,
            timeout_ms: new.timeout_ms,
            queue_timeout_ms: new.queue_timeout_ms,
            created_at: now,
            attempts: 0,
            excluded: Vec::new(),
            state: State::Queued { since: now },
        };
        let mut effects = Effects::task(&task);
        effects.wake = self.takers(now, &task);
        self.insert(task);
        Ok(effects)
    }

    /// Gives a task to a delegate. The same delegate may ask again and gets it again.
    pub fn acquire(&mut self, now: Millis, id: &str, by: &DelegateId) -> Result<Effects, AcquireError> {
        let delegate = self.delegates.get_mut(by).ok_or(AcquireError::NotRegistered)?;
        delegate.seen(now);
        let task = self.tasks.get(id).ok_or(AcquireError::UnknownTask)?;
        match &task.state {
            State::Running { by: holder, .. } if holder == by => return Ok(Effects::default()),
            State::Running { .. } => return Err(AcquireError::Taken),
            State::Ended(_) => return Err(AcquireError::Over),
            State::Queued { .. } => {}
        }
        let delegate = self.delegates.get(by).ok_or(AcquireError::NotRegistered)?;
        if !delegate.token_active || !delegate.is_selected_for(task) {
            return Err(AcquireError::NotSelected);
        }
        if delegate.room() == 0 {
            return Err(AcquireError::NoRoom);
        }
        let name = delegate.params.delegate_name.clone();
        let changed = self.change(id, |task| {
            task.attempts += 1;
            task.state = State::Running {
                by: by.clone(),
                name,
                since: now,
                abort_asked: None,
            };
        });
        if let Some(delegate) = self.delegates.get_mut(by) {
            delegate.offered.insert(id.into(), now);
            delegate.unconfirmed.insert(id.into());
        }
        let task = changed.ok_or(AcquireError::UnknownTask)?;
        Ok(Effects::task(&task))
    }

    /// Notes that the holder of a task does run it.
    pub fn confirm(&mut self, id: &str) {
        let holder = self.tasks.get(id).and_then(|task| task.holder().cloned());
        if let Some(delegate) = holder.and_then(|by| self.delegates.get_mut(&by)) {
            delegate.unconfirmed.remove(id);
        }
    }

    /// Takes a delegate's answer. Repeating it is fine and changes nothing.
    pub fn respond(
        &mut self,
        now: Millis,
        id: &str,
        by: &DelegateId,
        answer: Answer,
    ) -> Result<(Responded, Effects), RespondError> {
        if let Some(delegate) = self.delegates.get_mut(by) {
            delegate.seen(now);
            delegate.stops.remove(id);
        }
        let task = self.tasks.get(id).ok_or(RespondError::UnknownTask)?;
        // A delegate that passed the task on may say so twice, whoever has it by now.
        if task.excluded.contains(by) || (task.status().is_final() && task.holder() == Some(by)) {
            return Ok((Responded::Repeated, Effects::default()));
        }
        let State::Running {
            by: holder,
            abort_asked,
            ..
        } = &task.state
        else {
            return Err(RespondError::NotHolder);
        };
        if holder != by {
            return Err(RespondError::NotHolder);
        }
        let aborting = abort_asked.is_some();
        let (status, reason) = match answer.status() {
            Some(status) => (status, None),
            None if aborting => (
                TaskStatus::Aborted,
                Some("The abort came while the task was passed on to another delegate.".to_owned()),
            ),
            None if task.attempts >= MAX_ATTEMPTS => (
                TaskStatus::Failed,
                Some(format!(
                    "{MAX_ATTEMPTS} delegates passed the task on; the last answer says why."
                )),
            ),
            None => return Ok((Responded::Taken, self.pass_on(now, id, by))),
        };
        let mut effects = self.end(now, id, status, reason, Some(answer.json));
        effects.wake.extend(self.woken_by_room(by));
        Ok((Responded::Taken, effects))
    }

    /// Ends a task: at once when it waits, by its delegate when it runs.
    pub fn abort(&mut self, now: Millis, id: &str) -> Result<(TaskStatus, Effects), AbortError> {
        let task = self.tasks.get(id).ok_or(AbortError)?;
        let effects = match &task.state {
            // Over, or asked for before.
            State::Ended(_)
            | State::Running {
                abort_asked: Some(_), ..
            } => Effects::default(),
            State::Queued { .. } => self.end(
                now,
                id,
                TaskStatus::Aborted,
                Some("Aborted while waiting.".into()),
                None,
            ),
            State::Running { by, .. } => {
                let by = by.clone();
                let asked = self.change(id, |task| {
                    if let State::Running { abort_asked, .. } = &mut task.state {
                        *abort_asked = Some(now);
                    }
                });
                let mut effects = asked.map_or_else(Effects::default, |task| Effects::task(&task));
                effects.wake.push(by);
                effects
            }
        };
        let status = self.tasks.get(id).map_or(TaskStatus::Aborted, Task::status);
        Ok((status, effects))
    }

    /// Does what time alone asks for. Call it at [`Queue::next_deadline`] and every few seconds.
    pub fn tick(&mut self, now: Millis) -> Effects {
        let mut effects = Effects::default();
        while let Some((at, id)) = self.deadlines.first().cloned() {
            if at > now {
                break;
            }
            effects.absorb(self.overdue(now, &id));
        }
        let silent: Vec<DelegateId> = self
            .delegates
            .values()
            .filter(|delegate| !delegate.running.is_empty() && !delegate.is_connected(now))
            .map(|delegate| delegate.id.clone())
            .collect();
        for id in silent {
            effects.absorb(self.end_tasks_of_silent(now, &id));
        }
        let forgotten: Vec<DelegateId> = self
            .delegates
            .values()
            .filter(|delegate| delegate.running.is_empty())
            .filter(|delegate| {
                now - delegate.last_seen > FORGET_AFTER_MS || self.is_superseded(now, delegate)
            })
            .map(|delegate| delegate.id.clone())
            .collect();
        for id in forgotten {
            self.delegates.remove(&id);
            effects.changes.push(Changed::DelegateGone(id));
        }
        for delegate in self.delegates.values_mut() {
            delegate.stops.retain(|_, until| *until > now);
            let tasks = &self.tasks;
            delegate.offered.retain(|id, _| tasks.contains_key(id));
            let running = &delegate.running;
            delegate.unconfirmed.retain(|id| running.contains(id));
        }
        effects
    }

    /// A task's own deadline has passed.
    fn overdue(&mut self, now: Millis, id: &TaskId) -> Effects {
        let Some(task) = self.tasks.get(id.as_str()) else {
            self.deadlines.retain(|(_, other)| other != id);
            return Effects::default();
        };
        match &task.state {
            State::Queued { .. } => {
                let reason = self.why_waiting(now, task);
                self.end(now, id.as_str(), TaskStatus::Expired, Some(reason), None)
            }
            State::Running {
                abort_asked: Some(asked),
                ..
            } if *asked + ABORT_GRACE_MS <= now => {
                let reason = format!("Its delegate did not end it within {} s.", ABORT_GRACE_MS / 1000);
                self.end_unanswered(now, id.as_str(), TaskStatus::Aborted, reason)
            }
            State::Running { .. } => {
                let reason = format!(
                    "Its delegate did not answer within the bound of {} ms and the grace after it.",
                    task.timeout_ms
                );
                self.end_unanswered(now, id.as_str(), TaskStatus::TimedOut, reason)
            }
            State::Ended(_) => Effects::default(),
        }
    }

    /// A silent delegate's tasks: aborted ones end at once, the others when it is taken for lost.
    fn end_tasks_of_silent(&mut self, now: Millis, by: &DelegateId) -> Effects {
        let Some(delegate) = self.delegates.get(by) else {
            return Effects::default();
        };
        let silence = now - delegate.last_seen;
        let lost = silence > LOST_AFTER_MS;
        let revoked = if delegate.token_active {
            ""
        } else {
            " Its token was revoked."
        };
        let running: Vec<TaskId> = delegate.running.iter().cloned().collect();
        let mut effects = Effects::default();
        for id in running {
            let aborting = matches!(
                self.tasks.get(&id).map(|task| &task.state),
                Some(State::Running {
                    abort_asked: Some(_),
                    ..
                })
            );
            let said = format!(
                "Its delegate has not been heard of for {} s.{revoked}",
                silence / 1000
            );
            if aborting {
                effects.absorb(self.end_unanswered(now, id.as_str(), TaskStatus::Aborted, said));
            } else if lost {
                effects.absorb(self.end_unanswered(now, id.as_str(), TaskStatus::Failed, said));
            }
        }
        effects
    }

    /// Another delegate shall try.
    fn pass_on(&mut self, now: Millis, id: &str, by: &DelegateId) -> Effects {
        let changed = self.change(id, |task| {
            task.excluded.push(by.clone());
            task.state = State::Queued { since: now };
        });
        let Some(task) = changed else {
            return Effects::default();
        };
        let mut effects = Effects::task(&task);
        effects.wake = self.takers(now, &task);
        effects.wake.extend(self.woken_by_room(by));
        effects
    }

    /// Ends a task whose holder said nothing; should it live, it is told to stop.
    fn end_unanswered(&mut self, now: Millis, id: &str, status: TaskStatus, reason: String) -> Effects {
        let holder = self.tasks.get(id).and_then(|task| task.holder().cloned());
        let mut effects = self.end(now, id, status, Some(reason), None);
        if let Some(by) = holder
            && let Some(delegate) = self.delegates.get_mut(&by)
        {
            delegate.stops.insert(id.into(), now + STOP_ORDER_MS);
            effects.wake.push(by);
        }
        effects
    }

    fn end(
        &mut self,
        now: Millis,
        id: &str,
        status: TaskStatus,
        reason: Option<String>,
        response: Option<String>,
    ) -> Effects {
        self.change(id, |task| task.end(now, status, reason, response))
            .map_or_else(Effects::default, |task| Effects::task(&task))
    }

    /// A delegate that was full and has room again may have tasks to see.
    fn woken_by_room(&self, by: &DelegateId) -> Option<DelegateId> {
        self.delegates
            .get(by)
            .filter(|delegate| !self.waiting.is_empty() && delegate.room() == 1)
            .map(|delegate| delegate.id.clone())
    }
}
