//! Why a call gave no result, and what that means for the caller.
//!
//! Shared by the clients of the manager and of the log service. What may work later and what never will is decided in
//! one function, [`CallError::verdict`], with the reasons beside it.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use tracing::warn;
use url::Url;

use super::bearer::BearerError;
use super::http::{HttpError, chain, shown};
use super::wire::{self, Envelope};

/// Most characters of a reply that an error repeats.
const MAX_QUOTE: usize = 300;

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
    /// The call was taken, and the reply sends this delegate away.
    #[error("{0}")]
    Dismissed(Dismissal),
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

/// Why the manager will have this delegate no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dismissal {
    /// It orders the delegate to end.
    #[error("the manager orders this delegate to end for good (SELF_DESTRUCT)")]
    SelfDestruct,
    /// The owner has removed the delegate there.
    #[error("this delegate was deleted in the manager (DELETED)")]
    Deleted,
    /// Another one is connected under this identity. It may be one that is just ending.
    #[error(
        "another delegate is connected under this identity ({})",
        wire::code::DUPLICATE_DELEGATE
    )]
    Duplicate,
}

impl Dismissal {
    /// What the reply to a registration or a heartbeat says of it. What does not read orders nothing.
    pub(super) fn in_reply(body: &[u8]) -> Result<(), CallErrorKind> {
        let reply: Option<Envelope<wire::Orders>> = serde_json::from_slice(body).ok();
        let orders = reply.and_then(|reply| reply.resource).unwrap_or_default();
        match (orders.action.as_deref(), orders.status.as_deref()) {
            (Some("SELF_DESTRUCT"), _) => Err(CallErrorKind::Dismissed(Self::SelfDestruct)),
            (_, Some("DELETED")) => Err(CallErrorKind::Dismissed(Self::Deleted)),
            (Some("MIGRATE"), _) => {
                warn!(
                    to = orders.migrate_url.as_deref().unwrap_or_default(),
                    "the manager asks this delegate to move; set MANAGER_HOST_AND_PORT to where it leads"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }
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
    /// The manager will have this delegate no more.
    Dismissed(Dismissal),
}

impl CallError {
    pub(super) fn new(method: &Method, url: &Url, kind: impl Into<CallErrorKind>) -> Self {
        Self {
            method: method.clone(),
            url: shown(url).into(),
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
            CallErrorKind::Dismissed(why) => return Verdict::Dismissed(*why),
        };
        if html {
            // Managers answer in JSON. A page is a proxy's, whatever its status says.
            return Verdict::Retry;
        }
        if code == Some(wire::code::DUPLICATE_DELEGATE) {
            return Verdict::Dismissed(Dismissal::Duplicate);
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

pub(super) fn page(method: &Method, url: &Url) -> CallError {
    unreadable(
        method,
        url,
        "it is a web page: a proxy or a login portal answered, not the manager",
    )
}

pub(super) fn unreadable(method: &Method, url: &Url, reason: impl Into<String>) -> CallError {
    CallError::new(
        method,
        url,
        CallErrorKind::Unreadable {
            reason: reason.into(),
        },
    )
}

pub(crate) fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallErrorKind {
    let html = is_html(headers, body);
    let message = serde_json::from_slice::<Envelope<serde_json::Value>>(body)
        .ok()
        .and_then(|envelope| envelope.response_messages.into_iter().next());
    let (code, text) = match message {
        Some(message) => (Some(message.code), message.message),
        None if html => (None, String::new()),
        None => (None, String::from_utf8_lossy(body).into_owned()),
    };
    CallErrorKind::Status {
        status,
        code,
        message: quote(&text),
        html,
        retry_after: retry_after(headers),
    }
}

/// How long the peer asks us to wait, where it says so in seconds; a date is not understood.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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

pub(crate) fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
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
        for status in [400, 409, 500] {
            let verdict = coded(status, "DUPLICATE_DELEGATE_EXCEPTION");
            assert_eq!(verdict, Verdict::Dismissed(Dismissal::Duplicate), "{status}");
        }
    }

    #[test]
    fn a_good_reply_may_send_the_delegate_away() {
        let said = |resource: &str| {
            let body = format!(r#"{{"metaData":{{}},"resource":{resource},"responseMessages":[]}}"#);
            match Dismissal::in_reply(body.as_bytes()) {
                Err(CallErrorKind::Dismissed(why)) => Some(why),
                _ => None,
            }
        };
        assert_eq!(
            said(r#"{"action":"SELF_DESTRUCT"}"#),
            Some(Dismissal::SelfDestruct)
        );
        assert_eq!(
            said(r#"{"delegateId":"d","status":"DELETED"}"#),
            Some(Dismissal::Deleted)
        );
        for nothing in [
            r#"{"delegateId":"d","status":"ENABLED","useCdn":false}"#,
            r#"{"action":"MIGRATE","migrateUrl":"https://m"}"#,
            r#"{"action":"NEW"}"#,
            r#"{"action":7}"#,
            "null",
            "true",
        ] {
            assert_eq!(said(nothing), None, "{nothing}");
        }
        assert!(Dismissal::in_reply(b"").is_ok());
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
}
