//! One call of the platform API, with its attempts.

use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use url::Url;

use super::retry::{self, Failed};
use super::{Api, PlatformError, Scope};

/// Time of one attempt. Lists of a large account take the product seconds.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Largest reply read, in bytes: tens of thousands of delegates.
const MAX_REPLY: usize = 32 * 1024 * 1024;

/// Most characters of the manager's own words that an error repeats.
const MAX_QUOTE: usize = 500;

/// Who asks.
const AGENT: &str = concat!("terraform-provider-harness/", env!("CARGO_PKG_VERSION"));

/// A call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Below `/ng/api`.
    pub(super) path: &'static str,
    /// Beyond the account and the scope.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) scope: &'a Scope,
    pub(super) body: Option<Json>,
    /// Whether doing it twice is the same as doing it once.
    pub(super) idempotent: bool,
    /// What it does, as it follows "did not …".
    pub(super) action: String,
}

/// What the manager says, in either of the product's two envelopes.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reply {
    resource: Json,
    data: Json,
    code: Option<String>,
    message: Option<String>,
    response_messages: Option<Vec<Message>>,
    correlation_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    code: Option<String>,
    message: Option<String>,
}

/// What an attempt came to.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Api {
    /// Asks, and gives what the envelope holds.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, PlatformError> {
        let url = self.url(&call);
        let answer = self.attempts(&call, &url).await?;
        let shown = shown(&url);
        if answer.is_page() {
            return Err(PlatformError::NotTheManager {
                url: shown,
                what: "with a web page".to_owned(),
            });
        }
        let unreadable = |reason: String| PlatformError::NotTheManager {
            url: shown.clone(),
            what: format!("{} with something unexpected ({reason})", answer.status.as_u16()),
        };
        let reply: Reply =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(error.to_string()))?;
        let payload = if reply.resource.is_null() {
            reply.data
        } else {
            reply.resource
        };
        // The payload may hold a token: what serde says of it names a place and a type, never a value of ours.
        serde_json::from_value(payload).map_err(|error| unreadable(classify(&error)))
    }

    fn url(&self, call: &Call<'_>) -> Url {
        let mut url = self.base.clone();
        // The base may carry a path; it is kept.
        let base = self.base.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/ng/api{}", call.path));
        url.set_query(None);
        let scope = [
            ("orgIdentifier", &call.scope.org),
            ("projectIdentifier", &call.scope.project),
        ];
        url.query_pairs_mut()
            .append_pair("accountIdentifier", self.account.as_str())
            .extend_pairs(
                scope
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value.as_ref()?))),
            )
            .extend_pairs(&call.query);
        url
    }

    /// Attempts it until there is a good answer, or one that another attempt would not better.
    async fn attempts(&self, call: &Call<'_>, url: &Url) -> Result<Answer, PlatformError> {
        let mut attempt = 1;
        tracing::debug!(method = %call.method, path = call.path, "platform API call");
        loop {
            let stopped = || PlatformError::Stopped {
                action: call.action.clone(),
            };
            let outcome = tokio::select! {
                outcome = self.attempt(call, url) => outcome?,
                () = self.stop.cancelled() => return Err(stopped()),
            };
            let (failed, asked, error) = match outcome {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => (
                    Failed::Status(answer.status),
                    answer.retry_after(),
                    self.refusal(call, url, &answer),
                ),
                Err((failed, reason)) => {
                    let error = PlatformError::Unreachable {
                        url: shown(url),
                        reason,
                        attempts: attempt,
                        in_doubt: failed == Failed::Unanswered,
                    };
                    (failed, None, error)
                }
            };
            tracing::debug!(method = %call.method, path = call.path, attempt, ?failed, "platform API call failed");
            if attempt >= retry::ATTEMPTS || !retry::may_repeat(failed, call.idempotent) {
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep(retry::pause(attempt, asked)) => {}
                () = self.stop.cancelled() => return Err(stopped()),
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        url: &Url,
    ) -> Result<Result<Answer, (Failed, String)>, PlatformError> {
        let client = self
            .http
            .for_url(url)
            .map_err(|error| PlatformError::Client(error.to_string()))?;
        let mut request = client
            .request(call.method.clone(), url.clone())
            .timeout(ATTEMPT)
            .header(USER_AGENT, AGENT)
            .header("x-api-key", self.key.expose());
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let Ok(request) = request.build() else {
            // Only the key can be unfit for a header.
            return Err(PlatformError::KeyRefused {
                url: shown(url),
                message: "it has characters that no key has".to_owned(),
            });
        };
        let response = match client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Ok(Err(told(error))),
        };
        Ok(read(response).await)
    }

    fn refusal(&self, call: &Call<'_>, url: &Url, answer: &Answer) -> PlatformError {
        let (status, url) = (answer.status, shown(url));
        if status.is_redirection() {
            let to = answer
                .headers
                .get(LOCATION)
                .and_then(|to| to.to_str().ok()?.parse::<Url>().ok());
            let what = match to {
                Some(to) => format!("with a redirect to {}, which is never followed", shown(&to)),
                None => "with a redirect, which is never followed".to_owned(),
            };
            return PlatformError::NotTheManager { url, what };
        }
        let message = answer.message();
        match status {
            StatusCode::UNAUTHORIZED => PlatformError::KeyRefused { url, message },
            StatusCode::FORBIDDEN => PlatformError::Forbidden {
                action: call.action.clone(),
                account: self.account.to_string(),
                message,
            },
            _ if answer.is_page() => PlatformError::NotTheManager {
                url,
                what: format!("{} with a web page", status.as_u16()),
            },
            _ => PlatformError::Refused {
                action: call.action.clone(),
                status: status.as_u16(),
                message,
            },
        }
    }
}

impl Answer {
    fn is_page(&self) -> bool {
        self.body.trim_ascii_start().first() == Some(&b'<')
    }

    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        text.trim().parse().ok().map(Duration::from_secs)
    }

    /// The manager's own words, with what its support asks for.
    fn message(&self) -> String {
        let reply: Reply = serde_json::from_slice(&self.body).unwrap_or_default();
        let first = reply
            .response_messages
            .and_then(|messages| messages.into_iter().next())
            .unwrap_or_default();
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let words = filled(first.message).or(filled(reply.message));
        let words = words.map_or_else(|| "it gave no reason".to_owned(), |words| quote(&words));
        let mut facts = vec![self.status.as_u16().to_string()];
        facts.extend(filled(first.code).or(filled(reply.code)));
        let header = || {
            let value = self.headers.get("x-request-id")?.to_str().ok()?;
            Some(value.to_owned())
        };
        facts.extend(
            filled(reply.correlation_id)
                .or_else(header)
                .map(|id| format!("correlation id {id}")),
        );
        format!("{} ({})", words.trim_end_matches('.'), facts.join(", "))
    }
}

/// Reads a reply up to a bound, which a lying `Content-Length` does not lift.
async fn read(mut response: Response) -> Result<Answer, (Failed, String)> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(told)? {
        if body.len() + piece.len() > MAX_REPLY {
            return Err((
                Failed::Unanswered,
                format!("its answer is larger than {MAX_REPLY} bytes"),
            ));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// What the network said, without the address, whose query nobody needs in an error.
fn told(error: reqwest::Error) -> (Failed, String) {
    let failed = if error.is_connect() {
        Failed::Unsent
    } else {
        Failed::Unanswered
    };
    if error.is_timeout() {
        return (failed, format!("no answer within {} s", ATTEMPT.as_secs()));
    }
    (failed, crate::install::cluster::chain(&error.without_url()))
}

/// Serde's complaint without the value it quotes.
fn classify(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "a missing or wrong field".to_owned(),
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

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let text = url.to_string();
    // Where the manager is, and not which of its paths, is what a user can check.
    match text.split_once("/ng/api") {
        Some((base, _)) => base.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn both_envelopes_of_an_error_are_read() {
        let wrapped = answer(
            400,
            r#"{"responseMessages":[{"code":"A","message":"No\n good."}],"correlationId":"c-1"}"#,
        );
        assert_eq!(wrapped.message(), "No good (400, A, correlation id c-1)");
        let bare = answer(
            409,
            r#"{"status":"ERROR","code":"B","message":"Taken","responseMessages":null}"#,
        );
        assert_eq!(bare.message(), "Taken (409, B)");
        assert_eq!(answer(500, "oops").message(), "it gave no reason (500)");
    }

    #[test]
    fn an_address_is_shown_without_login_and_query() {
        let url = "https://me:secret@m.example/gratis/ng/api/delegate-token-ng?tokenName=x";
        assert_eq!(shown(&url.parse().unwrap()), "https://m.example/gratis");
    }

    #[test]
    fn an_unexpected_payload_is_described_without_its_value() {
        let error = serde_json::from_str::<Vec<String>>(r#""the-token""#).unwrap_err();
        assert!(!classify(&error).contains("the-token"), "{}", classify(&error));
    }
}
