//! The manager as a delegate sees it: register, heartbeat, task events, acquire, respond.
//!
//! One call is one request; nothing is retried here, save one repetition with a fresh token when the manager says that
//! the token had expired. What an error means for the caller is decided in one function, [`CallError::verdict`].
//! Replies are bounded. A cancelled call (dropped future) has an unknown outcome: the manager may have seen it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;
use url::Url;

use super::bearer::Bearer;
pub use super::bearer::BearerError;
pub use super::call_error::{CallError, CallErrorKind, Dismissal, TokenRefusal, Verdict};
use super::call_error::{is_html, page, status_error, transport, unreadable};
use super::http::Http;
use super::runner::{Payload, RunnerEvents};
use super::wire::{DelegateParams, Envelope, Registered, Task, TaskEvents, TaskResponse};
use crate::Secret;
use crate::config::{AccountId, TokenSource};

/// Largest reply read, in bytes: what the protocol allows a task to be.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;

/// Time for a registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a heartbeat: the protocol's own number, above one interval of 10 s.
pub(super) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for task events beyond what the manager was asked to wait.
pub(super) const TASK_EVENTS_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to unregister, which happens while somebody waits for our end.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for an acquire; its reply carries the whole task.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a response, whose body may be large and the line slow.
pub(super) const RESPOND_TIMEOUT: Duration = Duration::from_secs(60);

/// A clock that differs by less is not the reason why a fresh token is refused.
const CLOCK_DIFFERENCE_WORTH_MENTION: i64 = 30;

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

    /// Base of the manager's own log service.
    pub(super) fn log_service(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/log-service/",
            self.base.path().trim_end_matches('/')
        ));
        url
    }

    /// Where the persistent connection is.
    pub(super) fn stream_url(&self) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["harness_delegate.stream.v1.DelegateStream", "Connect"]);
        }
        url
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn account_id(&self) -> &AccountId {
        &self.account_id
    }

    pub(super) fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// A text that only who has the delegate token reads: what is kept on a disk and must not be read there.
    pub(crate) fn seal(&self, text: &Secret) -> Result<String, BearerError> {
        self.bearer.seal(text)
    }

    /// What [`Self::seal`] made; `None` when the delegate token has changed since.
    pub(crate) fn unseal(&self, sealed: &str) -> Option<Secret> {
        self.bearer.unseal(sealed)
    }

    /// Registers, and learns the delegate's identity.
    pub async fn register(&self, params: &DelegateParams) -> Result<Registered, CallError> {
        let url = self.url(&["api", "agent", "delegates", "register"], &[]);
        let body = to_json(params);
        let reply = self
            .call(Method::POST, &url, REGISTER_TIMEOUT, Some(body))
            .await?;
        reply.no_dismissal(&Method::POST, &url)?;
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
        let reply = self
            .call(Method::POST, &url, HEARTBEAT_TIMEOUT, Some(body))
            .await?;
        reply.not_a_page(&Method::POST, &url)?;
        reply.no_dismissal(&Method::POST, &url)
    }

    /// Says that the delegate is gone, so that it is not shown as lost. Only where the registration offered it.
    pub async fn unregister(&self, delegate_id: &str) -> Result<(), CallError> {
        let path = ["api", "agent", "delegates", delegate_id, "unregister"];
        let url = self.url(&path, &[]);
        self.call(Method::POST, &url, UNREGISTER_TIMEOUT, None)
            .await
            .map(drop)
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

    /// Asks for events of the early runner protocol. Managers that do not speak it answer 404.
    pub async fn runner_events(&self, delegate_id: &str) -> Result<RunnerEvents, CallError> {
        let path = ["api", "agent", "delegates", delegate_id, "runner-events"];
        let url = self.url(&path, &[]);
        let reply = self.call(Method::GET, &url, TASK_EVENTS_TIMEOUT, None).await?;
        if reply.status == StatusCode::NO_CONTENT {
            return Ok(RunnerEvents::default());
        }
        reply.json(&Method::GET, &url)
    }

    /// Takes the requests of a task of the early runner protocol.
    pub async fn payload(&self, delegate_id: &str, task_id: &str) -> Result<Payload, CallError> {
        let url = self.url(
            &["api", "executions", task_id, "payload"],
            &[("delegateId", delegate_id), ("delegateInstanceId", delegate_id)],
        );
        let reply = self.call(Method::GET, &url, ACQUIRE_TIMEOUT, None).await?;
        reply.json(&Method::GET, &url)
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

    /// For calls whose reply may send the delegate away.
    fn no_dismissal(&self, method: &Method, url: &Url) -> Result<(), CallError> {
        Dismissal::in_reply(&self.body).map_err(|kind| CallError::new(method, url, kind))
    }

    /// For calls whose reply means nothing but that it came: a page came from somebody else.
    fn not_a_page(&self, method: &Method, url: &Url) -> Result<(), CallError> {
        if is_html(&self.headers, &self.body) {
            return Err(page(method, url));
        }
        Ok(())
    }
}

/// The types of this protocol have string keys and no failing serializer, so this cannot fail; should it ever, an
/// empty body makes the manager say what is missing.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
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
