//! How a registered delegate and its manager exchange calls: one trait, two ways.
//!
//! [`Polling`] is one HTTP request a call and works with every manager. [`Stream`](super::stream::Stream) carries the
//! same calls over one connection that stays open, for managers that offer it. Both have the same errors, so whoever
//! calls need not know which it is. Nothing is retried here; every call may be repeated, on either.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::client::{CallError, ManagerClient};
use super::logs::{LogServiceCallError, LogWrite, TaskLog};
use super::wire::{DelegateParams, Task, TaskEvents, TaskResponse};

/// The calls of a registered delegate.
///
/// A call that is dropped has an unknown outcome: the manager may have seen it.
#[async_trait]
pub trait Transport: std::fmt::Debug + Send + Sync {
    /// What health and metrics call it.
    fn name(&self) -> &'static str;

    /// Says that the delegate is alive.
    async fn heartbeat(&self, params: &DelegateParams) -> Result<(), CallError>;

    /// Asks for task events, waiting up to `wait` until there is one.
    async fn task_events(&self, delegate_id: &str, wait: Duration) -> Result<TaskEvents, CallError>;

    /// Takes a task. The delegate that holds it gets it again.
    async fn acquire(&self, delegate_id: &str, task_id: &str) -> Result<Task, CallError>;

    /// Answers a task. A repeated answer is taken as done.
    async fn respond(&self, delegate_id: &str, response: &TaskResponse) -> Result<(), CallError>;

    /// Writes to a task's log. Repeated lines are known by their positions.
    async fn write_log(&self, log: &TaskLog, write: LogWrite<'_>) -> Result<(), LogServiceCallError>;
}

/// One HTTP request a call.
#[derive(Debug)]
pub struct Polling(Arc<ManagerClient>);

impl Polling {
    /// With the calls of this client.
    pub fn new(client: Arc<ManagerClient>) -> Self {
        Self(client)
    }
}

#[async_trait]
impl Transport for Polling {
    fn name(&self) -> &'static str {
        "polling"
    }

    async fn heartbeat(&self, params: &DelegateParams) -> Result<(), CallError> {
        self.0.heartbeat(params).await
    }

    async fn task_events(&self, delegate_id: &str, wait: Duration) -> Result<TaskEvents, CallError> {
        self.0.task_events(delegate_id, wait).await
    }

    async fn acquire(&self, delegate_id: &str, task_id: &str) -> Result<Task, CallError> {
        self.0.acquire(delegate_id, task_id).await
    }

    async fn respond(&self, delegate_id: &str, response: &TaskResponse) -> Result<(), CallError> {
        self.0.respond(delegate_id, response).await
    }

    async fn write_log(&self, log: &TaskLog, write: LogWrite<'_>) -> Result<(), LogServiceCallError> {
        log.write(write).await
    }
}
