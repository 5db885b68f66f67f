//! `install`, `uninstall`, `start`, `stop`, `status`: the delegate as a service of this machine; and `supervise`, which
//! that service runs where there is no systemd.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::api::say;
use super::complain;
use crate::config::{DEFAULT_GRACE_PERIOD, DelegateConfig, Env, parse_env_file};
use crate::install::host::{self, Change, HostError, HostSpec, ServiceKind};

/// Install this program as a service, or bring an installation up to date.
///
/// The settings are those of `run`: environment variables, or a file of them. They are written to a file of mode 0600.
#[derive(Args)]
pub(super) struct Install {
    #[command(flatten)]
    place: Place,
    /// File with environment variables; the environment itself wins.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// What keeps the delegate running: `systemd`, `process`, or `auto`.
    #[arg(long, default_value = "auto", value_parser = ["auto", "systemd", "process"])]
    service: String,
    /// User it runs as; with systemd only.
    #[arg(long)]
    user: Option<String>,
    /// Program to install, instead of this one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Where an installation is.
#[derive(Args)]
pub(super) struct Place {
    /// Folder of the installation.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/harness-delegate/default")]
    directory: PathBuf,
}

/// Keep an installed delegate running.
#[derive(Args)]
pub(super) struct Supervise {
    /// Folder of the installation.
    directory: PathBuf,
}

/// Exit code of `status` for an installed delegate that does not run: that of service managers.
const EXIT_NOT_RUNNING: u8 = 3;

/// Exit code of `status` when nothing is installed.
const EXIT_NOT_INSTALLED: u8 = 4;

pub(super) fn install(args: Install) -> ExitCode {
    let spec = match spec(args) {
        Ok(spec) => spec,
        Err(problem) => return fail(super::ExitCode::BadConfiguration as u8, &problem),
    };
    let name = spec.config.name.clone();
    done(host::install(&spec).map(|change| match change {
        Change::None => format!("The delegate {name} is installed and runs; nothing to change."),
        Change::Restarted => format!(
            "The delegate {name} is installed in {} and runs.",
            spec.directory.display()
        ),
    }))
}

pub(super) fn uninstall(place: &Place) -> ExitCode {
    done(host::uninstall(&place.directory, DEFAULT_GRACE_PERIOD).map(|()| "Removed.".to_owned()))
}

pub(super) fn start(place: &Place) -> ExitCode {
    done(host::start(&place.directory).map(|()| "Started.".to_owned()))
}

pub(super) fn stop(place: &Place) -> ExitCode {
    done(host::stop(&place.directory, DEFAULT_GRACE_PERIOD).map(|()| "Stopped.".to_owned()))
}

pub(super) fn status(place: &Place) -> ExitCode {
    match host::observe(&place.directory) {
        Err(error) => fail(1, &error.to_string()),
        Ok(None) => fail(
            EXIT_NOT_INSTALLED,
            &format!("No delegate is installed in {}.", place.directory.display()),
        ),
        Ok(Some(seen)) => {
            let state = if seen.running { "runs" } else { "does not run" };
            say(&format_args!(
                "The delegate {} {} {state}.",
                seen.record.name, seen.record.version
            ));
            if let Some(address) = seen.http_address {
                say(&format_args!(
                    "Health and metrics: http://{address}/api/health, /api/metrics"
                ));
            }
            if seen.running {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_NOT_RUNNING)
            }
        }
    }
}

pub(super) fn supervise(args: &Supervise) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    match runtime.block_on(host::supervisor::run(&args.directory)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(
            1,
            &format!("cannot supervise {}: {error}", args.directory.display()),
        ),
    }
}

fn spec(args: Install) -> Result<HostSpec, String> {
    let mut env = Env::of_process();
    if let Some(path) = &args.env_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        env = env.or(parse_env_file(&text).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let config = DelegateConfig::from_env(&env).map_err(|errors| errors.to_string())?;
    let binary = match args.binary {
        Some(binary) => binary,
        None => std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?,
    };
    let service = match args.service.as_str() {
        "systemd" => ServiceKind::Systemd,
        "process" => ServiceKind::Process,
        _ => ServiceKind::of_this_machine(),
    };
    let directory = args.place.directory;
    let (extra_env, notes) = (BTreeMap::new(), BTreeMap::new());
    Ok(HostSpec {
        config,
        extra_env,
        binary,
        directory,
        service,
        user: args.user,
        notes,
    })
}

fn done(result: Result<String, HostError>) -> ExitCode {
    match result {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::from(code)
}
