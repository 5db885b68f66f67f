//! One request to a provider, with its bounds.

use std::path::Path;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::FetchError;
use crate::Secret;
use crate::config::secrets::OwnSecret;
use crate::protocol::http::{Http, chain, shown};

/// Largest reply read. Secrets end at 64 KiB in AWS and at 1 MiB in Vault.
const MAX_REPLY: usize = 2 * 1024 * 1024;

/// For one attempt. Providers answer within milliseconds; a login may take a second.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asked so often when there is no answer, or one that says "later".
const ATTEMPTS: u32 = 3;

/// Before the second attempt, doubled before the third; up to half of it more by chance.
const PAUSE: Duration = Duration::from_millis(250);

/// Most characters of a provider's own words that an error repeats.
const MAX_QUOTE: usize = 300;

/// A request. Headers may be secret and are marked so.
pub(super) struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
    timeout: Duration,
    attempts: u32,
}

/// An answer, whatever its status.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Zeroizing::default(),
            timeout: TIMEOUT,
            attempts: ATTEMPTS,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Result<Self, FetchError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            FetchError::Failed(format!(
                "what is to be sent as {name} has a character that no header can have"
            ))
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Zeroizing::new(body.into());
        self
    }

    /// For what is on this machine or nowhere: one quick attempt.
    pub(super) fn nearby(mut self) -> Self {
        self.timeout = Duration::from_secs(2);
        self.attempts = 1;
        self
    }

    /// Sends it. The error is a [`FetchError::Failed`] with the method and the address.
    pub(super) async fn send(self, http: &Http) -> Result<Reply, FetchError> {
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
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = reply.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > MAX_REPLY {
                return Err(format!("the answer is larger than {MAX_REPLY} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body })
    }

    fn failed(&self, problem: &str) -> FetchError {
        FetchError::Failed(format!("{} {}: {problem}", self.method, shown(&self.url)))
    }
}

impl Reply {
    /// The body, `null` when it is no JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A provider's own words as one short line.
pub(super) fn quoted(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(MAX_QUOTE).collect()
}

/// Too many requests, a standby, a gateway without its server.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// The text of a secret of our own; the file is read each time.
pub(super) async fn own(secret: &OwnSecret) -> Result<Secret, FetchError> {
    match secret {
        OwnSecret::Inline(secret) => Ok(secret.clone()),
        OwnSecret::File(path) => own_file(path).await,
    }
}

pub(super) async fn own_file(path: &Path) -> Result<Secret, FetchError> {
    match tokio::fs::read_to_string(path).await.map(Zeroizing::new) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(FetchError::Failed(format!("{} is empty", path.display()))),
        Err(error) => Err(FetchError::Failed(format!(
            "{} cannot be read: {error}",
            path.display()
        ))),
    }
}
