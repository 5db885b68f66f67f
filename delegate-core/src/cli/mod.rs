//! The command line.

mod api;
mod delegate;
mod manager;
mod task;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "harness-delegate",
    version,
    about = "A delegate, and a manager for it"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Manager(manager::Args),
    #[command(subcommand)]
    Task(task::Command),
    #[command(subcommand)]
    Delegate(delegate::Command),
    #[command(subcommand)]
    Token(token::Command),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,sqlx=warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match cli.command {
        Command::Manager(args) => manager::run(args),
        Command::Task(command) => task::run(command),
        Command::Delegate(command) => delegate::run(command),
        Command::Token(command) => token::run(command),
    }
}
