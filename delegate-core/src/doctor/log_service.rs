//! The log service: whether it is where the settings say.

use http::StatusCode;

use super::Subject;
use super::manager::ask;
use super::report::Report;
use super::tls;
use crate::config::DelegateConfig;
use crate::protocol::call_error::is_html;
use crate::protocol::http::{chain, shown};

const REMEDY: &str =
    "set LOG_STREAMING_SERVICE_URL to the log service; unset, it is log-service/ at the manager";

/// Asks for a log that does not exist, without a token: a log service refuses.
pub(super) async fn look(subject: &Subject, config: &DelegateConfig, report: &mut Report) {
    let base = config.log_service_url();
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("stream");
    }
    url.query_pairs_mut()
        .append_pair("accountID", config.account_id.as_str())
        .append_pair("key", "doctor");
    let stranger = Subject {
        env: crate::config::Env::default(),
        config: None,
        account_is_set: false,
        token: None,
        http: crate::protocol::http::Http::new(config.into()),
    };
    // One pool of connections serves both where they are the same server.
    let by = if base.host_str() == config.manager_url.host_str() && subject.token.is_none() {
        subject
    } else {
        &stranger
    };
    let at = shown(&base);
    match ask(by, config, &url, 0).await {
        Err(error) => {
            let (found, remedy) = match tls::cause(&*error) {
                Some(cause) => tls::describe(cause, &base, &config.ca_bundle_dir),
                None => (
                    format!("{at} does not answer: {}", chain(&*error)),
                    REMEDY.to_owned(),
                ),
            };
            report.problem("log_service", found, remedy);
        }
        Ok(answer) if is_html(&answer.headers, &answer.body) || answer.status == StatusCode::NOT_FOUND => {
            report.problem("log_service", format_args!("{at} is no log service"), REMEDY);
        }
        Ok(answer) if answer.status.is_server_error() => report.problem(
            "log_service",
            format_args!("{at} answers {}: it is in trouble", answer.status),
            "see its own log; tasks run, and their logs are lost",
        ),
        Ok(_) => report.ok("log_service", format_args!("{at} answers")),
    }
}
