//! `/api/v1/tasks`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

use super::App;
use super::api::{Params, kind_of};
use super::body::{BodyError, Read};
use super::logs;
use super::refusal::ApiRefusal;
use crate::config::Tag;
use crate::manager::engine::{EngineError, timestamp};
use crate::manager::ids::TaskId;
use crate::manager::queue::{State as TaskState, Submission, Task};
use crate::manager::store::TaskFilter;
use crate::protocol::api::{
    Aborting, DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS, Submitted, TaskPage, TaskStatus, TaskView,
};

/// Longest name of a task kind.
const MAX_KIND: usize = 128;

/// Most selectors of a task.
const MAX_SELECTORS: usize = 32;

/// Tasks on a page, unless asked otherwise, and at most.
pub(super) const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// What a task has, for messages.
const FIELDS: &str = "type, data, selectors, timeout_ms, queue_timeout_ms";

pub(super) async fn submit(
    State(engine): State<App>,
    body: Result<Read, BodyError>,
) -> Result<(StatusCode, Json<Submitted>), ApiRefusal> {
    let (submission, data) = read_submission(body?.json()?)?;
    let kind = submission.kind.clone();
    let id = engine.submit(submission, data).await?;
    tracing::info!(task = %id, kind, "task accepted");
    Ok((StatusCode::CREATED, Json(Submitted { id: id.to_string() })))
}

/// Reads a submission by hand, because each fault is answered with the field that has it.
fn read_submission(body: Value) -> Result<(Submission, String), ApiRefusal> {
    let Value::Object(mut fields) = body else {
        let message = format!("The body is {}, not an object with {FIELDS}.", kind_of(&body));
        return Err(ApiRefusal::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            message,
        ));
    };
    let kind = match fields.remove("type") {
        Some(Value::String(kind)) if is_kind(&kind) => kind,
        Some(Value::String(_)) => {
            let message =
                format!("type has 1 to {MAX_KIND} letters, digits and underscores, such as SHELL_SCRIPT.");
            return Err(ApiRefusal::field("type", message));
        }
        Some(other) => {
            return Err(ApiRefusal::field(
                "type",
                format!("type is {}, not a string.", kind_of(&other)),
            ));
        }
        None => {
            return Err(ApiRefusal::field(
                "type",
                "type is missing: the kind of task, such as SHELL_SCRIPT.",
            ));
        }
    };
    let data = match fields.remove("data") {
        None => Value::Object(Map::new()),
        Some(data @ Value::Object(_)) => data,
        Some(other) => {
            let message = format!(
                "data is {}, not an object in the form of the task kind.",
                kind_of(&other)
            );
            return Err(ApiRefusal::field("data", message));
        }
    };
    let selectors = read_selectors(fields.remove("selectors"))?;
    let timeout_ms = read_bound(&mut fields, "timeout_ms")?.unwrap_or(DEFAULT_TIMEOUT_MS);
    let queue_timeout_ms = read_bound(&mut fields, "queue_timeout_ms")?.unwrap_or(timeout_ms);
    if let Some((name, _)) = fields.into_iter().next() {
        let message = format!("There is no field {name:?}; a task has {FIELDS}.");
        return Err(ApiRefusal::field(name, message));
    }
    let submission = Submission {
        id: TaskId::from(""),
        kind,
        selectors,
        timeout_ms,
        queue_timeout_ms,
    };
    Ok((submission, data.to_string()))
}

fn is_kind(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    !text.is_empty() && text.len() <= MAX_KIND && text.bytes().all(fits)
}

fn read_selectors(value: Option<Value>) -> Result<Vec<String>, ApiRefusal> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(other) => {
            let message = format!("selectors is {}, not a list of strings.", kind_of(&other));
            return Err(ApiRefusal::field("selectors", message));
        }
    };
    if list.len() > MAX_SELECTORS {
        let message = format!(
            "selectors has {} entries; at most {MAX_SELECTORS} are taken.",
            list.len()
        );
        return Err(ApiRefusal::field("selectors", message));
    }
    let read = |(at, value): (usize, Value)| {
        let field = format!("selectors[{at}]");
        let Value::String(text) = value else {
            let message = format!("{field} is {}, not a string.", kind_of(&value));
            return Err(ApiRefusal::field(field, message));
        };
        match text.parse::<Tag>() {
            Ok(tag) => Ok(tag.as_str().to_owned()),
            Err(error) => {
                let message = format!("{field} {error}; a selector is a delegate's tag, name or host name.");
                Err(ApiRefusal::field(field, message))
            }
        }
    };
    list.into_iter().enumerate().map(read).collect()
}

fn read_bound(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<u64>, ApiRefusal> {
    let Some(value) = fields.remove(name) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(ms) if (1..=MAX_TIMEOUT_MS).contains(&ms) => Ok(Some(ms)),
        _ => {
            let message =
                format!("{name} is a whole number of milliseconds from 1 to {MAX_TIMEOUT_MS} (seven days).");
            Err(ApiRefusal::field(name, message))
        }
    }
}

pub(super) async fn show(
    State(engine): State<App>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ApiRefusal> {
    let found = engine.task(&id).await?;
    let mut shown = view(found.task);
    shown.reason = shown.reason.or(found.waiting_for);
    Ok(Json(shown))
}

pub(super) async fn list(
    State(engine): State<App>,
    mut params: Params,
) -> Result<Json<TaskPage>, ApiRefusal> {
    let filter = TaskFilter {
        status: params.take("status").map(|text| read_status(&text)).transpose()?,
        kind: params.take("type"),
        delegate: params.take("delegate_id"),
        limit: params
            .take("limit")
            .map_or(Ok(DEFAULT_PAGE), |text| read_limit(&text))?,
        after: params.take("cursor").map(|text| read_cursor(&text)).transpose()?,
    };
    params.done()?;
    let page = engine.store().list(&filter).await.map_err(EngineError::from)?;
    let last = page.tasks.last().filter(|_| page.more);
    let next_cursor = last.map(|task| format!("{}.{}", task.created_at, task.id));
    let shorten = |task| TaskView {
        response: None,
        ..view(task)
    };
    Ok(Json(TaskPage {
        tasks: page.tasks.into_iter().map(shorten).collect(),
        next_cursor,
    }))
}

fn read_status(text: &str) -> Result<TaskStatus, ApiRefusal> {
    TaskStatus::parse(text).ok_or_else(|| {
        let known: Vec<_> = TaskStatus::ALL.iter().map(|status| status.as_str()).collect();
        ApiRefusal::field("status", format!("status is one of {}.", known.join(", ")))
    })
}

pub(super) fn read_limit(text: &str) -> Result<u32, ApiRefusal> {
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_PAGE).contains(limit))
        .ok_or_else(|| ApiRefusal::field("limit", format!("limit is a number from 1 to {MAX_PAGE}.")))
}

pub(super) fn read_cursor(text: &str) -> Result<(i64, String), ApiRefusal> {
    text.split_once('.')
        .and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())))
        .ok_or_else(|| ApiRefusal::field("cursor", "cursor is the next_cursor of the page before."))
}

pub(super) async fn abort(
    State(engine): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Aborting>, ApiRefusal> {
    let status = engine.abort(&id).await?;
    tracing::info!(task = id, %status, "abort asked for");
    Ok(Json(Aborting { id, status }))
}

pub(super) async fn logs(
    State(engine): State<App>,
    Path(id): Path<String>,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiRefusal> {
    let follow = match params.take("follow").as_deref() {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(_) => return Err(ApiRefusal::field("follow", "follow is true or false.")),
    };
    params.done()?;
    let task = TaskId::from(id);
    if follow {
        Ok(logs::follow(engine, task, &headers).await?)
    } else {
        Ok(logs::whole(engine, task).await?)
    }
}

/// A task as it is shown: all but its data.
fn view(task: Task) -> TaskView {
    let status = task.status();
    let mut view = TaskView {
        id: task.id.to_string(),
        kind: task.kind,
        status,
        selectors: task.selectors,
        delegate_id: None,
        delegate_name: None,
        timeout_ms: task.timeout_ms,
        queue_timeout_ms: task.queue_timeout_ms,
        attempts: task.attempts,
        created_at: timestamp(task.created_at),
        started_at: None,
        finished_at: None,
        abort_requested_at: None,
        reason: None,
        response: None,
    };
    match task.state {
        TaskState::Queued { .. } => {}
        TaskState::Running {
            by,
            name,
            since,
            abort_asked,
        } => {
            view.delegate_id = Some(by.to_string());
            view.delegate_name = Some(name);
            view.started_at = Some(timestamp(since));
            view.abort_requested_at = abort_asked.map(timestamp);
        }
        TaskState::Ended(ended) => {
            view.delegate_id = ended.by.map(|by| by.to_string());
            view.delegate_name = ended.name;
            view.started_at = ended.started_at.map(timestamp);
            view.finished_at = Some(timestamp(ended.at));
            view.abort_requested_at = ended.abort_asked.map(timestamp);
            view.reason = ended.reason;
            view.response = ended.response.and_then(|text| serde_json::from_str(&text).ok());
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use serde_json::json;

    async fn field_of(body: Value) -> Option<String> {
        let refusal = read_submission(body).err().unwrap().into_response();
        assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        let bytes = axum::body::to_bytes(refusal.into_body(), 65536).await.unwrap();
        let error: crate::protocol::api::ApiError = serde_json::from_slice(&bytes).unwrap();
        assert!(error.message.ends_with('.'), "{}", error.message);
        error.field
    }

    #[tokio::test]
    async fn each_fault_of_a_submission_names_its_field() {
        for (body, field) in [
            (json!({}), "type"),
            (json!({"type": 1}), "type"),
            (json!({"type": "a b"}), "type"),
            (json!({"type": ""}), "type"),
            (json!({"type": "X", "data": []}), "data"),
            (json!({"type": "X", "selectors": "a"}), "selectors"),
            (json!({"type": "X", "selectors": ["a", 1]}), "selectors[1]"),
            (json!({"type": "X", "selectors": ["a,b"]}), "selectors[0]"),
            (json!({"type": "X", "selectors": vec!["a"; 33]}), "selectors"),
            (json!({"type": "X", "timeout_ms": 0}), "timeout_ms"),
            (json!({"type": "X", "timeout_ms": -1}), "timeout_ms"),
            (json!({"type": "X", "timeout_ms": 1.5}), "timeout_ms"),
            (
                json!({"type": "X", "timeout_ms": MAX_TIMEOUT_MS + 1}),
                "timeout_ms",
            ),
            (json!({"type": "X", "queue_timeout_ms": "5"}), "queue_timeout_ms"),
            (json!({"type": "X", "timout_ms": 5}), "timout_ms"),
        ] {
            assert_eq!(field_of(body.clone()).await.as_deref(), Some(field), "{body}");
        }
        assert_eq!(field_of(json!([])).await, None);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let (task, data) = read_submission(json!({"type": "X", "timeout_ms": 5}))
            .ok()
            .unwrap();
        assert_eq!(
            (task.timeout_ms, task.queue_timeout_ms, data.as_str()),
            (5, 5, "{}")
        );
        let (task, _) = read_submission(json!({"type": "X"})).ok().unwrap();
        assert_eq!(task.timeout_ms, DEFAULT_TIMEOUT_MS);
    }
}
