//! `harness-delegate task`: run a task on a delegate and look at tasks.
//!
//! Stdout carries results and nothing else; the log of a followed task and everything said to the person at the
//! terminal go to stderr.

mod follow;
mod run;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use super::api::{Access, run_verb};

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
    #[arg(long, value_name = "D", value_parser = read_duration)]
    timeout: Option<Duration>,
    /// Bound of the wait for a delegate; that of the run when absent.
    #[arg(long, value_name = "D", value_parser = read_duration)]
    queue_timeout: Option<Duration>,
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

/// Runs the verb.
pub(super) fn run(command: Command) -> ExitCode {
    match command {
        Command::Run(args) => run_verb(run::run(*args)),
        Command::List(args) => run_verb(show::list(args)),
        Command::Get(args) => run_verb(show::get(args)),
        Command::Logs(args) => run_verb(show::logs(args)),
        Command::Abort(args) => run_verb(show::abort(args)),
    }
}

/// A number and its unit: ms, s, m, h or d; seconds without one.
fn read_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| "give a number and a unit, such as 30s, 5m or 1h".to_owned())?;
    let ms = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(format!("{unit:?} is not a unit; use ms, s, m, h or d")),
    };
    Ok(Duration::from_millis(number.saturating_mul(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("30", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(read_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "5x", "-1s", "1.5s"] {
            assert!(read_duration(text).is_err(), "{text}");
        }
    }
}
