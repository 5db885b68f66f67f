//! What delegates ask for.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use tokio::time::Instant;

use super::{Engine, EngineError, LogKey, now};
use crate::manager::ids::{DelegateId, TaskId};
use crate::manager::queue::{Answer, Offer, RespondError, Responded};
use crate::protocol::wire::{
    CommandStatus, DelegateParams, Logging, Task, TaskDelegate, TaskEvent, TaskEventType, TaskResponse,
};

impl Engine {
    /// The name of the delegate token behind a bearer token.
    pub fn authenticate(&self, account: &str, bearer: &str) -> Result<String, EngineError> {
        if account != self.identity.account.as_str() {
            return Err(crate::manager::tokens::Refused::Invalid.into());
        }
        let core = self.shared.lock();
        Ok(core.tokens.authenticate(&self.identity.account, bearer, now())?)
    }

    /// Whether a delegate token that was good before still is.
    pub fn still_active(&self, token: &str) -> Result<(), EngineError> {
        let core = self.shared.lock();
        match core.tokens.get(token) {
            Some(token) if token.is_active(now()) => Ok(()),
            _ => Err(crate::manager::tokens::Refused::Revoked {
                name: token.to_owned(),
            }
            .into()),
        }
    }

    /// Registers a delegate.
    pub async fn register(&self, params: DelegateParams, token: &str) -> Result<DelegateId, EngineError> {
        let room = self.writer.room(0).await?;
        let (id, commit) = {
            let mut core = self.shared.lock();
            let (id, effects) = core.queue.register(now(), params, token);
            core.bells.entry(id.clone()).or_default();
            (id, self.hand_over(&mut core, room, Vec::new(), effects))
        };
        commit.kept().await?;
        Ok(id)
    }

    /// Forgets a delegate that says it is gone, unless its answers are still awaited.
    pub async fn unregister(&self, id: &DelegateId) -> Result<(), EngineError> {
        let room = self.writer.room(0).await?;
        let commit = {
            let mut core = self.shared.lock();
            let effects = core.queue.unregister(id)?;
            if core.queue.delegate(id.as_str()).is_none() {
                core.bells.remove(id);
            }
            self.hand_over(&mut core, room, Vec::new(), effects)
        };
        Ok(commit.kept().await?)
    }

    /// Takes a heartbeat.
    pub async fn heartbeat(
        &self,
        id: &DelegateId,
        said: Option<DelegateParams>,
        token: &str,
    ) -> Result<(), EngineError> {
        let room = self.writer.room(0).await?;
        let mut core = self.shared.lock();
        let effects = core.queue.heartbeat(now(), id, said, token)?;
        if !effects.changes.is_empty() {
            // A sign of life is no promise: nobody waits for it to be kept.
            drop(self.hand_over(&mut core, room, Vec::new(), effects));
        }
        Ok(())
    }

    /// Sets how many tasks a delegate takes at once.
    pub async fn set_capacity(&self, id: &DelegateId, capacity: u32) -> Result<(), EngineError> {
        let room = self.writer.room(0).await?;
        let commit = {
            let mut core = self.shared.lock();
            let effects = core.queue.set_capacity(now(), id, capacity)?;
            self.hand_over(&mut core, room, Vec::new(), effects)
        };
        Ok(commit.kept().await?)
    }

    /// What a delegate has to see, waiting up to `wait` until there is something.
    ///
    /// Dropping the call loses nothing: an event is given again until the delegate acts on it.
    pub async fn events(&self, id: &DelegateId, wait: Duration) -> Result<Vec<TaskEvent>, EngineError> {
        let until = Instant::now() + wait;
        let patient = !wait.is_zero();
        loop {
            let bell = {
                let mut core = self.shared.lock();
                Arc::clone(core.bells.entry(id.clone()).or_default())
            };
            let rung = bell.notified();
            tokio::pin!(rung);
            // From here on a ring is not missed.
            rung.as_mut().enable();
            let offer = {
                let mut core = self.shared.lock();
                match core.queue.offer(now(), id, patient) {
                    Ok(offer) => offer,
                    Err(unknown) => {
                        core.bells.remove(id);
                        return Err(unknown.into());
                    }
                }
            };
            self.still_welcome(id)?;
            let over = Instant::now() >= until || self.stopping.is_cancelled();
            if over || (offer.fresh && !offer.is_empty()) {
                // At the end of the wait, events that are not fresh are better than nothing.
                return Ok(self.events_of(offer));
            }
            let again = offer.again_at.map_or(until, |at| {
                let pause = u64::try_from(at - now()).unwrap_or(0);
                until.min(Instant::now() + Duration::from_millis(pause))
            });
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep_until(again) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// A token may be revoked while a call waits.
    fn still_welcome(&self, id: &DelegateId) -> Result<(), EngineError> {
        let core = self.shared.lock();
        match core.queue.delegate(id.as_str()) {
            Some(delegate) if !delegate.token_active => Err(crate::manager::tokens::Refused::Revoked {
                name: delegate.token_name.clone(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn events_of(&self, offer: Offer) -> Vec<TaskEvent> {
        let event = |event_type| {
            move |(id, task_type): (TaskId, String)| TaskEvent {
                event_type,
                account_id: self.identity.account.to_string(),
                delegate_task_id: id.to_string(),
                sync: false,
                task_type,
            }
        };
        let aborts = offer.aborts.into_iter().map(event(TaskEventType::Abort));
        aborts
            .chain(offer.tasks.into_iter().map(event(TaskEventType::Task)))
            .collect()
    }

    /// Gives a task to a delegate. Once this answers, the delegate holds the task whatever happens here.
    pub async fn acquire(&self, task: &TaskId, by: &DelegateId) -> Result<Task, EngineError> {
        let room = self.writer.room(0).await?;
        let (commit, kind, timeout) = {
            let mut core = self.shared.lock();
            let effects = core
                .queue
                .acquire(now(), task.as_str(), by)
                .map_err(EngineError::NotAcquired)?;
            let taken = core.queue.task(task.as_str()).ok_or(EngineError::UnknownTask)?;
            let (kind, timeout) = (taken.kind.clone(), taken.timeout_ms);
            // Also for a repeat, which changes nothing: the first one may not be committed yet.
            (
                self.hand_over(&mut core, room, Vec::new(), effects),
                kind,
                timeout,
            )
        };
        commit.kept().await?;
        let at_hand = {
            let core = self.shared.lock();
            let running = core.queue.task(task.as_str());
            let held = running.is_some_and(|task| !task.status().is_final());
            core.at_hand.of(task).filter(|_| held)
        };
        let data: Option<Value> = if let Some(data) = at_hand {
            serde_json::from_str(&data).ok()
        } else {
            let data = self.store.task_data(task.as_str()).await?;
            data.and_then(|text| serde_json::from_str(&text).ok())
        };
        // It ended in the meantime, and its data with it.
        let data = data.ok_or(EngineError::NotAcquired(
            crate::manager::queue::AcquireError::Over,
        ))?;
        let key = LogKey::of(&self.identity.account, task);
        Ok(Task {
            id: task.to_string(),
            kind,
            data,
            is_async: true,
            runner_response: false,
            timeout,
            logging: Logging {
                token: self.identity.log_token(&key.to_string()).expose().to_owned(),
                abstractions: IndexMap::from(key.abstractions()),
            },
            delegate: TaskDelegate {
                id: by.to_string(),
                instance_id: by.to_string(),
                token: String::new(),
            },
        })
    }

    /// Takes a delegate's answer. Repeating it is fine and changes nothing.
    pub async fn respond(
        &self,
        task: &TaskId,
        by: &DelegateId,
        response: TaskResponse,
    ) -> Result<Responded, EngineError> {
        let answer = answer(task, response);
        let room = self.writer.room(answer.json.len()).await?;
        let decided = {
            let mut core = self.shared.lock();
            match core.queue.respond(now(), task.as_str(), by, answer) {
                Ok((responded, effects)) => {
                    Ok((responded, self.hand_over(&mut core, room, Vec::new(), effects)))
                }
                Err(error) => Err(error),
            }
        };
        match decided {
            Ok((responded, commit)) => {
                commit.kept().await?;
                Ok(responded)
            }
            Err(RespondError::UnknownTask) => self.responded_before(task, by).await,
            Err(error) => Err(EngineError::NotTaken(error)),
        }
    }

    /// Whether the store knows that this delegate's answer is not awaited any more.
    async fn responded_before(&self, task: &TaskId, by: &DelegateId) -> Result<Responded, EngineError> {
        let kept = self
            .store
            .task(task.as_str())
            .await?
            .ok_or(EngineError::UnknownTask)?;
        if kept.holder() == Some(by) || kept.excluded.contains(by) {
            Ok(Responded::Repeated)
        } else {
            Err(EngineError::NotTaken(RespondError::NotHolder))
        }
    }
}

/// What the state machine needs to know of a response. The identity in the path counts; some clients leave it out of
/// the body.
fn answer(task: &TaskId, mut response: TaskResponse) -> Answer {
    response.id = task.to_string();
    let said = response.data.get("command_execution_status").cloned();
    Answer {
        code: response.code,
        command: said
            .and_then(|said| serde_json::from_value(said).ok())
            .unwrap_or(CommandStatus::Success),
        json: serde_json::to_string(&response).unwrap_or_default(),
    }
}
