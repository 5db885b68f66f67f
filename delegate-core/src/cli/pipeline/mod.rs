//! `harness-delegate pipeline`: pipeline files, and runs of them on a manager.
//!
//! Progress and everything said to the person at the terminal go to stderr; stdout carries what was asked for.

mod follow;
mod run;
mod screen;
mod show;
mod step;
mod tree;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use super::api::{Access, Failure, run_verb};
use super::kinds_dir::KindsDir;
use crate::pipeline::run::Decision;

/// Pipeline files, and runs of them.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Run a pipeline file on a manager, and show its progress until it is over. Exit 0 when it succeeded, 1 when not, 124 when it
    /// ran out of time, 130 when interrupted: the run goes on then.
    Run(Box<Run>),
    /// Say everything that is wrong with a pipeline file, with line and column. Asks no manager, runs nothing.
    Validate(Validate),
    /// List runs, newest first.
    List(List),
    /// Show a run.
    Show(Show),
    /// End a run: its tasks are told to end, and nothing is rolled back.
    Abort(Abort),
    /// Say yes to an approval.
    Approve(Answer),
    /// Say no to an approval.
    Reject(Answer),
    /// Decide what follows the failure of a step that waits for it.
    Decide(Decide),
}

#[derive(clap::Args)]
pub(super) struct Run {
    /// The file; - for stdin.
    file: PathBuf,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    shown: Shown,
    /// End the run when interrupted, and wait for its end, rather than leave it to the manager.
    #[arg(long)]
    abort_on_interrupt: bool,
    #[command(flatten)]
    access: Access,
}

/// Values for variables.
#[derive(clap::Args)]
pub(super) struct Given {
    /// A value that the pipeline asks for, NAME=VALUE, or STAGE.NAME=VALUE for a variable of a stage.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = assignment)]
    vars: Vec<(String, String)>,
}

/// How progress is shown, and what is written at the end.
#[derive(clap::Args)]
pub(super) struct Shown {
    /// Show progress line by line also in a terminal.
    #[arg(long)]
    plain: bool,
    /// Write a JUnit report: a suite for each stage, a case for each step.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the run as JSON, as the manager shows it; - for stdout.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Validate {
    /// The file; - for stdin.
    file: PathBuf,
    /// Values are looked at as well.
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    kinds: KindsDir,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// Only runs with this status, such as RUNNING or FAILED.
    #[arg(long)]
    status: Option<String>,
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
pub(super) struct Show {
    /// Identity of the run.
    id: String,
    /// Show its progress until it is over, and exit as it ended.
    #[arg(long, short)]
    follow: bool,
    /// With --follow, show progress line by line also in a terminal.
    #[arg(long, requires = "follow")]
    plain: bool,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
pub(super) struct Abort {
    /// Identity of the run.
    id: String,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
pub(super) struct Answer {
    /// Identity of the run.
    id: String,
    /// The step, such as deploy.sure; can be left out while only one asks.
    step: Option<String>,
    /// Why.
    #[arg(long)]
    comment: Option<String>,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
pub(super) struct Decide {
    /// Identity of the run.
    id: String,
    /// What is to follow: retry, ignore, mark-as-success, mark-as-failure, abort or stage-rollback.
    #[arg(value_parser = decision)]
    decision: Decision,
    /// The step, such as deploy.release; can be left out while only one asks.
    step: Option<String>,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    access: Access,
}

#[derive(clap::Args)]
pub(super) struct By {
    /// Who answers, as others see it; each counts once.
    #[arg(long, env = "USER")]
    by: Option<String>,
}

/// Runs the verb.
pub(super) fn run(command: Command) -> ExitCode {
    match command {
        Command::Run(args) => run_verb(run::run(*args)),
        Command::Validate(args) => run_verb(async { validate::validate(args) }),
        Command::List(args) => run_verb(show::list(args)),
        Command::Show(args) => run_verb(show::show(args)),
        Command::Abort(args) => run_verb(step::abort(args)),
        Command::Approve(args) => run_verb(step::answer(args, true)),
        Command::Reject(args) => run_verb(step::answer(args, false)),
        Command::Decide(args) => run_verb(step::decide(args)),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is written NAME=VALUE".to_owned()),
    }
}

fn decision(text: &str) -> Result<Decision, String> {
    serde_json::from_value(text.replace('-', "_").into()).map_err(|_| {
        "it is one of retry, ignore, mark-as-success, mark-as-failure, abort, stage-rollback".to_owned()
    })
}

/// A pipeline file; the manager takes none that is larger than what is read of it.
fn read(file: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read as _;
    /// One byte more than a pipeline file may have, for the error to be about the file.
    const MOST: u64 = 2 * 1024 * 1024 + 1;
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(MOST).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MOST).read_to_string(&mut text))
    };
    read.map(|_| text).map_err(|error| {
        Failure::Usage(format!(
            "cannot read {}: {error}; name a pipeline file",
            file.display()
        ))
    })
}
