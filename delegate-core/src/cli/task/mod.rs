//! `harness-delegate task`: run a task on a delegate and look at tasks.
//!
//! Stdout carries results and nothing else; the log of a followed task and everything said to the person at the
//! terminal go to stderr.

mod follow;
mod kinds;
mod run;
mod show;

use std::process::ExitCode;

use super::api::{Access, run_verb};
use super::kinds_dir::KindsDir;
use crate::task::Span;

/// Tasks of a manager.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Run a task: follow its log on stderr, print its result as JSON on stdout. Exit 0 when it succeeded, 1 when not,
    /// 124 when it ran out of time.
    Run(Box<Run>),
    /// List tasks, newest first.
    List(List),
    /// Show a task.
    Get(One),
    /// Print the log of a task.
    Logs(Logs),
    /// Abort a task.
    Abort(One),
    /// List the kinds of tasks that a delegate of this program runs, and what this machine lacks for them.
    Kinds(Kinds),
}

#[derive(clap::Args)]
pub(super) struct Run {
    /// Kind of task, such as SHELL_SCRIPT.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "script")]
    kind: Option<String>,
    /// Data of the task: JSON, or @FILE to read it from a file, or @- from stdin.
    #[arg(long, value_name = "JSON|@FILE", conflicts_with = "script")]
    data: Option<String>,
    /// A shell script: short for --type SHELL_SCRIPT with its data.
    #[arg(long, value_name = "TEXT")]
    script: Option<String>,
    /// A tag, name or host name that the delegate must have; all of those given.
    #[arg(long = "selector", value_name = "S")]
    selectors: Vec<String>,
    /// Bound of the run, such as 30s, 5m or 1h.
    #[arg(long, value_name = "D")]
    timeout: Option<Span>,
    /// Bound of the wait for a delegate; that of the run when absent.
    #[arg(long, value_name = "D")]
    queue_timeout: Option<Span>,
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// Only tasks with this status.
    #[arg(long)]
    status: Option<String>,
    /// Only tasks of this kind.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only tasks of this delegate.
    #[arg(long)]
    delegate_id: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct One {
    /// Identity of the task.
    id: String,
    #[command(flatten)]
    access: Access,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Logs {
    /// Identity of the task.
    id: String,
    /// Go on until the task is over.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    access: Access,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Kinds {
    /// Print JSON: also the schemas of data and result, and an example.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kinds: KindsDir,
}

/// Runs the verb.
pub(super) fn run(command: Command) -> ExitCode {
    match command {
        Command::Run(args) => run_verb(run::run(*args)),
        Command::List(args) => run_verb(show::list(args)),
        Command::Get(args) => run_verb(show::get(args)),
        Command::Logs(args) => run_verb(show::logs(args)),
        Command::Abort(args) => run_verb(show::abort(args)),
        Command::Kinds(args) => run_verb(async move { kinds::list(&args) }),
    }
}
