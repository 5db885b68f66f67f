//! The persistent connection of delegates: the same calls as in [`super::agents`] and [`super::log_service`], over one
//! gRPC stream on the same port.
//!
//! A session is one task that reads calls; each call is answered by a task of its own, which ends with the session. Calls
//! without a reply are bounded, and so is the silence after which a session is taken for dead. The right to call is
//! that of the delegate token behind the bearer token seen last, looked at anew with each call.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::App;
use super::body::BodyError;
use super::refusal::Refusal;
use crate::manager::engine::{EngineError, LONGEST_WAIT, LogKey};
use crate::manager::ids::{DelegateId, TaskId};
use crate::protocol::stream::wire::call::What;
use crate::protocol::stream::wire::delegate_stream_server::{DelegateStream, DelegateStreamServer};
use crate::protocol::stream::wire::{
    self, Call, FromDelegate, FromManager, Heartbeat, Reply, Respond, Welcome, WriteLog, write_log,
};
use crate::protocol::stream::{ACCOUNT_HEADER, MAX_MESSAGE, packed};
use crate::protocol::wire::{DelegateParams, LogLine, TaskEvents, TaskResponse};

/// Calls of one delegate without a reply. A delegate runs a few hundred tasks at once, each with at most one call of its
/// own and one of its log.
const MAX_CALLS: u32 = 2048;

/// Replies that wait to be sent; a delegate that does not read them slows its own calls down.
const OUTBOX: usize = 256;

/// A delegate that says nothing for this long is gone: its heartbeats come every 10 s, and its questions for events
/// every 25.
const SILENCE: Duration = Duration::from_secs(75);

/// The service as routes, to be merged into the others.
pub(super) fn router(engine: &App) -> Router<App> {
    let service = DelegateStreamServer::new(Service(Arc::clone(engine)))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    Router::new().route_service("/harness_delegate.stream.v1.DelegateStream/{method}", service)
}

struct Service(App);

#[tonic::async_trait]
impl DelegateStream for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<FromManager, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<FromDelegate>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let text = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let account = text(ACCOUNT_HEADER).unwrap_or_default().to_owned();
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Delegate "));
        let first = match self.0.authenticate(&account, bearer.unwrap_or_default().trim()) {
            Ok(token) => {
                let (outbox, replies) = mpsc::channel(OUTBOX);
                let session = Session {
                    engine: Arc::clone(&self.0),
                    account,
                    token,
                    outbox,
                };
                tokio::spawn(session.run(request.into_inner()));
                let welcome = Welcome { calls: MAX_CALLS };
                let welcome = FromManager {
                    welcome: Some(welcome),
                    ..FromManager::default()
                };
                let replies = packed(replies).map(|replies| FromManager {
                    replies,
                    ..FromManager::default()
                });
                let messages = futures_util::stream::once(async { welcome }).chain(replies);
                return Ok(Response::new(Box::pin(messages.map(Ok))));
            }
            Err(error) => FromManager {
                refusal: Some(refusal(error)),
                ..FromManager::default()
            },
        };
        let messages = futures_util::stream::once(async { Ok(first) });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// One open stream.
struct Session {
    engine: App,
    account: String,
    /// Name of the delegate token whose bearer token was seen last.
    token: String,
    outbox: mpsc::Sender<Reply>,
}

impl Session {
    /// Takes calls until the stream ends, the delegate is silent for too long, or the manager stops.
    async fn run(mut self, mut inbound: Streaming<FromDelegate>) {
        let places = Arc::new(Semaphore::new(MAX_CALLS as usize));
        let mut answers = JoinSet::new();
        tracing::debug!(token = self.token, "a persistent connection was opened");
        loop {
            let message = tokio::select! {
                message = timeout(SILENCE, inbound.message()) => message,
                () = self.engine.stopping().cancelled() => break,
                // Not for its result: what has ended is taken out.
                Some(_) = answers.join_next() => continue,
            };
            let Ok(Ok(Some(message))) = message else { break };
            for Call { id, what } in message.calls {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    tracing::warn!(
                        token = self.token,
                        "a delegate makes more calls at once than it may; its stream is ended"
                    );
                    return;
                };
                // In order, unlike the others: it may renew the right to all calls after it.
                let renewed = match &what {
                    Some(What::Heartbeat(beat)) => self.renew(beat),
                    _ => Ok(()),
                };
                let caller = renewed.and_then(|()| self.engine.still_active(&self.token));
                let (engine, token, outbox) =
                    (Arc::clone(&self.engine), self.token.clone(), self.outbox.clone());
                answers.spawn(async move {
                    let result = match caller {
                        Ok(()) => answer(&engine, &token, what).await,
                        Err(refused) => Err(refused.into()),
                    };
                    let reply = match result {
                        Ok(body) => Reply {
                            id,
                            refusal: None,
                            body,
                        },
                        Err(refused) => Reply {
                            id,
                            refusal: Some(refused.into()),
                            body: Bytes::new(),
                        },
                    };
                    // A stream that has ended meanwhile needs no reply. The place is free before the delegate can know.
                    if let Ok(room) = outbox.reserve().await {
                        drop(place);
                        room.send(reply);
                    }
                });
            }
        }
        tracing::debug!(token = self.token, "a persistent connection has ended");
    }

    fn renew(&mut self, beat: &Heartbeat) -> Result<(), EngineError> {
        self.token = self.engine.authenticate(&self.account, &beat.bearer)?;
        Ok(())
    }
}

fn refusal(error: EngineError) -> wire::Refusal {
    Refusal::from(error).into()
}

/// Does what a call asks for.
async fn answer(engine: &App, token: &str, what: Option<What>) -> Result<Bytes, Refusal> {
    match what {
        Some(What::Heartbeat(beat)) => {
            let params: DelegateParams = read(&beat.params)?;
            super::agents::take_heartbeat(engine, token, params).await?;
            Ok(Bytes::new())
        }
        Some(What::Events(ask)) => {
            let wait = Duration::from_millis(ask.wait_ms.into()).min(LONGEST_WAIT);
            let delegate_task_events = engine.events(&ask.delegate.into(), wait).await?;
            write(&TaskEvents { delegate_task_events })
        }
        Some(What::Acquire(acquire)) => {
            let (delegate, task) = (DelegateId::from(acquire.delegate), TaskId::from(acquire.task));
            write(&super::agents::give(engine, &task, &delegate).await?)
        }
        Some(What::Respond(Respond {
            delegate,
            task,
            response,
        })) => {
            let response: TaskResponse = read(&response)?;
            super::agents::take_answer(engine, &task.into(), &delegate.into(), response).await?;
            Ok(Bytes::new())
        }
        Some(What::WriteLog(write)) => write_to_log(engine, write).await,
        // A call of a newer delegate.
        None => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "UNKNOWN_CALL",
            "This manager does not know the call.",
        )),
    }
}

async fn write_to_log(engine: &App, WriteLog { key, token, what }: WriteLog) -> Result<Bytes, Refusal> {
    let opens = engine.identity.is_log_token(&token, &key);
    let key = LogKey::parse(&key).filter(|_| opens).ok_or_else(|| {
        let message = "The token does not open this log; send the key and the token the task brought.";
        Refusal::new(StatusCode::UNAUTHORIZED, "INVALID_LOG_TOKEN", message)
    })?;
    match what {
        Some(write_log::What::Open(_)) => engine.open_log(&key.task).await?,
        Some(write_log::What::Lines(lines)) => {
            let lines: Vec<LogLine> = read(&lines)?;
            super::log_service::check(&lines)?;
            engine.append_log(&key.task, &lines).await?;
        }
        Some(write_log::What::Close(_)) => engine.close_log(&key.task).await?,
        None => {}
    }
    Ok(Bytes::new())
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(json).map_err(|error| BodyError::Malformed(error.to_string()).into())
}

fn write(value: &impl Serialize) -> Result<Bytes, Refusal> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", error.to_string()))?;
    Ok(json.into())
}
