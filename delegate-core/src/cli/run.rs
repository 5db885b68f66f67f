//! `harness-delegate run`: the agent.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{ExitCode, complain};
use crate::agent::{Agent, Exit, ShutdownHandle, Stop, shutdown};
use crate::config::{DelegateConfig, Env, LogFormat, LogLevel, parse_env_file};
use crate::protocol::http::HttpSettings;
use crate::secrets::Providers;

/// Threads that run tasks of the agent. It waits far more than it computes; the second keeps health and heartbeats
/// answering while the first masks a flood of output.
const WORKERS: usize = 2;

/// Threads for blocking file work, mostly directories of tasks.
const MAX_BLOCKING_THREADS: usize = 16;

/// A delegate has registered and polls by then, or its manager is away: either way it waits.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Where the token may come from; a token file given as a flag puts these aside.
pub(super) const TOKEN_VARIABLES: [&str; 4] = [
    "DELEGATE_TOKEN",
    "HARNESS_DELEGATE_TOKEN",
    "ACCOUNT_SECRET",
    "DELEGATE_TOKEN_FILE",
];

/// Flags win over environment variables, and those over the file. There is no flag for the token: command lines are
/// public.
#[derive(Debug, Clone, Args)]
pub(super) struct RunArgs {
    /// File of NAME=value lines, for variables that are not set in the environment.
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Option<PathBuf>,
    /// Name of the delegate [DELEGATE_NAME].
    #[arg(long)]
    name: Option<String>,
    /// Account to register with [ACCOUNT_ID].
    #[arg(long, value_name = "ID")]
    account_id: Option<String>,
    /// URL of the manager [MANAGER_HOST_AND_PORT].
    #[arg(long, value_name = "URL")]
    manager_url: Option<String>,
    /// File with the delegate token [DELEGATE_TOKEN_FILE].
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Tags, separated by commas [DELEGATE_TAGS].
    #[arg(long, value_name = "TAG,…")]
    tags: Option<String>,
    /// Description shown by the manager [DELEGATE_DESCRIPTION].
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Folder the delegate may write to [WORKING_DIR].
    #[arg(long, value_name = "DIR")]
    working_dir: Option<PathBuf>,
    /// Address of health and metrics [DELEGATE_HTTP_HOST].
    #[arg(long, value_name = "ADDRESS")]
    http_host: Option<String>,
    /// Port of health and metrics [DELEGATE_HTTP_PORT]; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    http_port: Option<String>,
    /// Most tasks at once [DELEGATE_TASK_CAPACITY].
    #[arg(long, value_name = "N")]
    task_capacity: Option<String>,
    /// Time for running tasks to finish after SIGTERM, in seconds [DELEGATE_GRACE_PERIOD_SECONDS].
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<String>,
    /// Verbosity of the delegate's own log [LOGGING_LEVEL].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of the delegate's own log: text or json [LOG_FORMAT].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Runs the agent until it is told to stop.
pub(super) fn run(args: &RunArgs) -> ExitCode {
    let config = match read_config(args) {
        Ok(config) => config,
        Err(problem) => {
            complain(problem);
            return ExitCode::BadConfiguration;
        }
    };
    start_log(config.log_level, config.log_format);
    let has_token = TOKEN_VARIABLES
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if has_token || !config.secrets.own().is_empty() || config.telemetry.has_headers() {
        hide_environment();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_name("agent")
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work(config));
            // What still runs has been given up; it must not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(problem) => {
            complain(format_args!("the runtime could not be started: {problem}"));
            ExitCode::Unexpected
        }
    }
}

async fn work(config: DelegateConfig) -> ExitCode {
    if let Err(problem) = crate::process::become_subreaper() {
        warn!(error = %problem, "processes that leave their task cannot be adopted");
    }
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let [Ok(terminate), Ok(interrupt)] = signals else {
        complain("signals cannot be received");
        return ExitCode::Unexpected;
    };
    let (handle, shutdown) = shutdown();
    tokio::spawn(pass_on(terminate, interrupt, handle));
    info!(
        version = crate::VERSION,
        name = %config.name,
        manager = %config.manager_url,
        working_dir = %config.working_dir.display(),
        "starting"
    );
    let providers = Arc::new(Providers::new(&config.secrets, &HttpSettings::from(&config)));
    let kept_alive = Arc::clone(&providers);
    let _keep_alive = AbortOnDropHandle::new(tokio::spawn(async move { kept_alive.keep_alive().await }));
    let agent = match Agent::builder(config).secrets(providers).build() {
        Ok(agent) => agent,
        Err(problem) => {
            complain(problem);
            return ExitCode::BadConfiguration;
        }
    };
    let footprint = AbortOnDropHandle::new(tokio::spawn(shrink()));
    let exit = agent.run(shutdown).await;
    drop(footprint);
    match &exit {
        Exit::Drained => info!("{exit}"),
        Exit::CutShort { .. } => warn!("{exit}"),
        _ => error!("{exit}"),
    }
    match exit {
        Exit::Drained => ExitCode::Success,
        Exit::CutShort { .. } => ExitCode::CutShort,
        Exit::TokenRefused { .. } | Exit::Dismissed { .. } => ExitCode::Refused,
        Exit::InitScriptFailed { .. } => ExitCode::InitScriptFailed,
        Exit::Broken { .. } => ExitCode::Unexpected,
    }
}

/// Once the start is over, what only the start needed is given back.
async fn shrink() {
    tokio::time::sleep(SETTLED_AFTER).await;
    if let Err(problem) = crate::process::let_go_of_startup_pages() {
        debug!(error = %problem, "the pages of the start are kept");
    }
}

/// The first signal drains, the second ends running tasks, the third ends the program.
async fn pass_on(mut terminate: Signal, mut interrupt: Signal, handle: ShutdownHandle) {
    for stop in [Stop::Drain, Stop::Cancel] {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if stop == Stop::Drain {
            info!("{name}: finishing; a second signal ends running tasks, a third ends the program at once");
        } else {
            warn!("{name} again: running tasks are ended; another signal ends the program at once");
        }
        handle.stop(stop);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    complain("third signal: ended at once; what was not answered is answered at the next start");
    std::process::exit(ExitCode::Forced as i32);
}

pub(super) fn read_config(args: &RunArgs) -> Result<DelegateConfig, String> {
    DelegateConfig::from_env(&read_env(args)?).map_err(|errors| errors.to_string())
}

/// Every variable, from wherever it comes.
pub(super) fn read_env(args: &RunArgs) -> Result<Env, String> {
    let file = match &args.env_file {
        None => Vec::new(),
        Some(path) => read_env_file(path)?,
    };
    let flags = flags(args);
    let token_by_flag = args.token_file.is_some();
    let counts = |name: &str| !(token_by_flag && TOKEN_VARIABLES.contains(&name));
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let env = flags
        .collect::<Env>()
        .or(own.filter(|(name, _)| counts(name)))
        .or(file.into_iter().filter(|(name, _)| counts(name)));
    let proxy = read_proxy_file(&env)?;
    Ok(env.or(proxy))
}

/// Where the settings of a proxy are mounted unless `PROXY_CONFIG_FILE` says otherwise.
const PROXY_FILES: [&str; 2] = ["/run/secrets/proxy.config", "proxy.config"];

/// What a proxy file may set.
const PROXY_VARIABLES: [&str; 7] = [
    "PROXY_HOST",
    "PROXY_PORT",
    "PROXY_SCHEME",
    "PROXY_USER",
    "PROXY_PASSWORD",
    "PROXY_MANAGER",
    "NO_PROXY",
];

/// The proxy's settings from their own file. One that is named must be there.
fn read_proxy_file(env: &Env) -> Result<Vec<(String, String)>, String> {
    let named = env.get("PROXY_CONFIG_FILE").map(PathBuf::from);
    let usual = || PROXY_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
    let Some(path) = named.or_else(usual) else {
        return Ok(Vec::new());
    };
    let fail = |problem: String| format!("PROXY_CONFIG_FILE names {}: {problem}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    let mut vars = parse_env_file(&text).map_err(|error| fail(error.to_string()))?;
    vars.retain(|(name, _)| PROXY_VARIABLES.contains(&name.as_str()));
    Ok(vars)
}

fn read_env_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let fail = |problem: String| format!("--env-file {}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    parse_env_file(&text).map_err(|error| fail(error.to_string()))
}

fn flags(args: &RunArgs) -> impl Iterator<Item = (String, String)> {
    let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
    let text = |text: &Option<String>| text.clone().map(OsString::from);
    [
        ("DELEGATE_NAME", text(&args.name)),
        ("ACCOUNT_ID", text(&args.account_id)),
        ("MANAGER_HOST_AND_PORT", text(&args.manager_url)),
        ("DELEGATE_TOKEN_FILE", path(&args.token_file)),
        ("DELEGATE_TAGS", text(&args.tags)),
        ("DELEGATE_DESCRIPTION", text(&args.description)),
        ("WORKING_DIR", path(&args.working_dir)),
        ("DELEGATE_HTTP_HOST", text(&args.http_host)),
        ("DELEGATE_HTTP_PORT", text(&args.http_port)),
        ("DELEGATE_TASK_CAPACITY", text(&args.task_capacity)),
        ("DELEGATE_GRACE_PERIOD_SECONDS", text(&args.grace_period)),
        ("LOGGING_LEVEL", text(&args.log_level)),
        ("LOG_FORMAT", text(&args.log_format)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?.to_string_lossy().into_owned())))
}

/// The delegate's own log goes to standard error: ours at the chosen level, dependencies at warnings.
fn start_log(level: LogLevel, format: LogFormat) {
    let ours = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    };
    let targets = Targets::new()
        .with_target("delegate_core", ours)
        .with_default(ours.min(LevelFilter::WARN));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            subscriber.with(layer.with_ansi(ansi)).init();
        }
        LogFormat::Json => subscriber.with(layer.json()).init(),
    }
}

/// Children run as the same user as we do: without this they could read our environment, and in it the token, from
/// `/proc`. Not done without need, because it also keeps a supervisor of the same user from recognizing us there.
#[cfg(target_os = "linux")]
fn hide_environment() {
    if let Err(problem) = nix::sys::prctl::set_dumpable(false) {
        warn!(error = %problem, "the delegate's environment cannot be hidden from its tasks");
    }
}

#[cfg(not(target_os = "linux"))]
fn hide_environment() {}
