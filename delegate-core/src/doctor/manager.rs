//! The manager: name, port, TLS, answer, token, and its clock.
//!
//! The token is proven by asking for the tasks of a delegate that does not exist, which changes nothing: the manager
//! looks at the token first.

use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, StatusCode};
use url::Url;

use super::certificates::now_seconds;
use super::network::{Unreachable, reach};
use super::report::Report;
use super::{Subject, tls};
use crate::config::DelegateConfig;
use crate::protocol::call_error::status_error;
use crate::protocol::client::CallErrorKind;
use crate::protocol::http::{chain, shown};
use crate::protocol::{token, wire};

/// Time for an answer, the connection included: the agent's own for connecting, and as much again.
const ANSWER: Duration = Duration::from_secs(20);

/// Largest answer read, in bytes; an answer about a delegate that does not exist is short.
const MAX_ANSWER: usize = 256 * 1024;

/// A clock that differs by this many seconds spoils logs and comparisons, and soon tokens.
const SKEW_WORTH_MENTION: i64 = 30;

/// From here on managers refuse fresh tokens, and certificates are judged by the wrong day.
const SKEW_TOO_LARGE: i64 = 300;

/// An identity that no manager gives.
const NOBODY: &str = "harness-delegate-doctor";

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Whether the manager answers as a manager does.
pub(super) async fn look(subject: &Subject, config: &DelegateConfig, report: &mut Report) -> bool {
    let url = &config.manager_url;
    if (config.proxy.is_none() || subject.http.is_direct(url)) && !connection(url, report).await {
        return false;
    }
    let mut target = url.clone();
    if let Ok(mut path) = target.path_segments_mut() {
        path.pop_if_empty()
            .extend(["api", "agent", "delegates", NOBODY, "task-events"]);
    }
    target
        .query_pairs_mut()
        .append_pair("accountId", config.account_id.as_str());
    let began = Instant::now();
    let answer = match ask(subject, config, &target, now_seconds()).await {
        Ok(answer) => answer,
        Err(error) => {
            unanswered(&*error, config, report);
            return false;
        }
    };
    let took = began.elapsed();
    if !is_managers(&answer, url, report) {
        return false;
    }
    report.ok(
        "manager.answer",
        format_args!("{} answers within {} ms", shown(url), took.as_millis()),
    );
    let ahead = clock(&answer.headers, report);
    login(subject, config, &target, answer, ahead, report).await;
    true
}

/// One request, as the agent makes it. `now`: by whose clock the token is minted.
pub(super) async fn ask(
    subject: &Subject,
    config: &DelegateConfig,
    url: &Url,
    now: i64,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let mut request = subject.http.for_url(url)?.get(url.clone()).timeout(ANSWER);
    if let Some(delegate_token) = subject.token.as_ref().filter(|_| subject.account_is_set) {
        let bearer = token::mint(config.account_id.as_str(), delegate_token, now)?;
        request = request.header(AUTHORIZATION, format!("Delegate {}", bearer.expose()));
    }
    let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

async fn connection(url: &Url, report: &mut Report) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return true;
    };
    match reach(host, port).await {
        Ok(address) => {
            report.ok(
                "manager.connection",
                format_args!("{host} is {address} and takes connections"),
            );
            true
        }
        Err(Unreachable::Name(reason)) => {
            report.problem(
                "manager.name",
                format_args!("{host} has no address: {reason}"),
                "correct MANAGER_HOST_AND_PORT, or the name service of this machine; behind a proxy, set PROXY_HOST",
            );
            false
        }
        Err(Unreachable::Port(reason)) => {
            report.problem(
                "manager.connection",
                format_args!("nobody takes connections there: {reason}"),
                "see that the manager runs, and that a firewall lets this machine out; behind a proxy, set PROXY_HOST",
            );
            false
        }
    }
}

fn unanswered(
    error: &(dyn std::error::Error + Send + Sync + 'static),
    config: &DelegateConfig,
    report: &mut Report,
) {
    let url = &config.manager_url;
    if let Some(cause) = tls::cause(error) {
        let (found, remedy) = tls::describe(cause, url, &config.ca_bundle_dir);
        return report.problem("manager.tls", found, remedy);
    }
    let text = chain(error);
    // The proxy's answer to CONNECT has no type of its own outside the HTTP library.
    if text.contains("proxy authorization required") {
        return login_of_proxy(config, report);
    }
    if text.contains("tunnel error") {
        return report.problem(
            "proxy.tunnel",
            format_args!(
                "the proxy does not let connections to {} through: {text}",
                shown(url)
            ),
            "allow the manager's host and port there, or name it in NO_PROXY",
        );
    }
    report.problem(
        "manager.answer",
        format_args!("{} does not answer: {text}", shown(url)),
        "see that this is the manager's address, with the right scheme and port, and that it runs",
    );
}

fn login_of_proxy(config: &DelegateConfig, report: &mut Report) {
    let has_login = config
        .proxy
        .as_ref()
        .is_some_and(|proxy| proxy.credentials.is_some());
    let found = if has_login {
        "the proxy does not take its login"
    } else {
        "the proxy wants a login"
    };
    report.problem(
        "proxy.login",
        found,
        "set PROXY_USER and PROXY_PASSWORD, both URL-encoded",
    );
}

/// Whether a manager sent this, whatever it says.
fn is_managers(answer: &Answer, url: &Url, report: &mut Report) -> bool {
    let status = answer.status;
    let is_json = serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok();
    let CallErrorKind::Status { code, html, .. } = status_error(status, &answer.headers, &answer.body) else {
        return true;
    };
    let at = shown(url);
    let (found, remedy) = if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        report.problem(
            "proxy.login",
            "the proxy wants a login, or does not take the one it is given",
            "set PROXY_USER and PROXY_PASSWORD, both URL-encoded",
        );
        return false;
    } else if html {
        (
            format!("{at} answers with a web page: a proxy, a load balancer or a login portal"),
            "write the manager's address in MANAGER_HOST_AND_PORT, with its path if it has one",
        )
    } else if status.is_redirection() {
        (
            format!("{at} answers with a redirect, which a delegate does not follow"),
            "write in MANAGER_HOST_AND_PORT where it leads",
        )
    } else if status.is_server_error() {
        (
            format!("{at} answers {status}: it is in trouble, or something before it is"),
            "see the manager's own log",
        )
    } else if code.is_none() && !is_json && !status.is_success() && status != StatusCode::UNAUTHORIZED {
        (
            format!("{at} answers {status}, and not as a manager does"),
            "write the manager's address in MANAGER_HOST_AND_PORT, with its path if it has one",
        )
    } else {
        return true;
    };
    report.problem("manager.answer", found, remedy);
    false
}

/// Seconds that the manager's clock is ahead of ours.
fn clock(headers: &HeaderMap, report: &mut Report) -> i64 {
    let theirs = headers
        .get(DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(theirs) = theirs else {
        report.skip("manager.clock", "the manager does not say what time it is");
        return 0;
    };
    let ahead = theirs.timestamp().as_second() - now_seconds();
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!("the manager's clock is {} s {way} this machine's", ahead.abs());
    let remedy = "set the clocks by a time service (NTP) on this machine, or on the manager's";
    match ahead.abs() {
        0..SKEW_WORTH_MENTION => report.ok("manager.clock", "the clocks agree"),
        SKEW_WORTH_MENTION..SKEW_TOO_LARGE => report.warn("manager.clock", found, remedy),
        _ => report.problem("manager.clock", found, remedy),
    }
    ahead
}

async fn login(
    subject: &Subject,
    config: &DelegateConfig,
    target: &Url,
    mut answer: Answer,
    ahead: i64,
    report: &mut Report,
) {
    if subject.token.is_none() || !subject.account_is_set {
        return report.skip("manager.token", "account and token come first");
    }
    // A token minted by a wrong clock is minted anew by the manager's, as the agent does.
    if code(&answer).as_deref() == Some(wire::code::EXPIRED_TOKEN)
        && let Ok(again) = ask(subject, config, target, now_seconds() + ahead).await
    {
        answer = again;
    }
    let account = &config.account_id;
    if answer.status != StatusCode::UNAUTHORIZED {
        return report.ok(
            "manager.token",
            format_args!("the manager takes the token for account {account}"),
        );
    }
    match code(&answer).as_deref() {
        Some(wire::code::REVOKED_TOKEN) => report.problem(
            "manager.token",
            "the token was revoked",
            "make a new delegate token in the manager, and give it to the delegate",
        ),
        Some(wire::code::EXPIRED_TOKEN) => report.problem(
            "manager.token",
            "the manager takes a fresh token for expired",
            "set the clocks of both machines right",
        ),
        _ => report.problem(
            "manager.token",
            format_args!("the manager does not take the token for account {account}"),
            "see that ACCOUNT_ID is the account the token was made in, and copy the token again",
        ),
    }
}

fn code(answer: &Answer) -> Option<String> {
    match status_error(answer.status, &answer.headers, &answer.body) {
        CallErrorKind::Status { code, .. } => code,
        _ => None,
    }
}
