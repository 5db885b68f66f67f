//! What users ask for: tasks and delegates.

use std::sync::Arc;

use super::{Engine, EngineError, now};
use crate::manager::ids::TaskId;
use crate::manager::queue::{Delegate, Submission, Task};
use crate::manager::store::{Change, Data, StoreError};
use crate::protocol::api::{DelegateView, TaskStatus};

/// A task and what there is to say about it now.
#[derive(Debug)]
pub struct Found {
    /// As it is committed.
    pub task: Task,
    /// What it waits for, when it waits.
    pub waiting_for: Option<String>,
}

impl Engine {
    /// Accepts a task. Once this answers, the task is run or ends with a reason, whatever happens here.
    pub async fn submit(&self, mut new: Submission, data: String) -> Result<TaskId, EngineError> {
        new.id = TaskId::random();
        let id = new.id.clone();
        let room = self.writer.room(data.len()).await?;
        let data: Arc<str> = data.into();
        let commit = {
            let mut core = self.shared.lock();
            let mut effects = core.queue.submit(now(), new)?;
            let task = core
                .queue
                .task(id.as_str())
                .cloned()
                .ok_or(EngineError::UnknownTask)?;
            // The new row says it all.
            effects.changes.clear();
            core.at_hand.hold(&id, &data);
            let change = Change::NewTask(Box::new(task), Data(data));
            self.hand_over(&mut core, room, vec![change], effects)
        };
        match commit.kept().await {
            Ok(()) => Ok(id),
            Err(error) => {
                if matches!(error, StoreError::Refused) {
                    let mut core = self.shared.lock();
                    core.queue.retract(id.as_str());
                    core.at_hand.drop(&id);
                }
                Err(error.into())
            }
        }
    }

    /// A task as it is committed.
    pub async fn task(&self, id: &str) -> Result<Found, EngineError> {
        let task = self.store.task(id).await?.ok_or(EngineError::UnknownTask)?;
        let waiting_for = (task.status() == TaskStatus::Queued).then(|| {
            let core = self.shared.lock();
            core.queue
                .task(id)
                .map(|task| core.queue.why_waiting(now(), task))
        });
        Ok(Found {
            task,
            waiting_for: waiting_for.flatten(),
        })
    }

    /// Ends a task: at once when it waits, by its delegate when it runs. The status is that after the call.
    pub async fn abort(&self, id: &str) -> Result<TaskStatus, EngineError> {
        let room = self.writer.room(0).await?;
        let decided = {
            let mut core = self.shared.lock();
            let aborted = core.queue.abort(now(), id);
            aborted.map(|(status, effects)| (status, self.hand_over(&mut core, room, Vec::new(), effects)))
        };
        let Ok((status, commit)) = decided else {
            let task = self.store.task(id).await?.ok_or(EngineError::UnknownTask)?;
            return Ok(task.status());
        };
        commit.kept().await?;
        Ok(status)
    }

    /// Registered delegates, by name, then by id.
    pub fn delegates(&self) -> Vec<DelegateView> {
        let now = now();
        let mut views: Vec<DelegateView> = self
            .shared
            .lock()
            .queue
            .delegates()
            .map(|delegate| view(delegate, now))
            .collect();
        views.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        views
    }
}

fn view(delegate: &Delegate, now: i64) -> DelegateView {
    let params = &delegate.params;
    DelegateView {
        id: delegate.id.to_string(),
        name: params.delegate_name.clone(),
        host_name: params.host_name.clone(),
        ip: params.ip.clone(),
        delegate_type: params.delegate_type.clone(),
        version: params.version.clone(),
        description: params.description.clone(),
        tags: params.tags.clone(),
        supported_task_types: params.supported_task_types.clone(),
        connected: delegate.token_active && delegate.is_connected(now),
        registered_at: timestamp(delegate.registered_at),
        last_seen_at: timestamp(delegate.last_seen),
        running_tasks: u32::try_from(delegate.running.len()).unwrap_or(u32::MAX),
        task_capacity: params.task_capacity,
        token_name: delegate.token_name.clone(),
        token_active: delegate.token_active,
    }
}

/// A time as the API shows it.
pub fn timestamp(at: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
