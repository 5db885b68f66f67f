//! The client of `/api/v1` that the manager's verbs share: where it goes, with which key, and what its errors say.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{Client, Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::Secret;
use crate::protocol::api::{ApiError, ApiFault};
use crate::protocol::http::{Http, HttpSettings};

/// Time for a call that does not wait for anything.
const CALL: Duration = Duration::from_secs(40);

/// Largest reply read.
const MAX_REPLY: usize = 64 * 1024 * 1024;

/// Where the manager is, and how to be let in.
#[derive(clap::Args, Debug)]
pub(super) struct Access {
    /// The manager.
    #[arg(
        long,
        env = "HARNESS_ENDPOINT",
        default_value = "http://127.0.0.1:8080",
        global = true
    )]
    url: Url,
    /// Its API key. Better given by the environment.
    #[arg(long, env = "HARNESS_PLATFORM_API_KEY", hide_env_values = true, value_parser = read_secret, global = true)]
    api_key: Option<Secret>,
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a value parser")]
pub(super) fn read_secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.trim()))
}

/// Why a verb failed. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No key.
    #[error(
        "no API key: set HARNESS_PLATFORM_API_KEY to the one the manager printed on its first start (MANAGER_API_KEY)"
    )]
    NoApiKey,
    /// Nobody answered.
    #[error(
        "cannot reach the manager at {url}: {reason}; is it running, and is HARNESS_ENDPOINT (--url) right?"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// Why, down to the cause.
        reason: String,
    },
    /// It said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        message: String,
        /// Each thing that is wrong, where it told several.
        faults: Vec<ApiFault>,
    },
    /// It said something else.
    #[error(
        "{url} answered {status} with something that is not the manager's; is HARNESS_ENDPOINT (--url) right?"
    )]
    NotTheManager {
        /// Where.
        url: String,
        /// HTTP status.
        status: StatusCode,
    },
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The machine said no.
    #[error("{0}")]
    Machine(String),
}

impl Failure {
    /// Whether asking again may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } | Self::NotTheManager { status, .. } => status.is_server_error(),
            Self::NoApiKey | Self::Usage(_) | Self::Machine(_) => false,
        }
    }
}

/// A client of one manager.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
    base: Url,
    key: Secret,
}

impl Api {
    pub(super) fn new(access: Access) -> Result<Self, Failure> {
        let key = access
            .api_key
            .filter(|key| !key.is_empty())
            .ok_or(Failure::NoApiKey)?;
        Ok(Self {
            client: Http::new(HttpSettings::default())
                .for_url(&access.url)
                .map_err(|error| Failure::Machine(error.to_string()))?,
            base: access.url,
            key,
        })
    }

    /// Asks, and reads the reply as JSON.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let response = self
            .send(self.request(Method::GET, path).query(query).timeout(CALL))
            .await?;
        read(response).await
    }

    /// Sends a body, and reads the reply as JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let response = self
            .send(self.request(Method::POST, path).json(body).timeout(CALL))
            .await?;
        read(response).await
    }

    /// Asks, and gives the reply piece by piece as it comes.
    pub(super) async fn stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        after: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Bytes, Failure>> + use<>, Failure> {
        let mut request = self.request(Method::GET, path).query(query);
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = self.send(request).await?;
        let url = shown(response.url());
        Ok(response.bytes_stream().map(move |piece| {
            piece.map_err(|error| Failure::Unreachable {
                url: url.clone(),
                reason: causes(&error),
            })
        }))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        // The base may carry a path; it is kept.
        let base = self.base.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1{path}"));
        self.client
            .request(method, url)
            .header("x-api-key", self.key.expose())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| Failure::Unreachable {
            url: shown(&self.base),
            reason: causes(&error.without_url()),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let url = shown(response.url());
        let body = response.bytes().await.unwrap_or_default();
        Err(match serde_json::from_slice::<ApiError>(&body) {
            Ok(error) => Failure::Refused {
                status,
                message: error.message,
                faults: error.faults,
            },
            Err(_) => Failure::NotTheManager { url, status },
        })
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let (url, status) = (shown(response.url()), response.status());
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Failure::Unreachable {
            url: url.clone(),
            reason: causes(&error),
        })?;
        if body.len() + piece.len() > MAX_REPLY {
            return Err(Failure::NotTheManager { url, status });
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(|_| Failure::NotTheManager { url, status })
}

/// A path segment of a URL.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    format!(
        "{}://{}",
        url.scheme(),
        url.authority().rsplit('@').next().unwrap_or_default()
    )
}

/// An error and its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// Runs a verb: its exit code, or one line on stderr and 1; 2 when the command line is at fault.
pub(super) fn run_verb(verb: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let outcome = block_on(verb).unwrap_or_else(|error| Err(Failure::Machine(error)));
    outcome.unwrap_or_else(|failure| {
        say(&format_args!("harness-delegate: {failure}"));
        match failure {
            Failure::Usage(_) | Failure::NoApiKey => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    })
}

/// Runs a future to its end on a runtime of its own.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let result = runtime.block_on(future);
    // What still blocks, such as a read of the terminal, shall not hold the end up.
    runtime.shutdown_background();
    Ok(result)
}

/// One line for the person at the terminal. A closed stderr is nobody's concern.
pub(super) fn say(line: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Data for whoever reads stdout.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // The reader has enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::Machine(format!("cannot write to stdout: {error}"))),
    }
}

/// A value as JSON on stdout.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let text = text.map_err(|error| Failure::Machine(format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Rows under a heading, in columns as wide as their widest cell.
pub(super) fn table<const COLUMNS: usize>(heading: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |cells: [&str; COLUMNS]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let body = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    [line(heading)].into_iter().chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [
            ["a".to_owned(), "bb".to_owned()],
            ["long cell".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["X", "Y"], &rows),
            "X          Y\na          bb\nlong cell\n"
        );
    }

    #[test]
    fn an_address_is_shown_without_its_credentials() {
        assert_eq!(
            shown(&"http://user:secret@host:1/x".parse().unwrap()),
            "http://host:1"
        );
    }
}
