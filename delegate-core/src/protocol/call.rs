//! One small request to a service that a delegate asks on its own or on a task's account: secret providers, clouds, login
//! services. Request and answer are held in memory, attempts and time are bounded, and an error says what was tried.

use std::path::Path;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::http::{Http, chain, shown};
use crate::Secret;
use crate::config::secrets::OwnSecret;

/// Largest reply read. Secrets end at 64 KiB in AWS and at 1 MiB in Vault, and no other answer that is asked for here is longer.
const MAX_REPLY: usize = 2 * 1024 * 1024;

/// For one attempt. Services answer within milliseconds; a login may take a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asked so often when there is no answer, or one that says "later".
const ATTEMPTS: u32 = 3;

/// Before the second attempt, doubled before the third; up to half of it more by chance.
const PAUSE: Duration = Duration::from_millis(250);

/// Most characters of a service's own words that an error repeats.
const MAX_QUOTE: usize = 300;

/// Why there is no answer: what was tried, and what happened. A sentence fragment without any secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CallError(pub(crate) String);

/// A request. Headers may be secret and are marked so.
pub(crate) struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
    timeout: Duration,
    attempts: u32,
}

/// An answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Zeroizing::default(),
            timeout: TIMEOUT,
            attempts: ATTEMPTS,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Result<Self, CallError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            CallError(format!(
                "what is to be sent as {name} has a character that no header can have"
            ))
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Zeroizing::new(body.into());
        self
    }

    /// For what is on this machine or nowhere: one quick attempt.
    pub(crate) fn nearby(mut self) -> Self {
        self.timeout = Duration::from_secs(2);
        self.attempts = 1;
        self
    }

    /// Sends it. The error comes with the method and the address.
    pub(crate) async fn send(self, http: &Http) -> Result<Reply, CallError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let outcome = tokio::time::timeout(self.timeout, self.once(http)).await;
            let outcome =
                outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", self.timeout.as_secs())));
            match outcome {
                Ok(reply) if attempt >= self.attempts || !is_passing(reply.status) => return Ok(reply),
                Err(problem) if attempt >= self.attempts => return Err(self.failed(&problem)),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause.mul_f32(1.0 + fastrand::f32() / 2.0)).await;
            pause *= 2;
        }
        Err(self.failed("it was never sent"))
    }

    async fn once(&self, http: &Http) -> Result<Reply, String> {
        let client = http.for_url(&self.url).map_err(|error| error.to_string())?;
        let request = client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .body(self.body.to_vec());
        let said = |error: reqwest::Error| chain(&error.without_url());
        let mut reply = request.send().await.map_err(said)?;
        let status = reply.status();
        let headers = std::mem::take(reply.headers_mut());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = reply.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > MAX_REPLY {
                return Err(format!("the answer is larger than {MAX_REPLY} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    fn failed(&self, problem: &str) -> CallError {
        CallError(format!("{} {}: {problem}", self.method, shown(&self.url)))
    }
}

impl Reply {
    /// The body, `null` when it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A service's own words as one short line.
pub(crate) fn quoted(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(MAX_QUOTE).collect()
}

/// Too many requests, a standby, a gateway without its server.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// The text of a secret of our own; the file is read each time.
pub(crate) async fn own(secret: &OwnSecret) -> Result<Secret, CallError> {
    match secret {
        OwnSecret::Inline(secret) => Ok(secret.clone()),
        OwnSecret::File(path) => own_file(path).await,
    }
}

pub(crate) async fn own_file(path: &Path) -> Result<Secret, CallError> {
    match tokio::fs::read_to_string(path).await.map(Zeroizing::new) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(CallError(format!("{} is empty", path.display()))),
        Err(error) => Err(CallError(format!("{} cannot be read: {error}", path.display()))),
    }
}
