//! `task run`.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::Run;
use super::follow::follow;
use crate::cli::api::{Api, Failure, print_json, say, segment};
use crate::protocol::api::{Aborting, SubmitTask, Submitted, TaskStatus, TaskView};
use crate::task::Span;

/// Exit code of a task that ran out of time: that of `timeout`.
const TIMED_OUT: u8 = 124;

/// Largest data read from a file; the manager takes no more.
const MAX_DATA: u64 = 16 * 1024 * 1024;

/// Time for an aborted task to end; then we leave, and the manager sees to it.
const ABORT_PATIENCE: Duration = Duration::from_secs(40);

/// Submits a task, follows its log, prints its result.
pub(super) async fn run(args: Run) -> Result<ExitCode, Failure> {
    let task = submission(&args)?;
    let api = Api::new(args.access)?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| Failure::Machine(error.to_string()))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| Failure::Machine(error.to_string()))?;
    let Submitted { id } = api.post("/tasks", &task).await?;
    say(&format_args!("Task {id} is accepted."));

    let mut followed = Box::pin(follow(&api, &id, |_, line| {
        // The log is for a person; a closed stderr does not end the task.
        let _ = writeln!(std::io::stderr(), "{}", line.out.trim_end_matches(['\n', '\r']));
    }));
    let first = tokio::select! {
        ended = &mut followed => Some(ended),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let ended = if let Some(ended) = first {
        ended
    } else {
        say(&format_args!(
            "Aborting task {id}; interrupt again to leave it to the manager."
        ));
        let path = format!("/tasks/{}/abort", segment(&id));
        api.post::<Aborting>(&path, &json!({})).await?;
        tokio::select! {
            ended = &mut followed => ended,
            _ = interrupt.recv() => return Ok(ExitCode::FAILURE),
            () = tokio::time::sleep(ABORT_PATIENCE) => {
                say(&format_args!("Task {id} has not ended yet; see `task get {id}`."));
                return Ok(ExitCode::FAILURE);
            }
        }
    };
    ended?;
    drop(followed);

    let view: TaskView = api.get(&format!("/tasks/{}", segment(&id)), &[]).await?;
    if view.status != TaskStatus::Succeeded {
        let reason = view
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        say(&format_args!("Task {id} ended as {}{reason}", view.status));
    }
    let status = view.status;
    print_json(&result(view))?;
    Ok(match status {
        TaskStatus::Succeeded => ExitCode::SUCCESS,
        TaskStatus::TimedOut | TaskStatus::Expired => ExitCode::from(TIMED_OUT),
        _ => ExitCode::FAILURE,
    })
}

/// The result of the task kind; in its shape also when no delegate gave one.
fn result(view: TaskView) -> Value {
    if let Some(response) = view.response {
        return response.data;
    }
    let said = match view.status {
        TaskStatus::TimedOut | TaskStatus::Expired => "TIMEOUT",
        TaskStatus::Aborted => "ABORTED",
        _ => "FAILURE",
    };
    json!({
        "command_execution_status": said,
        "error_message": view.reason,
        "output_vars": {},
    })
}

fn submission(args: &Run) -> Result<SubmitTask, Failure> {
    let ms =
        |bound: Option<Span>| bound.map(|Span(bound)| u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
    let (kind, data) = match (&args.script, &args.kind) {
        (Some(_), Some(kind)) if kind != "SHELL_SCRIPT" => {
            return Err(Failure::Usage(format!(
                "--script is for SHELL_SCRIPT; give --data for {kind}"
            )));
        }
        (Some(script), _) => ("SHELL_SCRIPT".to_owned(), json!({ "script": script })),
        (None, kind) => (
            kind.clone().unwrap_or_default(),
            read_data(args.data.as_deref().unwrap_or("{}"))?,
        ),
    };
    Ok(SubmitTask {
        kind,
        data,
        selectors: args.selectors.clone(),
        timeout_ms: ms(args.timeout),
        queue_timeout_ms: ms(args.queue_timeout),
    })
}

fn read_data(given: &str) -> Result<Value, Failure> {
    let (text, from) = match given.strip_prefix('@') {
        None => (given.to_owned(), "--data".to_owned()),
        Some(path) => {
            let mut text = String::new();
            let read = if path == "-" {
                std::io::stdin().take(MAX_DATA + 1).read_to_string(&mut text)
            } else {
                std::fs::File::open(path).and_then(|file| file.take(MAX_DATA + 1).read_to_string(&mut text))
            };
            read.map_err(|error| Failure::Usage(format!("cannot read {path}: {error}")))?;
            if text.len() as u64 > MAX_DATA {
                return Err(Failure::Usage(format!("{path} is larger than 16 MiB")));
            }
            (text, path.to_owned())
        }
    };
    // Where and why, but not what: the data may carry secrets.
    serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!(
            "{from} is not JSON: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_does_not_read_is_not_repeated() {
        let Err(error) = read_data("{\"a\": hunter2}") else {
            panic!("it read");
        };
        assert_eq!(error.to_string(), "--data is not JSON: line 1, column 7");
    }
}
