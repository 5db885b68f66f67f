//! `/api/v1/pipelines`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::App;
use super::api::Params;
use super::body::{BodyError, Read};
use super::refusal::ApiRefusal;
use super::tasks::{DEFAULT_PAGE, read_cursor, read_limit};
use crate::manager::engine::LONGEST_WAIT;
use crate::manager::store::RunFilter;
use crate::pipeline::api::{AbortRun, Answer, Decide, RunPage, RunView, StartRun};
use crate::pipeline::run::{Event, Outcome};

/// What somebody is called who does not say.
const SOMEBODY: &str = "somebody with the API key";

/// Longest name of a person, and longest comment, in characters.
const MAX_NAME: usize = 128;
const MAX_COMMENT: usize = 4096;

/// Longest key of a start, in characters: two UUIDs and a word.
const MAX_KEY: usize = 128;

pub(super) async fn start(
    State(engine): State<App>,
    body: Result<Read, BodyError>,
) -> Result<(StatusCode, Json<RunView>), ApiRefusal> {
    let asked: StartRun = body?.json()?;
    if let Some(key) = &asked.key
        && (key.is_empty() || key.chars().count() > MAX_KEY)
    {
        let message = format!("A key has 1 to {MAX_KEY} characters.");
        return Err(ApiRefusal::field("key", message));
    }
    let key = asked.key.as_deref();
    let run = engine.start_run(asked.file, asked.variables, key).await?;
    let status = if run.anew {
        tracing::info!(run = %run.id, "run started");
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let view = engine.run_view(run.id.as_str(), None, Duration::ZERO).await?;
    Ok((status, Json(view)))
}

pub(super) async fn list(State(engine): State<App>, mut params: Params) -> Result<Json<RunPage>, ApiRefusal> {
    let filter = RunFilter {
        status: params.take("status").map(|text| read_status(&text)).transpose()?,
        limit: params
            .take("limit")
            .map_or(Ok(DEFAULT_PAGE), |text| read_limit(&text))?,
        after: params.take("cursor").map(|text| read_cursor(&text)).transpose()?,
    };
    params.done()?;
    Ok(Json(engine.list_runs(&filter).await?))
}

fn read_status(text: &str) -> Result<String, ApiRefusal> {
    if text == "RUNNING" || Outcome::parse(text).is_some() {
        return Ok(text.to_owned());
    }
    let known: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    let message = format!("status is one of RUNNING, {}.", known.join(", "));
    Err(ApiRefusal::field("status", message))
}

pub(super) async fn show(
    State(engine): State<App>,
    Path(id): Path<String>,
    mut params: Params,
) -> Result<Json<RunView>, ApiRefusal> {
    let after = params.take("after");
    let wait = params
        .take("wait_ms")
        .map_or(Ok(Duration::ZERO), |text| read_wait(&text))?;
    params.done()?;
    Ok(Json(engine.run_view(&id, after.as_deref(), wait).await?))
}

fn read_wait(text: &str) -> Result<Duration, ApiRefusal> {
    let wait = text.parse().ok().map(Duration::from_millis);
    wait.filter(|wait| *wait <= LONGEST_WAIT).ok_or_else(|| {
        let message = format!("wait_ms is a number from 0 to {}.", LONGEST_WAIT.as_millis());
        ApiRefusal::field("wait_ms", message)
    })
}

pub(super) async fn abort(
    State(engine): State<App>,
    Path(id): Path<String>,
    body: Result<Read, BodyError>,
) -> Result<Json<RunView>, ApiRefusal> {
    let asked: AbortRun = optional(&body?)?;
    let by = name(asked.by)?;
    tracing::info!(run = id, by, "abort asked for");
    engine.abort_run(&id, by).await?;
    now(&engine, &id).await
}

pub(super) async fn approve(
    State(engine): State<App>,
    Path((id, step)): Path<(String, String)>,
    body: Result<Read, BodyError>,
) -> Result<Json<RunView>, ApiRefusal> {
    answer(&engine, &id, &step, &body?, true).await
}

pub(super) async fn reject(
    State(engine): State<App>,
    Path((id, step)): Path<(String, String)>,
    body: Result<Read, BodyError>,
) -> Result<Json<RunView>, ApiRefusal> {
    answer(&engine, &id, &step, &body?, false).await
}

async fn answer(
    engine: &App,
    id: &str,
    step: &str,
    body: &Read,
    approved: bool,
) -> Result<Json<RunView>, ApiRefusal> {
    let Answer { by, comment } = optional(body)?;
    let by = name(by)?;
    if comment
        .as_ref()
        .is_some_and(|text| text.chars().count() > MAX_COMMENT)
    {
        let message = format!("comment has at most {MAX_COMMENT} characters.");
        return Err(ApiRefusal::field("comment", message));
    }
    tracing::info!(run = id, step, by, approved, "step answered");
    let event = |node| Event::Answered {
        node,
        by,
        approved,
        comment,
    };
    engine.answer_run(id, step, event).await?;
    now(engine, id).await
}

pub(super) async fn decide(
    State(engine): State<App>,
    Path((id, step)): Path<(String, String)>,
    body: Result<Read, BodyError>,
) -> Result<Json<RunView>, ApiRefusal> {
    let asked: Decide = body?.json()?;
    let by = name(asked.by)?;
    tracing::info!(run = id, step, by, decision = ?asked.decision, "failure decided");
    let event = |node| Event::Decided {
        node,
        by,
        decision: asked.decision,
    };
    engine.answer_run(&id, &step, event).await?;
    now(&engine, &id).await
}

async fn now(engine: &App, id: &str) -> Result<Json<RunView>, ApiRefusal> {
    Ok(Json(engine.run_view(id, None, Duration::ZERO).await?))
}

/// A body that may be left out.
fn optional<T: DeserializeOwned + Default>(body: &Read) -> Result<T, BodyError> {
    if body.0.is_empty() {
        Ok(T::default())
    } else {
        body.json()
    }
}

/// Who it is, as it is shown to others.
fn name(given: Option<String>) -> Result<String, ApiRefusal> {
    let Some(name) = given else {
        return Ok(SOMEBODY.to_owned());
    };
    let length = name.trim().chars().count();
    if length == 0 || length > MAX_NAME || name.chars().any(char::is_control) {
        let message = format!("by is a name of 1 to {MAX_NAME} characters, in one line.");
        return Err(ApiRefusal::field("by", message));
    }
    Ok(name.trim().to_owned())
}
