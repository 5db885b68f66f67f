//! Calls to the manager, each an observation of the connection and of our token.
//!
//! The loops call the manager through here only, so that health, metrics and the token's fate see every answer. They
//! need not know how it is reached: calls go over the persistent connection while there is one, and by polling else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::auth_watch::AuthWatch;
use super::connection::Connection;
use super::events::{Event, Recorder as _};
use super::metrics::Metrics;
use crate::Secret;
use crate::protocol::client::{BearerError, CallError, ManagerClient, Verdict};
use crate::protocol::logs::{LogServiceCallError, LogWrite, TaskLog};
use crate::protocol::runner::{Payload, RunnerEvents};
use crate::protocol::stream::{self, Stream};
use crate::protocol::transport::{Polling, Transport};
use crate::protocol::wire::{DelegateParams, Registered, Task, TaskEvents, TaskResponse};

/// The manager, observed.
#[derive(Debug)]
pub(super) struct Link {
    client: Arc<ManagerClient>,
    polling: Arc<dyn Transport>,
    transport: watch::Sender<Arc<dyn Transport>>,
    /// Whether the manager we are registered with offers the persistent connection.
    stream_offered: watch::Sender<bool>,
    unregister_offered: AtomicBool,
    pub(super) connection: Connection,
    pub(super) auth: AuthWatch,
    metrics: Arc<Metrics>,
    delegate_id: watch::Sender<Option<Arc<str>>>,
}

impl Link {
    pub(super) fn new(client: ManagerClient, metrics: Arc<Metrics>) -> Self {
        let client = Arc::new(client);
        let polling: Arc<dyn Transport> = Arc::new(Polling::new(Arc::clone(&client)));
        Self {
            client,
            transport: watch::Sender::new(Arc::clone(&polling)),
            polling,
            stream_offered: watch::Sender::new(false),
            unregister_offered: AtomicBool::new(false),
            connection: Connection::default(),
            auth: AuthWatch::new(),
            metrics,
            delegate_id: watch::Sender::new(None),
        }
    }

    /// Calls go the way that `make` makes out of polling.
    pub(super) fn going(mut self, make: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>) -> Self {
        self.polling = make(self.polling);
        self.transport.send_replace(Arc::clone(&self.polling));
        self
    }

    /// Whether the manager can be reached and takes our token, and we are registered.
    pub(super) fn is_connected(&self) -> bool {
        self.delegate_id.borrow().is_some() && self.connection.is_up() && self.auth.is_accepted()
    }

    /// Our identity; `None` while we are not registered.
    pub(super) fn delegate_id(&self) -> Option<Arc<str>> {
        self.delegate_id.borrow().clone()
    }

    /// Waits until we are registered. Cancellation safe.
    pub(super) async fn registered(&self) -> Arc<str> {
        let mut id = self.delegate_id.subscribe();
        loop {
            if let Some(id) = id.borrow_and_update().clone() {
                return id;
            }
            // The sender lives in `self`, so there is always a next value to wait for.
            let _ = id.changed().await;
        }
    }

    /// Waits until we are registered under another identity than this. Cancellation safe.
    pub(super) async fn registered_as_other(&self, than: &str) {
        let mut id = self.delegate_id.subscribe();
        let _ = id.wait_for(|id| id.as_deref().is_some_and(|id| id != than)).await;
    }

    /// Waits until we are not registered. Cancellation safe.
    pub(super) async fn unregistered(&self) {
        let mut id = self.delegate_id.subscribe();
        let _ = id.wait_for(Option::is_none).await;
    }

    /// Says goodbye, where the manager takes that. Not tried twice: an entry that stays ages out.
    pub(super) async fn unregister(&self) {
        let Some(id) = self.delegate_id() else { return };
        if self.unregister_offered.load(Ordering::Relaxed)
            && let Err(error) = self.client.unregister(&id).await
        {
            warn!(%error, "the manager was not told that this delegate is gone; its entry ages out");
        }
    }

    /// Takes on an identity, and what the manager that gave it offers.
    pub(super) fn adopt(&self, registered: Registered) {
        self.unregister_offered
            .store(registered.unregister, Ordering::Relaxed);
        self.stream_offered
            .send_replace(registered.stream.as_deref() == Some(stream::VERSION));
        self.delegate_id.send_replace(Some(registered.delegate_id.into()));
    }

    /// Waits until we are registered with a manager that offers the persistent connection. Cancellation safe.
    pub(super) async fn stream_is_offered(&self) {
        // The sender lives in `self`.
        let _ = self.stream_offered.subscribe().wait_for(|offered| *offered).await;
    }

    /// Opens the persistent connection; nothing uses it yet.
    pub(super) async fn open_stream(&self) -> Result<Arc<Stream>, CallError> {
        let opened = self.client.open_stream().await.map(Arc::new);
        self.observe(opened, None)
    }

    /// Calls go over this from now on.
    pub(super) fn use_stream(&self, stream: Arc<Stream>) {
        self.transport.send_replace(stream);
    }

    /// Calls go by polling from now on.
    pub(super) fn use_polling(&self) {
        self.transport.send_replace(Arc::clone(&self.polling));
    }

    /// Whether calls go over the persistent connection now.
    pub(super) fn is_streaming(&self) -> bool {
        !Arc::ptr_eq(&self.transport.borrow(), &self.polling)
    }

    /// How calls go now.
    pub(super) fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport.borrow())
    }

    /// Tells when calls go another way.
    pub(super) fn transports(&self) -> watch::Receiver<Arc<dyn Transport>> {
        self.transport.subscribe()
    }

    /// Registers. A refusal of the token or of the delegate is the caller's to judge: the first registration ends with
    /// it, a later one does not.
    pub(super) async fn register(&self, params: &DelegateParams) -> Result<Registered, CallError> {
        let result = self.client.register(params).await;
        match &result {
            Err(error) if matches!(error.verdict(), Verdict::TokenRefused(_) | Verdict::Dismissed(_)) => {
                self.answered();
                result
            }
            _ => self.observe(result, None),
        }
    }

    pub(super) async fn heartbeat(&self, params: &DelegateParams) -> Result<(), CallError> {
        self.observe(
            self.transport().heartbeat(params).await,
            Some(&params.delegate_id),
        )
    }

    pub(super) async fn task_events(&self, id: &str, wait: Duration) -> Result<TaskEvents, CallError> {
        self.observe(self.transport().task_events(id, wait).await, Some(id))
    }

    pub(super) async fn acquire(&self, id: &str, task_id: &str) -> Result<Task, CallError> {
        self.observe(self.transport().acquire(id, task_id).await, None)
    }

    pub(super) async fn respond(&self, id: &str, response: &TaskResponse) -> Result<(), CallError> {
        self.observe(self.transport().respond(id, response).await, None)
    }

    /// Events of the early runner protocol, and whether the manager speaks it.
    pub(super) async fn runner_events(&self, id: &str) -> Result<RunnerEvents, CallError> {
        self.observe(self.client.runner_events(id).await, Some(id))
    }

    pub(super) async fn payload(&self, id: &str, task_id: &str) -> Result<Payload, CallError> {
        self.observe(self.client.payload(id, task_id).await, None)
    }

    /// Whether the manager offers the persistent connection, which only ours does.
    pub(super) fn offers_stream(&self) -> bool {
        *self.stream_offered.borrow()
    }

    /// A text that only who has the delegate token reads.
    pub(super) fn seal(&self, text: &Secret) -> Result<String, BearerError> {
        self.client.seal(text)
    }

    /// What was sealed; `None` when the delegate token has changed since.
    pub(super) fn unseal(&self, sealed: &str) -> Option<Secret> {
        self.client.unseal(sealed)
    }

    /// Not observed: a log service may be somebody else's, and is tried on its own terms.
    pub(super) async fn write_log(
        &self,
        log: &TaskLog,
        write: LogWrite<'_>,
    ) -> Result<(), LogServiceCallError> {
        self.transport().write_log(log, write).await
    }

    fn observe<T>(&self, result: Result<T, CallError>, as_delegate: Option<&str>) -> Result<T, CallError> {
        let lost = |error: &CallError| error.verdict() == Verdict::Retry;
        let answered = !result.as_ref().is_err_and(lost);
        self.metrics.record(Event::ManagerCall { answered });
        match &result {
            Ok(_) => {
                self.answered();
                self.auth.accepted();
            }
            Err(error) => match error.verdict() {
                Verdict::TokenRefused(how) => {
                    self.answered();
                    self.auth.refused(how);
                }
                Verdict::Dismissed(why) => {
                    self.answered();
                    self.auth.dismissed(why);
                }
                Verdict::Final => self.answered(),
                Verdict::NotRegistered => {
                    self.answered();
                    self.lose(as_delegate);
                }
                Verdict::Retry => self.connection.failed(error),
            },
        }
        result
    }

    fn answered(&self) {
        if self.connection.answered() {
            self.metrics.record(Event::Reconnected);
        }
    }

    /// The manager does not know this id. A late reply about an older identity changes nothing.
    fn lose(&self, id: Option<&str>) {
        self.delegate_id.send_if_modified(|now| {
            let ours = now.is_some() && now.as_deref() == id;
            if ours {
                warn!("the manager does not know this delegate any more; registering anew");
                *now = None;
            }
            ours
        });
    }
}
