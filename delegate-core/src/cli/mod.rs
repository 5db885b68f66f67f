//! The command line: one file a verb, each a thin user of the library.
//!
//! A verb returns an [`ExitCode`]; an error was printed by then, as one line on standard error.

mod api;
mod delegate;
mod doctor;
mod kinds_dir;
mod manager;
mod manifest;
mod pipeline;
mod run;
mod service;
mod task;
mod token;

use std::fmt::Display;
use std::io::Write as _;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// A Harness-compatible delegate, and a manager for it.
#[derive(Parser)]
#[command(
    name = "harness-delegate",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the delegate, configured by its environment variables; flags win over them.
    Run(Box<run::RunArgs>),
    Install(service::Install),
    /// Stop the service with drain and remove it.
    Uninstall(service::Place),
    /// Start the service.
    Start(service::Place),
    /// Stop the service with drain.
    Stop(service::Place),
    Status(service::Status),
    #[command(hide = true)]
    Supervise(service::Supervise),
    /// Does one thing that is asked on standard input, and ends with it.
    #[command(hide = true)]
    CarryOut,
    Doctor(Box<doctor::Doctor>),
    Manager(manager::Args),
    Manifest(Box<manifest::Args>),
    #[command(subcommand)]
    Task(task::Command),
    #[command(subcommand)]
    Pipeline(pipeline::Command),
    #[command(subcommand)]
    Delegate(delegate::Command),
    #[command(subcommand)]
    Token(token::Command),
}

/// What the exit status of this program says. Service managers act on these, so they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ExitCode {
    /// Done; an agent: everything in hand was finished and answered.
    Success = 0,
    /// Something that should not happen: a bug, or a system without memory or threads.
    Unexpected = 1,
    /// A setting cannot be used. Starting again without changing it is useless.
    BadConfiguration = 2,
    /// The manager does not take the token, or this delegate. Starting again without a change is useless.
    Refused = 3,
    /// `INIT_SCRIPT` failed.
    InitScriptFailed = 4,
    /// The agent was stopped before everything was finished. The next start answers what is left.
    CutShort = 5,
    /// The third signal: ended at once, as if killed. The next start answers what is left.
    Forced = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Run(_)) {
        start_log();
    }
    match command {
        Command::Run(args) => run::run(&args).into(),
        Command::Install(args) => service::install(args),
        Command::Uninstall(place) => service::uninstall(&place),
        Command::Start(place) => service::start(&place),
        Command::Stop(place) => service::stop(&place),
        Command::Status(args) => service::status(&args),
        Command::CarryOut => service::carry_out(),
        Command::Supervise(args) => service::supervise(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Manager(args) => manager::run(args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Task(command) => task::run(command),
        Command::Pipeline(command) => pipeline::run(command),
        Command::Delegate(command) => delegate::run(command),
        Command::Token(command) => token::run(command),
    }
}

/// The log of every verb but `run`, which has settings of its own for it.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,sqlx=warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Prints an error as one line.
fn complain(error: impl Display) {
    // Nowhere is left to complain about a closed standard error.
    let _ = writeln!(std::io::stderr(), "harness-delegate: {error}");
}
