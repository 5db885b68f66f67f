//! An open stream: sends calls, finds who waits for a reply.
//!
//! Two tasks' worth of work: the library sends what is in the outbox, and one task here reads replies. The stream ends
//! when either side ends it, when nothing moves on it for too long, or when it is dropped; then every call that waits
//! fails with a transport error, which means: repeat it elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;
use url::Url;

use super::open::{refused, status_kind, transport};
use super::wire::call::What;
use super::wire::write_log;
use super::wire::{
    Acquire, Call, CloseLog, Events, FromManager, Heartbeat, OpenLog, Reply, Respond, WriteLog,
};
use crate::protocol::call_error::{CallError, CallErrorKind, Dismissal, TokenRefusal, Verdict, unreadable};
use crate::protocol::client::{
    ACQUIRE_TIMEOUT, HEARTBEAT_TIMEOUT, ManagerClient, RESPOND_TIMEOUT, TASK_EVENTS_TIMEOUT, to_json,
};
use crate::protocol::logs::{CALL_TIMEOUT, LogServiceCallError, LogWrite, TaskLog};
use crate::protocol::transport::Transport;
use crate::protocol::wire::{DelegateParams, Task, TaskEvents, TaskResponse};

/// A larger answer goes over HTTP, on a connection of its own: on this one it would hold up heartbeats on a slow line.
const MAX_BODY: usize = 1024 * 1024;

/// Who waits for the reply to a call, and the call's place among those without a reply. The place is held until the reply
/// comes, also when nobody waits for it any more, because the manager counts the same way.
struct Waiting {
    reply: oneshot::Sender<Result<Bytes, CallErrorKind>>,
    _place: OwnedSemaphorePermit,
}

/// `None` once the stream has ended.
type Pending = Mutex<Option<HashMap<u64, Waiting>>>;

/// An open stream to the manager.
#[derive(Debug)]
pub struct Stream {
    client: Arc<ManagerClient>,
    url: Url,
    outbox: mpsc::Sender<Call>,
    places: Arc<Semaphore>,
    pending: Arc<Pending>,
    next_id: AtomicU64,
    ended: watch::Sender<Option<String>>,
    _reader: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Stream {
    pub(super) fn start(
        client: Arc<ManagerClient>,
        url: Url,
        outbox: mpsc::Sender<Call>,
        inbound: Streaming<FromManager>,
        calls: u32,
    ) -> Self {
        let pending: Arc<Pending> = Arc::new(Mutex::new(Some(HashMap::new())));
        let ended = watch::Sender::new(None);
        let reader = tokio::spawn(read(inbound, Arc::clone(&pending), ended.clone()));
        Self {
            client,
            url,
            outbox,
            places: Arc::new(Semaphore::new(calls as usize)),
            pending,
            next_id: AtomicU64::new(1),
            ended,
            _reader: AbortOnDropHandle::new(reader),
        }
    }

    /// Waits until the stream has ended, and says why. Cancellation safe.
    pub async fn ended(&self) -> String {
        let mut end = self.ended.subscribe();
        end.wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or_default()
    }

    /// Ends the stream: what waits fails.
    pub fn end(&self, reason: &str) {
        end(&self.pending, &self.ended, reason);
    }

    async fn call(&self, what: What, within: Duration) -> Result<Bytes, CallErrorKind> {
        let broken = || transport("the persistent connection has ended");
        let exchange = async {
            let place = tokio::select! {
                place = Arc::clone(&self.places).acquire_owned() => place.map_err(|_| broken())?,
                _ = self.ended() => return Err(broken()),
            };
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let (reply, replied) = oneshot::channel();
            let waiting = Waiting { reply, _place: place };
            self.wait_for(id, waiting).ok_or_else(broken)?;
            let call = Call { id, what: Some(what) };
            self.outbox.send(call).await.map_err(|_| broken())?;
            replied.await.map_err(|_| broken())?
        };
        timeout(within, exchange).await.unwrap_or_else(|_| {
            // Calls pass each other and bodies are small, so one without a reply means that nothing comes through.
            self.end("a call had no reply in time");
            Err(transport("no answer in time"))
        })
    }

    fn wait_for(&self, id: u64, waiting: Waiting) -> Option<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.as_mut()?.insert(id, waiting);
        Some(())
    }

    fn fail(&self, kind: CallErrorKind) -> CallError {
        CallError::new(&Method::POST, &self.url, kind)
    }

    fn json<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, CallError> {
        serde_json::from_slice(body).map_err(|error| unreadable(&Method::POST, &self.url, error.to_string()))
    }

    async fn beat(&self, params: &DelegateParams) -> Result<(), CallError> {
        let bearer = self
            .client
            .bearer()
            .token()
            .map_err(|error| self.fail(error.into()))?;
        let beat = Heartbeat {
            params: to_json(params).into(),
            bearer: bearer.expose().to_owned(),
        };
        let result = self.call(What::Heartbeat(beat), HEARTBEAT_TIMEOUT).await;
        result
            .and_then(|body| Dismissal::in_reply(&body))
            .map_err(|kind| self.fail(kind))
    }

    /// A refused token is minted anew for the next call, from the token file as it is by then.
    fn mind_the_token<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        if let Err(error) = &result
            && matches!(error.verdict(), Verdict::TokenRefused(_))
        {
            self.client.bearer().forget();
        }
        result
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end("the persistent connection was given up");
    }
}

#[async_trait]
impl Transport for Stream {
    fn name(&self) -> &'static str {
        "stream"
    }

    async fn heartbeat(&self, params: &DelegateParams) -> Result<(), CallError> {
        let first = self.mind_the_token(self.beat(params).await);
        match &first {
            Err(error) if error.verdict() == Verdict::TokenRefused(TokenRefusal::Expired) => {
                self.mind_the_token(self.beat(params).await)
            }
            _ => first,
        }
    }

    async fn task_events(&self, delegate_id: &str, wait: Duration) -> Result<TaskEvents, CallError> {
        let ask = Events {
            delegate: delegate_id.to_owned(),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let result = self.call(What::Events(ask), wait + TASK_EVENTS_TIMEOUT).await;
        let body = self.mind_the_token(result.map_err(|kind| self.fail(kind)))?;
        self.json(&body)
    }

    async fn acquire(&self, delegate_id: &str, task_id: &str) -> Result<Task, CallError> {
        let acquire = Acquire {
            delegate: delegate_id.to_owned(),
            task: task_id.to_owned(),
        };
        let result = self.call(What::Acquire(acquire), ACQUIRE_TIMEOUT).await;
        let body = self.mind_the_token(result.map_err(|kind| self.fail(kind)))?;
        self.json(&body)
    }

    async fn respond(&self, delegate_id: &str, response: &TaskResponse) -> Result<(), CallError> {
        let body = to_json(response);
        if body.len() > MAX_BODY {
            return self.client.respond(delegate_id, response).await;
        }
        let respond = Respond {
            delegate: delegate_id.to_owned(),
            task: response.id.clone(),
            response: body.into(),
        };
        let result = self.call(What::Respond(respond), RESPOND_TIMEOUT).await;
        let result = self.mind_the_token(result.map_err(|kind| self.fail(kind)));
        result.map(drop)
    }

    async fn write_log(&self, log: &TaskLog, write: LogWrite<'_>) -> Result<(), LogServiceCallError> {
        if !log.is_at(&self.client.log_service()) {
            // The logs of this delegate go elsewhere.
            return log.write(write).await;
        }
        let operation = write.operation();
        let what = match write {
            LogWrite::Open => write_log::What::Open(OpenLog {}),
            LogWrite::Append(lines) => {
                write_log::What::Lines(serde_json::to_vec(lines).unwrap_or_default().into())
            }
            LogWrite::Close => write_log::What::Close(CloseLog {}),
        };
        let write = WriteLog {
            key: log.key().to_owned(),
            token: log.token().expose().to_owned(),
            what: Some(what),
        };
        let result = self.call(What::WriteLog(write), CALL_TIMEOUT).await;
        result
            .map(drop)
            .map_err(|kind| LogServiceCallError { operation, kind })
    }
}

/// Hands replies to who waits for them, until the stream ends.
async fn read(
    mut inbound: Streaming<FromManager>,
    pending: Arc<Pending>,
    ended: watch::Sender<Option<String>>,
) {
    let reason = loop {
        match inbound.message().await {
            Ok(Some(message)) => {
                let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(pending) = pending.as_mut() else { return };
                for Reply { id, refusal, body } in message.replies {
                    if let Some(waiting) = pending.remove(&id) {
                        // Nobody may wait for it any more.
                        let _ = waiting
                            .reply
                            .send(refusal.map_or(Ok(body), |refusal| Err(refused(refusal))));
                    }
                }
            }
            Ok(None) => break "the manager ended the persistent connection".to_owned(),
            Err(status) => break status_kind(&status).to_string(),
        }
    };
    end(&pending, &ended, &reason);
}

fn end(pending: &Pending, ended: &watch::Sender<Option<String>>, reason: &str) {
    let waiting = pending.lock().unwrap_or_else(PoisonError::into_inner).take();
    for (_, waiting) in waiting.into_iter().flatten() {
        let _ = waiting.reply.send(Err(transport(reason)));
    }
    ended.send_if_modified(|known| {
        let first = known.is_none();
        known.get_or_insert_with(|| reason.to_owned());
        first
    });
}
