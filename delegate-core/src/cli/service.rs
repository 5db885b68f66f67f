//! `install`, `uninstall`, `start`, `stop`, `status`: the delegate as a service of this machine; and two that no person
//! types: `supervise`, which that service runs where there is no systemd, and `carry-out`, which an installer on another
//! machine runs over ssh.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::api::{print, print_json, say};
use super::complain;
use crate::config::{DEFAULT_GRACE_PERIOD, DelegateConfig, Env, parse_env_file};
use crate::install::host::order::{self, Answer, Order, Sighting};
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
    /// Install nothing; print a script that does, without secrets.
    #[arg(long)]
    print: bool,
}

/// Where an installation is.
#[derive(Args)]
pub(super) struct Place {
    /// Folder of the installation.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/harness-delegate/default")]
    directory: PathBuf,
}

/// Say whether the service runs: exit 0 when it does, 3 when it does not, 4 when none is installed.
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
    /// Print it as JSON, with whether the delegate is connected.
    #[arg(long)]
    json: bool,
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
    if args.print {
        return print_script(&args);
    }
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

fn print_script(args: &Install) -> ExitCode {
    let config = match config(args) {
        Ok(config) => config,
        Err(problem) => return fail(super::ExitCode::BadConfiguration as u8, &problem),
    };
    let text = host::script(
        &config,
        &args.place.directory,
        &args.service,
        args.user.as_deref(),
    );
    match print(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(1, &problem.to_string()),
    }
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

pub(super) fn status(args: &Status) -> ExitCode {
    let directory = args.place.directory.clone();
    let seen = match wait_for(order::carry_out(Order::Observe { directory })) {
        Ok(Ok(Answer::Observed(seen))) => seen,
        Ok(Ok(_)) => None,
        Ok(Err(refusal)) => return fail(1, &refusal.to_string()),
        Err(problem) => return fail(1, &problem),
    };
    let Some(seen) = seen else {
        return fail(
            EXIT_NOT_INSTALLED,
            &format!("No delegate is installed in {}.", args.place.directory.display()),
        );
    };
    if args.json {
        if let Err(problem) = print_json(&as_json(&seen)) {
            return fail(1, &problem.to_string());
        }
    } else {
        let state = if seen.observed.running {
            "runs"
        } else {
            "does not run"
        };
        let record = &seen.observed.record;
        say(&format_args!(
            "The delegate {} {} {state}.",
            record.name, record.version
        ));
        if let Some(address) = seen.observed.http_address {
            say(&format_args!(
                "Health and metrics: http://{address}/api/health, /api/metrics"
            ));
        }
    }
    if seen.observed.running {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_NOT_RUNNING)
    }
}

fn as_json(seen: &Sighting) -> serde_json::Value {
    let record = &seen.observed.record;
    serde_json::json!({
        "name": record.name,
        "version": record.version,
        "service": record.service,
        "running": seen.observed.running,
        "connected": seen.connected,
        "unfinished": record.unfinished,
        "http_address": seen.observed.http_address,
        "binary_sha256": seen.observed.binary_digest,
    })
}

pub(super) fn carry_out() -> ExitCode {
    let mut line = String::new();
    let order = match std::io::stdin().read_line(&mut line) {
        Ok(_) => Order::from_line(line.trim_end()),
        Err(error) => return fail(1, &format!("cannot read the order: {error}")),
    };
    zeroize::Zeroize::zeroize(&mut line);
    let order = match order {
        Ok(order) => order,
        Err(error) => {
            let code = super::ExitCode::BadConfiguration as u8;
            return fail(code, &format!("the order cannot be carried out: {error}"));
        }
    };
    let work = async {
        tokio::select! {
            answer = order::carry_out(order) => Some(answer),
            // Whoever gave the order is gone: what has begun stops where it is, as if killed, and the next order goes on
            // from there. Two of them must not be at work at once.
            () = end_of_input() => None,
        }
    };
    match wait_for(work) {
        Ok(Some(answer)) => {
            // A closed output means that nobody waits any more.
            let _ = print(&format!("{}\n", order::answer_to_line(&answer)));
            ExitCode::SUCCESS
        }
        Ok(None) => fail(1, "nobody waits for the answer any more"),
        Err(problem) => fail(1, &problem),
    }
}

async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Runs to its end on this thread; what it leaves on others ends with the process.
fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

pub(super) fn supervise(args: &Supervise) -> ExitCode {
    let directory = args.directory.display();
    match wait_for(host::supervisor::run(&args.directory)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => fail(1, &format!("cannot supervise {directory}: {error}")),
        Err(problem) => fail(1, &problem),
    }
}

fn config(args: &Install) -> Result<DelegateConfig, String> {
    let mut env = Env::of_process();
    if let Some(path) = &args.env_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        env = env.or(parse_env_file(&text).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    DelegateConfig::from_env(&env).map_err(|errors| errors.to_string())
}

fn spec(args: Install) -> Result<HostSpec, String> {
    let config = config(&args)?;
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
        origin: None,
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
