//! The log service: streams of lines while a task runs, blobs of them afterwards.
//!
//! One call is one request, nothing is retried here. The query key is `accountID`, capital, unlike everywhere else. A
//! signed upload link gets no credentials of ours: it carries its own.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::call_error::{CallErrorKind, status_error, transport};
use super::client::read_bounded;
use super::http::Http;
use super::wire::{LogLine, LogServiceError};
use crate::Secret;
use crate::config::AccountId;

/// Largest reply read; replies of the log service are short.
const MAX_REPLY: usize = 64 * 1024;

/// Time to open or close a stream, to append to it, or to get a link.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Time to upload a blob.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the log service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {kind}")]
pub struct LogServiceCallError {
    /// What was tried, for example `opening the log stream`.
    pub operation: &'static str,
    /// What came back.
    pub kind: CallErrorKind,
}

impl LogServiceCallError {
    /// Whether it may work later: no answer, 408, 429, or the service's own trouble.
    pub fn is_retryable(&self) -> bool {
        match &self.kind {
            CallErrorKind::Status { status, html, .. } => {
                *html || status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            CallErrorKind::TooLarge { .. } | CallErrorKind::Http(_) | CallErrorKind::Dismissed(_) => false,
            CallErrorKind::Transport { .. } | CallErrorKind::Unreadable { .. } | CallErrorKind::Bearer(_) => {
                true
            }
        }
    }
}

/// The log service of an account. Share it by `Arc`.
#[derive(Debug)]
pub struct LogService {
    http: Arc<Http>,
    base: Url,
    account_id: AccountId,
}

impl LogService {
    /// The service at `base`, with or without a slash at its end. Nothing is contacted.
    pub fn new(http: Arc<Http>, base: Url, account_id: AccountId) -> Self {
        Self {
            http,
            base,
            account_id,
        }
    }

    /// The same account's service at another base.
    pub fn elsewhere(&self, base: Url) -> Arc<Self> {
        Arc::new(Self::new(Arc::clone(&self.http), base, self.account_id.clone()))
    }

    /// The log of one task: its key and the token that may write it.
    pub fn log(self: &Arc<Self>, key: String, token: Secret) -> TaskLog {
        TaskLog {
            service: Arc::clone(self),
            key,
            token,
        }
    }
}

/// One task's log in the log service.
#[derive(Debug, Clone)]
pub struct TaskLog {
    service: Arc<LogService>,
    key: String,
    token: Secret,
}

/// What is done to the stream of a log.
#[derive(Debug, Clone, Copy)]
pub enum LogWrite<'a> {
    /// Lines are coming.
    Open,
    /// Here are some. Their positions tell repeated ones.
    Append(&'a [LogLine]),
    /// Every line is there: the service keeps the stream as the stored log.
    Close,
}

impl LogWrite<'_> {
    /// For errors.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Open => "opening the log stream",
            Self::Append(_) => "appending to the log stream",
            Self::Close => "closing the log stream",
        }
    }
}

/// Reply of a link request.
#[derive(Debug, Deserialize)]
struct Link {
    link: Url,
}

impl TaskLog {
    /// Whether this service is the one at a base URL.
    pub(super) fn is_at(&self, base: &Url) -> bool {
        let end = |url: &Url| url.as_str().trim_end_matches('/').len();
        let own = &self.service.base;
        own.as_str()[..end(own)] == base.as_str()[..end(base)]
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn token(&self) -> &Secret {
        &self.token
    }

    /// Writes to the stream.
    pub async fn write(&self, write: LogWrite<'_>) -> Result<(), LogServiceCallError> {
        let operation = write.operation();
        let url = |query: &[_]| self.url(&["stream"], query);
        let (method, url, body) = match write {
            LogWrite::Open => (Method::POST, url(&[]), None),
            LogWrite::Append(lines) => {
                let body = serde_json::to_vec(lines).unwrap_or_default();
                (Method::PUT, url(&[]), Some((body, "application/json")))
            }
            LogWrite::Close => (Method::DELETE, url(&[("snapshot", "true")]), None),
        };
        self.call(operation, method, url, CALL_TIMEOUT, body)
            .await
            .map(drop)
    }

    /// Stores the whole log through the service.
    pub async fn upload(&self, lines: &[LogLine]) -> Result<(), LogServiceCallError> {
        let url = self.url(&["blob"], &[]);
        let body = Some((ndjson(lines), "application/x-ndjson"));
        self.call("uploading the log", Method::POST, url, UPLOAD_TIMEOUT, body)
            .await
            .map(drop)
    }

    /// Stores the whole log at a link that the service signs.
    pub async fn upload_by_link(&self, lines: &[LogLine]) -> Result<(), LogServiceCallError> {
        let operation = "getting a link to upload the log to";
        let url = self.url(&["blob", "link", "upload"], &[]);
        let reply = self
            .call(operation, Method::POST, url, CALL_TIMEOUT, None)
            .await?;
        let link: Link = serde_json::from_slice(&reply).map_err(|error| LogServiceCallError {
            operation,
            kind: CallErrorKind::Unreadable {
                reason: error.to_string(),
            },
        })?;
        let operation = "uploading the log to its link";
        let fail = |kind| LogServiceCallError { operation, kind };
        let client = self
            .service
            .http
            .for_url(&link.link)
            .map_err(|error| fail(error.into()))?;
        let request = client
            .put(link.link)
            .timeout(UPLOAD_TIMEOUT)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(ndjson(lines));
        finish(operation, request).await.map(drop)
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.service.base.clone();
        // Cannot fail: the base is http or https.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.query_pairs_mut()
            .append_pair("accountID", self.service.account_id.as_str())
            .append_pair("key", &self.key)
            .extend_pairs(query);
        url
    }

    async fn call(
        &self,
        operation: &'static str,
        method: Method,
        url: Url,
        timeout: Duration,
        body: Option<(Vec<u8>, &'static str)>,
    ) -> Result<Vec<u8>, LogServiceCallError> {
        let fail = |kind| LogServiceCallError { operation, kind };
        let client = self
            .service
            .http
            .for_url(&url)
            .map_err(|error| fail(error.into()))?;
        let mut token = HeaderValue::try_from(self.token.expose()).map_err(|_| {
            fail(CallErrorKind::Unreadable {
                reason: "the task's log token is no header value".to_owned(),
            })
        })?;
        token.set_sensitive(true);
        let mut request = client
            .request(method, url)
            .timeout(timeout)
            .header("X-Harness-Token", token);
        if let Some((body, content_type)) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        finish(operation, request).await
    }
}

async fn finish(
    operation: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<Vec<u8>, LogServiceCallError> {
    let fail = |kind| LogServiceCallError { operation, kind };
    let response = request.send().await.map_err(|error| fail(transport(error)))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_bounded(response, MAX_REPLY).await.map_err(fail)?;
    if status.is_success() {
        return Ok(body);
    }
    let mut kind = status_error(status, &headers, &body);
    if let (CallErrorKind::Status { message, .. }, Ok(error)) =
        (&mut kind, serde_json::from_slice::<LogServiceError>(&body))
        && !error.error_msg.is_empty()
    {
        *message = error.error_msg;
    }
    Err(fail(kind))
}

fn ndjson(lines: &[LogLine]) -> Vec<u8> {
    let mut body = Vec::new();
    for line in lines {
        // Cannot fail: a log line has string keys only.
        let _ = serde_json::to_writer(&mut body, line);
        body.push(b'\n');
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_spelled_with_a_capital_id_and_the_key_is_escaped() {
        for base in ["http://m/log-service", "http://m/log-service/"] {
            let service = LogService::new(
                Arc::new(Http::default()),
                base.parse().unwrap(),
                "acc".parse().unwrap(),
            );
            let log = Arc::new(service).log("a:1/b:2".to_owned(), Secret::new("t"));
            let url = log.url(&["stream"], &[("snapshot", "true")]);
            assert_eq!(
                url.as_str(),
                "http://m/log-service/stream?accountID=acc&key=a%3A1%2Fb%3A2&snapshot=true"
            );
        }
    }
}
