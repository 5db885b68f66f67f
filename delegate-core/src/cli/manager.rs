//! `harness-delegate manager`: the self-hosted manager as a process.
//!
//! Stdout carries `NAME=value` lines for scripts: what was made on this start, then `MANAGER_URL`, once it listens.
//! The log goes to stderr. Exit: 0 after SIGTERM or SIGINT, 2 when it cannot start, with one line saying why.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use url::Url;

use crate::Secret;
use crate::config::{AccountId, DelegateToken, TokenError};
use crate::manager::identity::Wanted;
use crate::manager::store::Target;
use crate::manager::{Manager, Settings};

/// Exit code of a manager that cannot start.
const CANNOT_START: u8 = 2;

/// Serve a manager: delegates connect to it, tasks are submitted to it.
///
/// On the first start it makes an account id, a delegate token and an API key, prints them once, and keeps them.
/// Delegate tokens and the data of tasks that are not over are kept in clear, readable by the owner of the database.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "MANAGER_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Directory of the SQLite database.
    #[arg(
        long,
        env = "MANAGER_DATA_DIR",
        default_value = "harness-manager",
        conflicts_with = "database_url"
    )]
    data_dir: PathBuf,
    /// PostgreSQL instead: postgres://user@host/database. Give a password by the environment.
    #[arg(long, env = "MANAGER_DATABASE_URL", hide_env_values = true, value_parser = super::api::read_secret)]
    database_url: Option<Secret>,
    /// Account to serve.
    #[arg(long, env = "MANAGER_ACCOUNT_ID")]
    account_id: Option<AccountId>,
    /// Delegate token to accept, besides those made before. Better given by the environment.
    #[arg(long, env = "MANAGER_DELEGATE_TOKEN", hide_env_values = true, value_parser = super::api::read_secret)]
    delegate_token: Option<Secret>,
    /// API key to accept, in place of the one before. Better given by the environment.
    #[arg(long, env = "MANAGER_API_KEY", hide_env_values = true, value_parser = super::api::read_secret)]
    api_key: Option<Secret>,
}

/// A setting that is not as it should be. Those that may hold a secret are read here and not by clap, whose errors
/// repeat what was given.
#[derive(Debug, thiserror::Error)]
#[error("{name} {fault}")]
struct BadSetting {
    name: &'static str,
    fault: String,
}

fn read_database_url(text: &Secret) -> Result<Url, BadSetting> {
    let bad = |fault| BadSetting {
        name: "--database-url (MANAGER_DATABASE_URL)",
        fault,
    };
    let url: Url = text
        .expose()
        .parse()
        .map_err(|error| bad(format!("is not a URL: {error}")))?;
    match url.scheme() {
        "postgres" | "postgresql" => Ok(url),
        other => Err(bad(format!(
            "has the scheme {other}://; use postgres://, or --data-dir for SQLite"
        ))),
    }
}

fn read_token(text: &Secret) -> Result<DelegateToken, BadSetting> {
    text.expose().parse().map_err(|error: TokenError| BadSetting {
        name: "--delegate-token (MANAGER_DELEGATE_TOKEN)",
        fault: error.to_string(),
    })
}

fn settings(args: Args) -> Result<Settings, BadSetting> {
    let database_url = args.database_url.as_ref().map(read_database_url).transpose()?;
    Ok(Settings {
        listen: args.listen,
        target: database_url.map_or(Target::Directory(args.data_dir), Target::Postgres),
        wanted: Wanted {
            account_id: args.account_id,
            delegate_token: args.delegate_token.as_ref().map(read_token).transpose()?,
            api_key: args.api_key,
        },
    })
}

/// Serves until told to stop.
pub(super) fn run(args: Args) -> ExitCode {
    super::api::block_on(serve(args)).unwrap_or_else(|error| fail(&error))
}

async fn serve(args: Args) -> ExitCode {
    // Before anything is printed, so that a stop that follows at once is not missed.
    let stops = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt)] = stops else {
        return fail(&"cannot listen for signals");
    };
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    let manager = match Manager::start(settings).await {
        Ok(manager) => manager,
        Err(error) => return fail(&error),
    };
    if let Err(error) = announce(&manager) {
        return fail(&format_args!("cannot write to stdout: {error}"));
    }
    tracing::info!(address = %manager.address(), account = %manager.account(), "manager is listening");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("manager is stopping");
    };
    match manager.run(stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "manager failed");
            ExitCode::FAILURE
        }
    }
}

/// What scripts read: what was made on this start, then where the manager is.
fn announce(manager: &Manager) -> std::io::Result<()> {
    let made = manager.made();
    let mut out = std::io::stdout().lock();
    if let Some(account) = &made.account_id {
        writeln!(out, "MANAGER_ACCOUNT_ID={account}")?;
    }
    if let Some(token) = &made.delegate_token {
        writeln!(out, "MANAGER_DELEGATE_TOKEN={}", token.encoded().expose())?;
    }
    if let Some(key) = &made.api_key {
        writeln!(out, "MANAGER_API_KEY={}", key.expose())?;
    }
    writeln!(out, "MANAGER_URL=http://{}", manager.address())?;
    out.flush()
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    // A closed stderr leaves only the exit code.
    let _ = writeln!(std::io::stderr(), "harness-delegate manager: {error}");
    ExitCode::from(CANNOT_START)
}
