//! The manager as a delegate sees it: register, heartbeat, task events, acquire, respond.
//!
//! One call is one request; nothing is retried here, save one repetition with a fresh token when the manager says that
//! the token had expired. What an error means for the caller is decided in one function, [`CallError::verdict`].
//! Replies are bounded. A cancelled call (dropped future) has an unknown outcome: the manager may have seen it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;
use url::Url;

use super::bearer::Bearer;
pub use super::bearer::BearerError;
use super::http::{Http, HttpError, chain};
use super::wire::{self, DelegateParams, Envelope, Registered, Task, TaskEvents, TaskResponse};
use crate::config::{AccountId, TokenSource};

/// Largest reply read, in bytes: what the protocol allows a task to be.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;

/// Most characters of a reply that an error repeats.
const MAX_QUOTE: usize = 300;

/// Time for a registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a heartbeat: the protocol's own number, above one interval of 10 s.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for task events beyond what the manager was asked to wait.
const TASK_EVENTS_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for an acquire; its reply carries the whole task.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a response, whose body may be large and the line slow.
const RESPOND_TIMEOUT: Duration = Duration::from_secs(60);

/// A clock that differs by less is not the reason why a fresh token is refused.
const CLOCK_DIFFERENCE_WORTH_MENTION: i64 = 30;

/// Why a call gave no result: what was tried, and what came back.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url}: {kind}")]
pub struct CallError {
    /// HTTP method.
    pub method: Method,
    /// URL without its query.
    pub url: Box<str>,
    /// What came back.
    pub kind: CallErrorKind,
}

/// What came back instead of a result.
#[derive(Debug, thiserror::Error)]
pub enum CallErrorKind {
    /// Nothing: no connection, a reset, a timeout.
    #[error("{reason}")]
    Transport {
        /// From the network's own words.
        reason: String,
    },
    /// An error status.
    #[error("{}", describe_status(*status, code.as_deref(), message, *html))]
    Status {
        /// The status.
        status: StatusCode,
        /// `responseMessages[0].code`, when the body was the manager's.
        code: Option<String>,
        /// What the body said, shortened.
        message: String,
        /// The body was a web page, hence not the manager's.
        html: bool,
        /// How long to wait before the next attempt, as far as the peer said.
        retry_after: Option<Duration>,
    },
    /// A reply that cannot be understood.
    #[error("the reply is not what was expected: {reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// A reply above the bound.
    #[error("the reply is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// There is no token to send.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// There is no client to send with.
    #[error(transparent)]
    Http(#[from] HttpError),
}

fn describe_status(status: StatusCode, code: Option<&str>, message: &str, html: bool) -> String {
    let reason = status.canonical_reason().unwrap_or("an unknown status");
    let mut text = format!("{} {reason}", status.as_u16());
    if let Some(code) = code {
        text = format!("{text} ({code})");
    }
    if html {
        text.push_str(", as a web page: a proxy or a load balancer answered, not the manager");
    } else if status.is_redirection() {
        text.push_str(", a redirect, which is never followed: set MANAGER_HOST_AND_PORT to where it leads");
    } else if !message.is_empty() {
        text = format!("{text}: {message}");
    }
    text
}

/// Which refusal a refused token met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It does not belong to the account, or no code said why.
    Invalid,
    /// It was revoked.
    Revoked,
    /// It was found expired although freshly minted.
    Expired,
}

/// What an error means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may work later.
    Retry,
    /// It will never work: the manager understood, and refused.
    Final,
    /// The manager does not take the token.
    TokenRefused(TokenRefusal),
    /// The manager does not know this delegate; it must register anew.
    NotRegistered,
}

impl CallError {
    fn new(method: &Method, url: &Url, kind: impl Into<CallErrorKind>) -> Self {
        let mut shown = url.clone();
        shown.set_query(None);
        // A login in the URL is the operator's own doing; it is still not ours to print.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        Self {
            method: method.clone(),
            url: String::from(shown).into(),
            kind: kind.into(),
        }
    }

    /// What this means for the caller: the only place where retryability is decided.
    pub fn verdict(&self) -> Verdict {
        let (status, code, html) = match &self.kind {
            CallErrorKind::Status { status, code, html, .. } => (*status, code.as_deref(), *html),
            // No answer at all: networks recover.
            CallErrorKind::Transport { .. }
            // Whoever answers a good status with something else is no manager, but something in between.
            | CallErrorKind::Unreadable { .. }
            // Files get repaired and rotated.
            | CallErrorKind::Bearer(_) | CallErrorKind::Http(_) => return Verdict::Retry,
            // The same request would get the same reply.
            CallErrorKind::TooLarge { .. } => return Verdict::Final,
        };
        if html {
            // Managers answer in JSON. A page is a proxy's, whatever its status says.
            return Verdict::Retry;
        }
        match status.as_u16() {
            401 => Verdict::TokenRefused(match code {
                Some(wire::code::EXPIRED_TOKEN) => TokenRefusal::Expired,
                Some(wire::code::REVOKED_TOKEN) => TokenRefusal::Revoked,
                // Without a code of ours it is still a manager that does not take the token.
                _ => TokenRefusal::Invalid,
            }),
            404 if code == Some(wire::code::DELEGATE_NOT_REGISTERED) => Verdict::NotRegistered,
            // Redirects are a gateway's, 407 is the proxy's: the manager has not spoken yet.
            300..=399 | 407
            // The manager, or something before it, had no time: timeout, too early, too many requests.
            | 408 | 425 | 429
            // Its side is broken, which is repaired on its side. Load balancers send 500 as well.
            | 500.. => Verdict::Retry,
            _ => Verdict::Final,
        }
    }

    /// The status, when there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.kind {
            CallErrorKind::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the peer asked us to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.kind {
            CallErrorKind::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The calls of a delegate to its manager. Share it by `Arc`.
#[derive(Debug)]
pub struct ManagerClient {
    http: Arc<Http>,
    base: Url,
    account_id: AccountId,
    bearer: Bearer,
}

impl ManagerClient {
    /// A client for the manager at `base`, whose path is kept. Nothing is contacted.
    pub fn new(http: Arc<Http>, base: Url, account_id: AccountId, token: TokenSource) -> Self {
        let bearer = Bearer::new(account_id.clone(), token);
        Self {
            http,
            base,
            account_id,
            bearer,
        }
    }

    /// Checks what can be checked without contact: the token file and the TLS files.
    ///
    /// # Errors
    /// [`CallErrorKind::Bearer`] or [`CallErrorKind::Http`], each naming the variable.
    pub fn check(&self) -> Result<(), CallErrorKind> {
        self.http.for_url(&self.base)?;
        self.bearer.header()?;
        Ok(())
    }

    /// Registers, and learns the delegate's identity.
    pub async fn register(&self, params: &DelegateParams) -> Result<Registered, CallError> {
        let url = self.url(&["api", "agent", "delegates", "register"], &[]);
        let body = to_json(params);
        let reply = self
            .call(Method::POST, &url, REGISTER_TIMEOUT, Some(body))
            .await?;
        let envelope: Envelope<Registered> = reply.json(&Method::POST, &url)?;
        envelope
            .resource
            .filter(|registered| !registered.delegate_id.is_empty())
            .ok_or_else(|| unreadable(&Method::POST, &url, "it has no resource.delegateId"))
    }

    /// Says that the delegate is alive.
    pub async fn heartbeat(&self, params: &DelegateParams) -> Result<(), CallError> {
        let url = self.url(&["api", "agent", "delegates", "heartbeat-with-polling"], &[]);
        let body = to_json(params);
        self.call(Method::POST, &url, HEARTBEAT_TIMEOUT, Some(body))
            .await?
            .not_a_page(&Method::POST, &url)
    }

    /// Asks for task events. A manager that can wait answers when there is one, or after `wait`; others at once.
    pub async fn task_events(&self, delegate_id: &str, wait: Duration) -> Result<TaskEvents, CallError> {
        let wait_ms = wait.as_millis().to_string();
        let url = self.url(
            &["api", "agent", "delegates", delegate_id, "task-events"],
            &[("waitMs", &wait_ms)],
        );
        let reply = self
            .call(Method::GET, &url, wait + TASK_EVENTS_TIMEOUT, None)
            .await?;
        if reply.status == StatusCode::NO_CONTENT {
            return Ok(TaskEvents::default());
        }
        reply.json(&Method::GET, &url)
    }

    /// Takes a task. Repeating it for the same delegate is safe: the manager lets both succeed.
    pub async fn acquire(&self, delegate_id: &str, task_id: &str) -> Result<Task, CallError> {
        let url = self.url(
            &[
                "api",
                "agent",
                "v2",
                "delegates",
                delegate_id,
                "tasks",
                task_id,
                "acquire",
            ],
            &[("delegateInstanceId", delegate_id)],
        );
        let reply = self.call(Method::PUT, &url, ACQUIRE_TIMEOUT, None).await?;
        reply.json(&Method::PUT, &url)
    }

    /// Answers a task. Repeating it is safe: the manager takes a repeated response as done.
    pub async fn respond(&self, delegate_id: &str, response: &TaskResponse) -> Result<(), CallError> {
        let url = self.url(
            &[
                "api",
                "agent",
                "v2",
                "tasks",
                &response.id,
                "delegates",
                delegate_id,
            ],
            &[],
        );
        let body = to_json(response);
        self.call(Method::POST, &url, RESPOND_TIMEOUT, Some(body))
            .await?
            .not_a_page(&Method::POST, &url)
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // Cannot fail: a manager URL is http or https, and those have paths.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.query_pairs_mut()
            .append_pair("accountId", self.account_id.as_str())
            .extend_pairs(query);
        url
    }

    /// One request; a second one when the manager calls the token expired, with a fresh token.
    async fn call(
        &self,
        method: Method,
        url: &Url,
        timeout: Duration,
        body: Option<Vec<u8>>,
    ) -> Result<Reply, CallError> {
        let first = self.send(&method, url, timeout, body.clone()).await?;
        let reply = match first.into_result(&method, url) {
            Err(refused) => {
                let (error, headers) = *refused;
                if !matches!(error.verdict(), Verdict::TokenRefused(_)) {
                    return Err(error);
                }
                // Whatever the reason: the next token is minted anew, from the token file as it is by then.
                self.bearer.forget();
                if error.verdict() != Verdict::TokenRefused(TokenRefusal::Expired) {
                    return Err(error);
                }
                self.mind_the_clock(&headers);
                self.send(&method, url, timeout, body).await?
            }
            Ok(reply) => return Ok(reply),
        };
        reply.into_result(&method, url).map_err(|refused| refused.0)
    }

    fn mind_the_clock(&self, headers: &HeaderMap) {
        let Some(manager_now) = headers
            .get(DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
        else {
            return;
        };
        let ahead = self.bearer.follow_clock(manager_now.timestamp().as_second());
        if ahead.abs() >= CLOCK_DIFFERENCE_WORTH_MENTION {
            warn!(
                seconds = ahead,
                "the manager's clock is ahead of this machine's by so many seconds; tokens are minted by the \
                 manager's clock until this machine's is set right"
            );
        }
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        timeout: Duration,
        body: Option<Vec<u8>>,
    ) -> Result<Reply, CallError> {
        let fail = |kind| CallError::new(method, url, kind);
        let client = self.http.for_url(url).map_err(|error| fail(error.into()))?;
        let bearer = self.bearer.header().map_err(|error| fail(error.into()))?;
        let mut request = client
            .request(method.clone(), url.clone())
            .timeout(timeout)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json");
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| fail(transport(error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_bounded(response, MAX_REPLY).await.map_err(fail)?;
        Ok(Reply {
            status,
            headers,
            body,
        })
    }
}

/// A reply, read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn into_result(self, method: &Method, url: &Url) -> Result<Self, Box<(CallError, HeaderMap)>> {
        if self.status.is_success() {
            return Ok(self);
        }
        let kind = status_error(self.status, &self.headers, &self.body);
        Err(Box::new((CallError::new(method, url, kind), self.headers)))
    }

    fn json<T: DeserializeOwned>(&self, method: &Method, url: &Url) -> Result<T, CallError> {
        if is_html(&self.headers, &self.body) {
            return Err(page(method, url));
        }
        serde_json::from_slice(&self.body).map_err(|error| unreadable(method, url, error.to_string()))
    }

    /// For calls whose reply means nothing but that it came: a page came from somebody else.
    fn not_a_page(&self, method: &Method, url: &Url) -> Result<(), CallError> {
        if is_html(&self.headers, &self.body) {
            return Err(page(method, url));
        }
        Ok(())
    }
}

fn page(method: &Method, url: &Url) -> CallError {
    unreadable(
        method,
        url,
        "it is a web page: a proxy or a login portal answered, not the manager",
    )
}

fn unreadable(method: &Method, url: &Url, reason: impl Into<String>) -> CallError {
    CallError::new(
        method,
        url,
        CallErrorKind::Unreadable {
            reason: reason.into(),
        },
    )
}

/// The types of this protocol have string keys and no failing serializer, so this cannot fail; should it ever, an
/// empty body makes the manager say what is missing.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallErrorKind {
    let html = is_html(headers, body);
    let message = serde_json::from_slice::<Envelope<serde_json::Value>>(body)
        .ok()
        .and_then(|envelope| envelope.response_messages.into_iter().next());
    let (code, text) = match message {
        Some(message) => (Some(message.code), message.message),
        None if html => (None, String::new()),
        None => (None, String::from_utf8_lossy(body).into_owned()),
    };
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    CallErrorKind::Status {
        status,
        code,
        message: quote(&text),
        html,
        retry_after,
    }
}

/// A text as one bounded line.
fn quote(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().to_ascii_lowercase().starts_with("text/html"));
    declared || body.trim_ascii_start().first() == Some(&b'<')
}

pub(super) fn transport(error: reqwest::Error) -> CallErrorKind {
    let reason = if error.is_timeout() && !error.is_connect() {
        "no answer in time".to_owned()
    } else {
        chain(&error.without_url())
    };
    CallErrorKind::Transport { reason }
}

/// Reads a body up to a bound, which a lying `Content-Length` does not lift.
pub(super) async fn read_bounded(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, CallErrorKind> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > limit {
            return Err(CallErrorKind::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, content_type: &str, body: &str) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        let kind = status_error(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes());
        CallError::new(&Method::GET, &"http://m/".parse().unwrap(), kind).verdict()
    }

    fn coded(status: u16, code: &str) -> Verdict {
        let body = format!(r#"{{"responseMessages":[{{"code":"{code}"}}]}}"#);
        verdict(status, "application/json", &body)
    }

    #[test]
    fn every_status_has_its_verdict() {
        use TokenRefusal::{Expired, Invalid, Revoked};
        for status in [
            301, 302, 307, 308, 407, 408, 425, 429, 500, 501, 502, 503, 504, 520, 599,
        ] {
            assert_eq!(coded(status, "X"), Verdict::Retry, "{status}");
        }
        for status in [400, 402, 403, 404, 405, 406, 409, 410, 413, 415, 422, 451] {
            assert_eq!(coded(status, "X"), Verdict::Final, "{status}");
        }
        assert_eq!(coded(401, "INVALID_TOKEN"), Verdict::TokenRefused(Invalid));
        assert_eq!(coded(401, "REVOKED_TOKEN"), Verdict::TokenRefused(Revoked));
        assert_eq!(coded(401, "EXPIRED_TOKEN"), Verdict::TokenRefused(Expired));
        assert_eq!(coded(401, "OTHER"), Verdict::TokenRefused(Invalid));
        assert_eq!(verdict(401, "text/plain", ""), Verdict::TokenRefused(Invalid));
        assert_eq!(coded(404, "DELEGATE_NOT_REGISTERED"), Verdict::NotRegistered);
    }

    #[test]
    fn a_web_page_is_a_proxys_whatever_its_status() {
        for status in [400, 401, 403, 404, 502] {
            assert_eq!(verdict(status, "text/html; charset=utf-8", "x"), Verdict::Retry);
            assert_eq!(
                verdict(status, "text/plain", "\n <!doctype html>"),
                Verdict::Retry
            );
        }
    }

    #[test]
    fn an_error_says_what_was_tried_and_what_came_back_on_one_short_line() {
        let url: Url = "https://user:pass@m.example/base/api?accountId=a&token=t"
            .parse()
            .unwrap();
        let body = format!(
            r#"{{"responseMessages":[{{"code":"BAD","message":"two\nlines {}"}}]}}"#,
            "x".repeat(9000)
        );
        let kind = status_error(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes());
        let shown = CallError::new(&Method::PUT, &url, kind).to_string();
        assert!(
            shown.starts_with("PUT https://m.example/base/api: 400 Bad Request (BAD): two lines xxx"),
            "{shown}"
        );
        assert!(
            shown.len() < 500 && !shown.contains("pass") && !shown.contains('\n'),
            "{shown}"
        );
    }

    #[test]
    fn the_base_path_is_kept_and_ids_cannot_leave_their_segment() {
        let client = ManagerClient::new(
            Arc::new(Http::default()),
            "https://m.example/gratis".parse().unwrap(),
            "acc".parse().unwrap(),
            TokenSource::File("/nowhere".into()),
        );
        let url = client.url(&["api", "../x", "a b"], &[("waitMs", "5")]);
        assert_eq!(
            url.as_str(),
            "https://m.example/gratis/api/..%2Fx/a%20b?accountId=acc&waitMs=5"
        );
    }
}
