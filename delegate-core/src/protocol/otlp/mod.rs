//! Exports to a collector by OTLP: over HTTP with protocol buffers or JSON, and by gRPC.
//!
//! The messages are ours, generated from `proto/otlp.proto`; the transport is [`Http`], so that the delegate's proxy and
//! certificates hold for exports, and no redirect is followed. One call is one attempt: what a failure means is in
//! [`Refused`], by the rules of OTLP's specification, and what to do about it is the caller's. Nothing that is a key
//! gets into an error: no header, no query, no answer's text.

pub(super) mod json;

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use prost::Message;
use reqwest::Client;
use serde::Serialize;
use tokio::time::timeout;
use tonic::Code;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

use super::call_error::retry_after;
use super::grpc::OverHttp;
use super::http::{Http, chain, shown};
use crate::config::telemetry::{Otlp, OtlpProtocol};

/// The messages.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the protocol file carries the explanations"
)]
pub(crate) mod wire {
    tonic::include_proto!("otlp");
}

/// Largest answer that is looked at, in bytes. An answer says at most that something was not taken.
const MAX_ANSWER: usize = 64 * 1024;

/// A message that is exported.
pub(crate) trait Export: Message + Serialize + Clone + Default + 'static {
    /// What it carries.
    const NAME: &'static str;
    /// Its call by gRPC.
    const CALL: &'static str;
    /// How JSON's answers call the number of what was not taken.
    const REJECTED: &'static str;
}

impl Export for wire::ExportTraces {
    const NAME: &'static str = "traces";
    const CALL: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    const REJECTED: &'static str = "rejectedSpans";
}

impl Export for wire::ExportMetrics {
    const NAME: &'static str = "metrics";
    const CALL: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    const REJECTED: &'static str = "rejectedDataPoints";
}

/// An export that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Refused {
    /// What came back, and what to do.
    pub(crate) reason: String,
    /// Whether the same may be taken later.
    pub(crate) again: bool,
    /// How long to wait before, as far as the collector said.
    pub(crate) retry_after: Option<Duration>,
}

impl Refused {
    /// It may work later.
    fn now(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            again: true,
            retry_after: None,
        }
    }

    /// The same would be refused again.
    fn ever(reason: impl Into<String>) -> Self {
        Self {
            again: false,
            ..Self::now(reason)
        }
    }
}

/// Where exports of one signal go.
#[derive(Debug)]
pub(crate) struct Collector {
    to: Otlp,
    headers: HeaderMap,
    http: Arc<Http>,
    /// By gRPC: the client in use. After a failure the next one has the certificates as they are then.
    http2: Mutex<Option<Client>>,
}

impl Collector {
    /// Nothing is contacted yet.
    pub(crate) fn new(to: Otlp, http: Arc<Http>) -> Self {
        // The settings were checked: every name and value is that of a header.
        let headers = to.headers.iter().filter_map(|(name, value)| {
            let mut value = HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        Self {
            headers: headers.collect(),
            to,
            http,
            http2: Mutex::new(None),
        }
    }

    /// The address, without what may be secret in it.
    pub(crate) fn shown(&self) -> String {
        shown(&self.to.endpoint)
    }

    /// One attempt. Returns how much of it the collector did not take although it took the rest. Cancellation safe: what
    /// has arrived by then is exported.
    ///
    /// # Errors
    /// Nothing of it was taken, as far as we know; see [`Refused`].
    pub(crate) async fn send<T: Export>(&self, message: &T) -> Result<u64, Refused> {
        let sending = async {
            match self.to.protocol {
                OtlpProtocol::HttpProtobuf => {
                    let body = message.encode_to_vec();
                    let answer = self.post("application/x-protobuf", body).await?;
                    Ok(rejected(wire::Exported::decode(answer).unwrap_or_default()))
                }
                OtlpProtocol::HttpJson => {
                    let body = serde_json::to_vec(message)
                        .map_err(|error| Refused::ever(format!("it cannot be written as JSON: {error}")))?;
                    let answer = self.post("application/json", body).await?;
                    Ok(rejected_in_json::<T>(&answer))
                }
                OtlpProtocol::Grpc => self.call(message).await,
            }
        };
        let late = || Refused::now(format!("no answer within {} ms", self.to.timeout.as_millis()));
        let sent = timeout(self.to.timeout, sending).await;
        let sent = sent.unwrap_or_else(|_| Err(late()));
        let hint = mistaken_port(self.to.protocol, self.to.endpoint.port());
        sent.map_err(|refused| Refused {
            reason: refused.reason + hint.unwrap_or_default(),
            ..refused
        })
    }

    async fn post(&self, content_type: &'static str, body: Vec<u8>) -> Result<Bytes, Refused> {
        let url = &self.to.endpoint;
        // Files of certificates get repaired and rotated.
        let client = self
            .http
            .for_url(url)
            .map_err(|error| Refused::now(error.to_string()))?;
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let sent = client.post(url.clone()).headers(headers).body(body).send().await;
        let mut answer = sent.map_err(|error| Refused::now(chain(&error.without_url())))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Refused {
                retry_after: retry_after(answer.headers()),
                ..of_status(status)
            });
        }
        let mut text = Vec::new();
        // It was taken, whatever becomes of the answer's body.
        while let Ok(Some(chunk)) = answer.chunk().await {
            if text.len() + chunk.len() > MAX_ANSWER {
                return Ok(Bytes::new());
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text.into())
    }

    async fn call<T: Export>(&self, message: &T) -> Result<u64, Refused> {
        let origin = Uri::try_from(self.to.endpoint.as_str())
            .map_err(|_| Refused::ever("the address is none for gRPC; write scheme, host and port"))?;
        let service = OverHttp {
            client: self.client()?,
            headers: self.headers.clone(),
        };
        let mut grpc = Grpc::with_origin(service, origin).max_decoding_message_size(MAX_ANSWER);
        let request = tonic::Request::new(message.clone());
        let codec = ProstCodec::<T, wire::Exported>::default();
        match grpc
            .unary(request, PathAndQuery::from_static(T::CALL), codec)
            .await
        {
            Ok(answer) => Ok(rejected(answer.into_inner())),
            Err(status) => {
                *self.http2.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(of_code(&status))
            }
        }
    }

    fn client(&self) -> Result<Client, Refused> {
        let mut kept = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let client = self
            .http
            .for_grpc(&self.to.endpoint)
            .map_err(|error| Refused::now(error.to_string()))?;
        Ok(kept.insert(client).clone())
    }
}

fn rejected(answer: wire::Exported) -> u64 {
    let part = answer.partial_success.unwrap_or_default();
    u64::try_from(part.rejected).unwrap_or_default()
}

/// A 64-bit number of JSON is a text, but some write it as a number.
fn rejected_in_json<T: Export>(answer: &[u8]) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let number = &answer["partialSuccess"][T::REJECTED];
    let text = number.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| number.as_u64()).unwrap_or_default()
}

/// What is to be said when an address has the usual port of another protocol: the most frequent mistake there is.
fn mistaken_port(protocol: OtlpProtocol, port: Option<u16>) -> Option<&'static str> {
    match (protocol, port) {
        (OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson, Some(4317)) => {
            Some("; 4317 is mostly gRPC's port: write 4318, or set OTEL_EXPORTER_OTLP_PROTOCOL to grpc")
        }
        (OtlpProtocol::Grpc, Some(4318)) => Some(
            "; 4318 is mostly the port for HTTP: write 4317, or set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf",
        ),
        _ => None,
    }
}

/// What a status means: the four that may be followed by another attempt are those of OTLP/HTTP's specification.
fn of_status(status: StatusCode) -> Refused {
    let remedy = match status.as_u16() {
        429 | 502 | 503 | 504 => return Refused::now(format!("it answers {status}")),
        300..=399 => "it is a redirect, which is never followed: write the address where it leads",
        401 | 403 => "see that OTEL_EXPORTER_OTLP_HEADERS has the key it wants",
        404 | 405 | 415 => {
            "see that the address is the one for OTLP by this protocol, with its path and port"
        }
        413 => "raise its limit for a request's size",
        _ => "see the collector's own log",
    };
    Refused::ever(format!("it answers {status}: {remedy}"))
}

/// The same for gRPC.
fn of_code(status: &tonic::Status) -> Refused {
    let remedy = match status.code() {
        // A status that we made ourselves has the network's words in it, no collector's.
        Code::Unknown | Code::Unavailable | Code::Internal if status.source().is_some() => {
            return Refused::now(chain(status));
        }
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => return Refused::now(format!("it answers {:?}", status.code())),
        Code::Unauthenticated | Code::PermissionDenied => {
            "see that OTEL_EXPORTER_OTLP_HEADERS has the key it wants"
        }
        Code::Unimplemented | Code::Unknown => "see that the port is the one for OTLP by gRPC",
        _ => "see the collector's own log",
    };
    Refused::ever(format!("it answers {:?}: {remedy}", status.code()))
}

#[cfg(test)]
mod tests;
