//! `harness-delegate delegate`: the delegates a manager knows.

use std::process::ExitCode;

use super::api::{Access, Api, Failure, print, print_json, run_verb, table};
use crate::protocol::api::DelegateList;

/// Delegates of a manager.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the delegates.
    List(List),
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(Command::List(list): Command) -> ExitCode {
    run_verb(show(list))
}

async fn show(list: List) -> Result<ExitCode, Failure> {
    let api = Api::new(list.access)?;
    let reply: DelegateList = api.get("/delegates", &[]).await?;
    if list.json {
        print_json(&reply)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = reply
        .delegates
        .into_iter()
        .map(|delegate| {
            [
                delegate.name,
                if delegate.connected {
                    "connected"
                } else {
                    "disconnected"
                }
                .to_owned(),
                delegate.host_name,
                delegate.version,
                delegate.running_tasks.to_string(),
                delegate.tags.join(","),
                delegate.last_seen_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                delegate.id,
            ]
        })
        .collect();
    print(&table(
        [
            "NAME",
            "STATE",
            "HOST",
            "VERSION",
            "TASKS",
            "TAGS",
            "LAST SEEN",
            "ID",
        ],
        &rows,
    ))?;
    Ok(ExitCode::SUCCESS)
}
