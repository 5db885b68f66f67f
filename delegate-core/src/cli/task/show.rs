//! `task list`, `get`, `logs` and `abort`.

use std::process::ExitCode;

use futures_util::StreamExt as _;
use serde_json::json;

use super::follow::follow;
use super::{List, Logs, One};
use crate::cli::api::{Api, Failure, print, print_json, say, segment, table};
use crate::protocol::api::{Aborting, TaskPage, TaskStatus, TaskView};
use crate::protocol::wire::LogLine;

fn time(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

pub(super) async fn list(args: List) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let optional = [
        ("status", args.status),
        ("type", args.kind),
        ("delegate_id", args.delegate_id),
    ];
    let mut query: Vec<(&str, String)> = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    query.push(("limit", args.limit.to_string()));
    let page: TaskPage = api.get("/tasks", &query).await?;
    if args.json {
        print_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = page
        .tasks
        .into_iter()
        .map(|task| {
            [
                task.id,
                task.kind,
                task.status.to_string(),
                task.delegate_name.unwrap_or_default(),
                time(Some(task.created_at)),
                time(task.finished_at),
            ]
        })
        .collect();
    print(&table(
        ["ID", "TYPE", "STATUS", "DELEGATE", "CREATED", "FINISHED"],
        &rows,
    ))?;
    if page.next_cursor.is_some() {
        say(&"There are more; --limit shows more at once.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn get(args: One) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let task: TaskView = api.get(&format!("/tasks/{}", segment(&args.id)), &[]).await?;
    if args.json {
        print_json(&task)?;
        return Ok(ExitCode::SUCCESS);
    }
    let result = task.response.as_ref().map(|response| &response.data);
    let result = result.and_then(|data| serde_json::to_string_pretty(data).ok());
    let rows = [
        ("id", task.id),
        ("type", task.kind),
        ("status", task.status.to_string()),
        ("reason", task.reason.unwrap_or_default()),
        ("selectors", task.selectors.join(", ")),
        ("delegate", task.delegate_name.unwrap_or_default()),
        ("created", time(Some(task.created_at))),
        ("started", time(task.started_at)),
        ("finished", time(task.finished_at)),
        ("result", result.unwrap_or_default()),
    ];
    let lines: Vec<String> = rows
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:10} {value}"))
        .collect();
    print(&format!("{}\n", lines.join("\n")))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn logs(args: Logs) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let as_json = args.json;
    let show = |raw: &str, line: &LogLine| {
        let text = if as_json {
            raw
        } else {
            line.out.trim_end_matches(['\n', '\r'])
        };
        print(&format!("{text}\n"))
    };
    if args.follow {
        let mut written = Ok(());
        let followed = follow(&api, &args.id, |raw, line| {
            if written.is_ok() {
                written = show(raw, &line);
            }
        });
        followed.await?;
        written?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/tasks/{}/logs", segment(&args.id));
    let mut pieces = Box::pin(api.stream(&path, &[], None).await?);
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let row: Vec<u8> = rest.drain(..=end).collect();
            if let Ok(line) = serde_json::from_slice::<LogLine>(&row) {
                show(String::from_utf8_lossy(&row).trim_end(), &line)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn abort(args: One) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let path = format!("/tasks/{}/abort", segment(&args.id));
    let aborting: Aborting = api.post(&path, &json!({})).await?;
    if args.json {
        print_json(&aborting)?;
        return Ok(ExitCode::SUCCESS);
    }
    match aborting.status {
        TaskStatus::Running => say(&"Its delegate is told to end it."),
        TaskStatus::Aborted => say(&"The task is aborted."),
        over => say(&format_args!("The task was over already: {over}.")),
    }
    Ok(ExitCode::SUCCESS)
}
