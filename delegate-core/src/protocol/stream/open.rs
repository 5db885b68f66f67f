//! Opening the stream.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::calls::Stream;
use super::wire::delegate_stream_client::DelegateStreamClient;
use super::wire::{FromDelegate, FromManager, Refusal};
use super::{ACCOUNT_HEADER, MAX_MESSAGE, packed};
use crate::protocol::call_error::{CallError, CallErrorKind};
use crate::protocol::client::ManagerClient;
use crate::protocol::grpc::OverHttp;
use crate::protocol::http::chain;

/// Time to open: connect, TLS, the manager's welcome.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Calls that wait to be sent. The manager's bound on calls without a reply is above it, so this only smooths bursts.
const OUTBOX: usize = 256;

/// Most calls without a reply that we hold, whatever the manager allows: each is a body in memory.
const MOST_CALLS: u32 = 4096;

impl ManagerClient {
    /// Opens the persistent connection. It is a new TCP connection each time, with the certificates and the token as
    /// they are now.
    pub async fn open_stream(self: &Arc<Self>) -> Result<Stream, CallError> {
        let url = self.stream_url();
        let fail = |kind: CallErrorKind| CallError::new(&Method::POST, &url, kind);
        let opened = timeout(OPEN_TIMEOUT, self.open(&url)).await;
        opened
            .unwrap_or_else(|_| Err(transport("no answer in time")))
            .map_err(fail)
    }

    async fn open(self: &Arc<Self>, url: &Url) -> Result<Stream, CallErrorKind> {
        let unusable = || transport("the manager's URL or the account id cannot be sent");
        let account = HeaderValue::try_from(self.account_id().as_str()).map_err(|_| unusable())?;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.bearer().header()?);
        headers.insert(ACCOUNT_HEADER, account);
        let service = OverHttp {
            client: self.http().for_stream(url)?,
            headers,
        };
        let origin = http::Uri::try_from(self.base().as_str()).map_err(|_| unusable())?;
        let (sender, receiver) = mpsc::channel(OUTBOX);
        let outbound = packed(receiver).map(|calls| FromDelegate { calls });
        let mut inbound = DelegateStreamClient::with_origin(service, origin)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
            .connect(outbound)
            .await
            .map_err(|status| status_kind(&status))?
            .into_inner();
        let first = inbound.message().await.map_err(|status| status_kind(&status))?;
        let calls = match first {
            Some(FromManager {
                welcome: Some(welcome),
                ..
            }) => welcome.calls.clamp(1, MOST_CALLS),
            Some(FromManager {
                refusal: Some(refusal),
                ..
            }) => {
                // The next attempt mints a token anew, from the token file as it is by then.
                self.bearer().forget();
                return Err(refused(refusal));
            }
            _ => return Err(transport("the manager ended the stream without a word")),
        };
        Ok(Stream::start(
            Arc::clone(self),
            url.clone(),
            sender,
            inbound,
            calls,
        ))
    }
}

pub(super) fn transport(reason: impl Into<String>) -> CallErrorKind {
    CallErrorKind::Transport {
        reason: reason.into(),
    }
}

/// A refusal means what the same refusal over HTTP means.
pub(super) fn refused(refusal: Refusal) -> CallErrorKind {
    CallErrorKind::Status {
        status: u16::try_from(refusal.status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        code: Some(refusal.code).filter(|code| !code.is_empty()),
        message: refusal.message,
        html: false,
        retry_after: None,
    }
}

/// The stream itself failed. Whatever gRPC says about it, it was not the manager's answer to a call: it can be tried
/// again.
pub(super) fn status_kind(status: &tonic::Status) -> CallErrorKind {
    transport(format!("the persistent connection failed: {}", chain(status)))
}
