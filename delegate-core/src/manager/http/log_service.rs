//! Paths of the log service. Every call carries the token of one log, which opens that log and no other.

use axum::extract::{FromRequestParts, Query, State};
use axum::http::StatusCode;
use axum::http::header::{HOST, HeaderMap};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::body::{BodyError, Read};
use super::logs;
use super::refusal::LogRefusal;
use crate::manager::engine::{LogKey, now};
use crate::protocol::wire::LogLine;

/// Header that carries the token of the log.
const TOKEN_HEADER: &str = "x-harness-token";

/// Life of an upload link.
const LINK_LIFE_MS: i64 = 60 * 60 * 1000;

/// Most lines in one append; more is a mistake of the writer.
const MAX_LINES: usize = 100_000;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/stream", post(open).put(append).delete(close).get(tail))
        .route("/blob", post(upload).get(download))
        .route("/blob/link/upload", post(link))
        .route("/blob/upload", put(upload_by_link))
}

/// Whoever holds the token of a log, and that log.
struct Holder(LogKey);

#[derive(Deserialize)]
struct Names {
    #[serde(rename = "accountID", default)]
    account: String,
    #[serde(default)]
    key: String,
}

impl FromRequestParts<App> for Holder {
    type Rejection = LogRefusal;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, LogRefusal> {
        let Query(names) = Query::<Names>::from_request_parts(parts, engine)
            .await
            .map_err(|_| LogRefusal::new(StatusCode::BAD_REQUEST, "the query does not read"))?;
        let token = parts
            .headers
            .get(TOKEN_HEADER)
            .and_then(|value| value.to_str().ok());
        let known = names.account == engine.identity.account.as_str()
            && token.is_some_and(|token| engine.identity.is_log_token(token, &names.key));
        LogKey::parse(&names.key)
            .filter(|_| known)
            .map(Self)
            .ok_or_else(|| {
                LogRefusal::new(
                    StatusCode::UNAUTHORIZED,
                    "the token does not open this log; send logging.token of the task as X-Harness-Token, with accountID and key",
                )
            })
    }
}

async fn open(State(engine): State<App>, Holder(key): Holder) -> Result<StatusCode, LogRefusal> {
    engine.open_log(&key.task).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn append(
    State(engine): State<App>,
    Holder(key): Holder,
    body: Result<Read, BodyError>,
) -> Result<StatusCode, LogRefusal> {
    let lines: Vec<LogLine> = body?.json()?;
    check(&lines)?;
    engine.append_log(&key.task, &lines).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether so many lines are taken at once.
pub(super) fn check(lines: &[LogLine]) -> Result<(), BodyError> {
    if lines.len() > MAX_LINES {
        return Err(BodyError::Malformed(format!(
            "it has more than {MAX_LINES} lines at once"
        )));
    }
    Ok(())
}

/// `snapshot=true` asks to keep the stream as the stored log, which is done in any case.
async fn close(State(engine): State<App>, Holder(key): Holder) -> Result<StatusCode, LogRefusal> {
    engine.close_log(&key.task).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upload(
    State(engine): State<App>,
    Holder(key): Holder,
    body: Result<Read, BodyError>,
) -> Result<StatusCode, LogRefusal> {
    engine.upload_log(&key.task, &lines(&body?)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// NDJSON as lines.
fn lines(body: &Read) -> Result<Vec<LogLine>, LogRefusal> {
    let read = |(number, row): (usize, &[u8])| {
        serde_json::from_slice(row).map_err(|error| {
            LogRefusal::new(
                StatusCode::BAD_REQUEST,
                format!("row {} is not a log line: {error}", number + 1),
            )
        })
    };
    body.0
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, row)| !row.trim_ascii().is_empty())
        .map(read)
        .collect()
}

async fn link(State(engine): State<App>, Holder(key): Holder, headers: HeaderMap) -> Json<serde_json::Value> {
    let expires = now() + LINK_LIFE_MS;
    let key = key.to_string();
    let signature = engine.identity.upload_signature(&key, expires);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Where the caller reached us, as far as proxies on the way say.
    let scheme = text("x-forwarded-proto").unwrap_or("http");
    let host = text("x-forwarded-host")
        .or(text(HOST.as_str()))
        .unwrap_or("localhost");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("accountID", engine.identity.account.as_str())
        .append_pair("key", &key)
        .append_pair("expires", &expires.to_string())
        .append_pair("signature", signature.expose())
        .finish();
    Json(json!({
        "link": format!("{scheme}://{host}/log-service/blob/upload?{query}"),
        "expires": LINK_LIFE_MS * 1_000_000,
    }))
}

/// Whoever has an upload link: the link is its own permission, as signed links are.
struct LinkHolder(LogKey);

impl FromRequestParts<App> for LinkHolder {
    type Rejection = LogRefusal;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, LogRefusal> {
        #[derive(Deserialize)]
        struct Link {
            key: String,
            expires: i64,
            signature: String,
        }
        let link = Query::<Link>::from_request_parts(parts, engine).await.ok();
        link.filter(|Query(link)| {
            let signed = engine
                .identity
                .is_upload_signature(&link.signature, &link.key, link.expires);
            signed && link.expires > now()
        })
        .and_then(|Query(link)| LogKey::parse(&link.key))
        .map(Self)
        .ok_or_else(|| {
            LogRefusal::new(
                StatusCode::FORBIDDEN,
                "the upload link is not valid, or not any more; ask for a new one",
            )
        })
    }
}

async fn upload_by_link(
    State(engine): State<App>,
    LinkHolder(key): LinkHolder,
    body: Result<Read, BodyError>,
) -> Result<StatusCode, LogRefusal> {
    engine.upload_log(&key.task, &lines(&body?)?).await?;
    Ok(StatusCode::OK)
}

async fn tail(
    State(engine): State<App>,
    Holder(key): Holder,
    headers: HeaderMap,
) -> Result<Response, LogRefusal> {
    logs::follow(engine, key.task, &headers).await.map_err(Into::into)
}

async fn download(State(engine): State<App>, Holder(key): Holder) -> Result<Response, LogRefusal> {
    logs::whole(engine, key.task).await.map_err(Into::into)
}
