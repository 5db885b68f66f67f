//! Paths of the delegate protocol.

use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::body::{BodyError, Read};
use super::refusal::Refusal;
use crate::config::DelegateName;
use crate::manager::engine::{Engine, LONGEST_WAIT};
use crate::manager::ids::{DelegateId, TaskId};
use crate::manager::queue::Responded;
use crate::manager::tokens::Refused;
use crate::protocol::stream;
use crate::protocol::wire::{DelegateParams, Envelope, Registered, Task, TaskEvents, TaskResponse};

/// Largest capacity taken: more tasks than this at once is a mistake.
const MAX_CAPACITY: u32 = 100_000;

/// Longest text taken of what a delegate says of itself, and most entries of its lists.
const MAX_TEXT: usize = 1024;
const MAX_LIST: usize = 512;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/api/agent/delegates/register", post(register))
        .route("/api/agent/delegates/heartbeat-with-polling", post(heartbeat))
        .route("/api/agent/delegates/{delegate}/task-events", get(task_events))
        .route(
            "/api/agent/delegates/register-delegate-capacity/{delegate}",
            post(capacity),
        )
        .route("/api/agent/delegates/{delegate}/unregister", post(unregister))
        .route(
            "/api/agent/v2/delegates/{delegate}/tasks/{task}/acquire",
            put(acquire),
        )
        .route("/api/agent/v2/tasks/{task}/delegates/{delegate}", post(respond))
        .route("/api/account/{account}/status", get(account_status))
}

/// A delegate that proved to know a delegate token of the account.
struct Delegate {
    token: String,
}

impl FromRequestParts<App> for Delegate {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Account {
            #[serde(default)]
            account_id: String,
        }
        let Query(Account { account_id }) = Query::from_request_parts(parts, engine).await.map_err(|_| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST",
                "The query does not read.",
            )
        })?;
        let bearer = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Delegate "))
            .ok_or(Refused::Invalid)
            .map_err(crate::manager::engine::EngineError::from)?;
        let token = engine.authenticate(&account_id, bearer.trim())?;
        Ok(Self { token })
    }
}

async fn register(
    State(engine): State<App>,
    delegate: Delegate,
    body: Result<Read, BodyError>,
) -> Result<Json<Envelope<Registered>>, Refusal> {
    let params: DelegateParams = body?.json()?;
    check(&params)?;
    let name = params.delegate_name.clone();
    let id = engine.register(params, &delegate.token).await?;
    tracing::info!(delegate = %id, name, token = delegate.token, "delegate registered");
    Ok(Json(Envelope::of(Registered {
        delegate_id: id.to_string(),
        stream: Some(stream::VERSION.to_owned()),
        unregister: true,
    })))
}

async fn heartbeat(
    State(engine): State<App>,
    delegate: Delegate,
    body: Result<Read, BodyError>,
) -> Result<Json<Envelope<Registered>>, Refusal> {
    let id = take_heartbeat(&engine, &delegate.token, body?.json()?).await?;
    Ok(Json(Envelope::of(Registered {
        delegate_id: id.to_string(),
        stream: None,
        unregister: false,
    })))
}

/// Takes a heartbeat, however it came.
pub(super) async fn take_heartbeat(
    engine: &Engine,
    token: &str,
    params: DelegateParams,
) -> Result<DelegateId, Refusal> {
    let id = DelegateId::from(params.delegate_id.as_str());
    // A heartbeat that says no more than who it is from leaves everything else as it was.
    let said = (!params.delegate_name.is_empty()).then_some(params);
    said.as_ref().map_or(Ok(()), check)?;
    engine.heartbeat(&id, said, token).await?;
    Ok(id)
}

/// What a delegate says of itself is shown to users and kept, so it is bounded.
fn check(params: &DelegateParams) -> Result<(), Refusal> {
    let bad = |message: String| Err(Refusal::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message));
    if let Err(error) = params.delegate_name.parse::<DelegateName>() {
        return bad(format!("The delegate name {error}; set DELEGATE_NAME."));
    }
    let texts = [
        ("hostName", &params.host_name),
        ("ip", &params.ip),
        ("delegateType", &params.delegate_type),
        ("description", &params.description),
        ("version", &params.version),
    ];
    if let Some((name, _)) = texts.iter().find(|(_, text)| text.len() > MAX_TEXT) {
        return bad(format!("{name} is longer than {MAX_TEXT} bytes."));
    }
    for (name, list) in [
        ("tags", &params.tags),
        ("supportedTaskTypes", &params.supported_task_types),
    ] {
        if list.len() > MAX_LIST || list.iter().any(|text| text.len() > MAX_TEXT) {
            return bad(format!(
                "{name} has more than {MAX_LIST} entries, or one longer than {MAX_TEXT} bytes."
            ));
        }
    }
    if params
        .task_capacity
        .is_some_and(|capacity| capacity > MAX_CAPACITY)
    {
        return bad(format!("taskCapacity is larger than {MAX_CAPACITY}."));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    #[serde(default)]
    wait_ms: String,
}

async fn task_events(
    State(engine): State<App>,
    _: Delegate,
    Path(delegate): Path<String>,
    Query(Wait { wait_ms }): Query<Wait>,
) -> Result<Json<TaskEvents>, Refusal> {
    // What does not read as a wait is none: then the answer comes at once, as other managers answer.
    let wait = Duration::from_millis(wait_ms.parse().unwrap_or(0)).min(LONGEST_WAIT);
    let events = engine.events(&delegate.into(), wait).await?;
    Ok(Json(TaskEvents {
        delegate_task_events: events,
    }))
}

async fn unregister(
    State(engine): State<App>,
    _: Delegate,
    Path(delegate): Path<String>,
) -> Result<StatusCode, Refusal> {
    let delegate = DelegateId::from(delegate);
    engine.unregister(&delegate).await?;
    tracing::info!(%delegate, "delegate unregistered");
    Ok(StatusCode::NO_CONTENT)
}

async fn capacity(
    State(engine): State<App>,
    _: Delegate,
    Path(delegate): Path<String>,
    body: Result<Read, BodyError>,
) -> Result<StatusCode, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Capacity {
        maximum_number_of_builds: u32,
    }
    let said: Capacity = body?.json()?;
    let capacity = said.maximum_number_of_builds.min(MAX_CAPACITY);
    engine.set_capacity(&delegate.into(), capacity).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn acquire(
    State(engine): State<App>,
    _: Delegate,
    Path((delegate, task)): Path<(String, String)>,
) -> Result<Json<Task>, Refusal> {
    let (delegate, task) = (DelegateId::from(delegate), TaskId::from(task));
    Ok(Json(give(&engine, &task, &delegate).await?))
}

/// Gives a task to a delegate, however it asked.
pub(super) async fn give(engine: &Engine, task: &TaskId, delegate: &DelegateId) -> Result<Task, Refusal> {
    let given = engine.acquire(task, delegate).await?;
    tracing::info!(%task, kind = given.kind, %delegate, "task acquired");
    Ok(given)
}

async fn respond(
    State(engine): State<App>,
    _: Delegate,
    Path((task, delegate)): Path<(String, String)>,
    body: Result<Read, BodyError>,
) -> Result<Json<Envelope<()>>, Refusal> {
    take_answer(&engine, &task.into(), &delegate.into(), body?.json()?).await?;
    Ok(Json(Envelope {
        meta_data: json!({}),
        resource: None,
        response_messages: Vec::new(),
    }))
}

/// Takes the answer to a task, however it came.
pub(super) async fn take_answer(
    engine: &Engine,
    task: &TaskId,
    delegate: &DelegateId,
    response: TaskResponse,
) -> Result<(), Refusal> {
    let code = response.code;
    match engine.respond(task, delegate, response).await? {
        Responded::Taken => tracing::info!(%task, %delegate, ?code, "task answered"),
        Responded::Repeated => tracing::info!(%task, %delegate, ?code, "answer repeated, no effect"),
    }
    Ok(())
}

/// Reachability, and whether the account exists. Needs no token.
async fn account_status(
    State(engine): State<App>,
    Path(account): Path<String>,
) -> Result<Json<Envelope<String>>, Refusal> {
    if is_account(&engine, &account) {
        Ok(Json(Envelope::of("ACTIVE".to_owned())))
    } else {
        Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "INVALID_ACCOUNT",
            "There is no such account here; check ACCOUNT_ID.",
        ))
    }
}

fn is_account(engine: &Engine, account: &str) -> bool {
    engine.identity.account.as_str() == account
}
