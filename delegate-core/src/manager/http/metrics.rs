//! `/metrics`, as Prometheus text. Counts and nothing else, so it needs no key.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::App;
use super::refusal::ApiRefusal;
use crate::manager::engine::EngineError;
use crate::protocol::api::TaskStatus;

pub(super) async fn show(State(engine): State<App>) -> Result<impl IntoResponse, ApiRefusal> {
    let counts = engine.store().counts().await.map_err(EngineError::from)?;
    let [waiting, running, connected, registered] = engine.figures();
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: usize| {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"
        );
    };
    gauge(
        "delegate_manager_tasks_waiting",
        "Tasks waiting for a delegate.",
        waiting,
    );
    gauge(
        "delegate_manager_tasks_running",
        "Tasks held by a delegate.",
        running,
    );
    gauge(
        "delegate_manager_delegates_connected",
        "Delegates that showed life lately.",
        connected,
    );
    gauge(
        "delegate_manager_delegates_registered",
        "Delegates known.",
        registered,
    );
    gauge(
        "delegate_manager_runs_active",
        "Runs of pipelines that go on.",
        engine.active_runs(),
    );
    let name = "delegate_manager_tasks";
    let _ = write!(
        text,
        "# HELP {name} Tasks kept, by status.\n# TYPE {name} gauge\n"
    );
    for status in TaskStatus::ALL {
        let count = counts.get(status.as_str()).copied().unwrap_or(0);
        let _ = writeln!(text, "{name}{{status=\"{status}\"}} {count}");
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
