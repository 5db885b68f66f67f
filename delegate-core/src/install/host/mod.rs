//! A delegate as a service of this machine.
//!
//! Everything lives in one folder: the program, its environment file (mode 0600), the service's record, its log and the
//! agent's working folder. The service is a systemd unit where systemd runs, else a supervisor process of our own that
//! leads its own session, so that it outlives whoever started it, and that is found again by the lock it holds.
//!
//! May touch: its folder, and the unit file of systemd. Every step can be repeated: an installation that was cut off is
//! completed by installing again, and removing what is not there is no error. All functions block; call them from a
//! thread that may.

mod files;
mod layout;
pub mod order;
mod script;
mod service;
pub mod supervisor;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use files::{FileStamp, digest_file};
pub use layout::Layout;
pub use script::script;
use serde::{Deserialize, Serialize};
pub use service::ServiceKind;

use crate::config::{DelegateConfig, EnvValue, parse_env_file, render_env_file};

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Settings of the delegate. Its working folder is set by the installation.
    pub config: DelegateConfig,
    /// Further variables of the owner; they lose against the settings' own ([`lost_variable`] finds them).
    pub extra_env: BTreeMap<String, String>,
    /// The program to copy.
    pub binary: PathBuf,
    /// What `binary` is itself a copy of, on the owner's machine, when that is another one.
    pub origin: Option<FileStamp>,
    /// Folder of the installation.
    pub directory: PathBuf,
    /// How it is kept running.
    pub service: ServiceKind,
    /// User it runs as, with systemd; the installing user when absent.
    pub user: Option<String>,
    /// Facts of the owner, kept beside the installation and given back by [`observe`].
    pub notes: BTreeMap<String, String>,
}

/// What is kept about an installation, beside it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the delegate.
    pub name: String,
    /// Version of the program, as it says itself.
    pub version: String,
    /// How it is kept running.
    pub service: ServiceKind,
    /// User it runs as.
    #[serde(default)]
    pub user: Option<String>,
    /// The program as it was copied: SHA-256 in hex.
    pub binary_digest: String,
    /// The program's source when it was copied; tells without reading it whether it is still the same.
    pub source: FileStamp,
    /// The copy when it was made.
    pub installed: FileStamp,
    /// Whether an installation has begun and not ended: what runs may not be what the files say.
    #[serde(default)]
    pub unfinished: bool,
    /// Facts of the owner.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The record, as found.
    pub record: Record,
    /// The environment file's variables, in order. Contains secrets.
    pub env: Vec<(String, crate::Secret)>,
    /// What is wrong with that file, when it cannot be understood. Installing again writes it anew.
    pub env_problem: Option<String>,
    /// Whether the service runs.
    pub running: bool,
    /// Address of health and metrics, when the agent has announced it.
    pub http_address: Option<SocketAddr>,
    /// Digest of the program found; the recorded one when the file is untouched since.
    pub binary_digest: Option<String>,
}

/// What went wrong, with what was tried.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder belongs to something else.
    #[error("{path} is not empty and holds no delegate; choose another directory, or empty it", path = .0.display())]
    Foreign(PathBuf),
    /// The folder belongs to a delegate of another name.
    #[error("{path} already holds the delegate {found:?}; give {wanted:?} a directory of its own", path = path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
        /// Delegate that is there.
        found: String,
        /// Delegate that was to be installed.
        wanted: String,
    },
    /// The record cannot be understood.
    #[error("{path} is damaged: {problem}; without it nothing is known of what is installed there: end what runs from that \
             folder and remove the folder", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; no value of it.
        problem: String,
    },
    /// The program to install is none of ours.
    #[error("{path} is no delegate program that runs here: {problem}", path = path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// What came of running it.
        problem: String,
    },
    /// The service manager said no.
    #[error("{command} failed: {output}")]
    Service {
        /// Command that was run.
        command: String,
        /// Its last output.
        output: String,
    },
    /// The service did not come up.
    #[error("the supervisor {}; see {log}", how(*.waited), log = log.display())]
    NotStarted {
        /// How long it was waited for; nothing when it ended by itself.
        waited: Option<Duration>,
        /// Log to look at.
        log: PathBuf,
    },
    /// The service did not end.
    #[error("the delegate still runs {} s after it was asked to stop (process {pid}); its tasks may be longer than its grace period", waited.as_secs())]
    NotStopped {
        /// Process that is still there.
        pid: i32,
        /// How long it was waited for.
        waited: Duration,
    },
}

fn how(waited: Option<Duration>) -> String {
    waited.map_or_else(
        || "ended as soon as it was started".to_owned(),
        |waited| format!("did not start within {} s", waited.as_secs()),
    )
}

/// Variables of the environment file whose values are secret. Whether they are there is all that may be told.
pub const SECRET_VARIABLES: [&str; 3] = ["DELEGATE_TOKEN", "PROXY_USER", "PROXY_PASSWORD"];

/// Mode of the environment file, which holds the token.
const ENV_MODE: u32 = 0o600;

/// Whether an installation changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// All was as asked.
    None,
    /// Files changed, the service was started or restarted.
    Restarted,
}

/// Installs, or brings an installation to `spec`: files first, then the service, restarted with drain if anything
/// it reads has changed.
///
/// # Errors
/// The first step that failed; everything before it stays, and the next call goes on from there.
pub fn install(spec: &HostSpec) -> Result<Change, HostError> {
    let layout = Layout::new(&spec.directory);
    let done = bring_about(spec, &layout);
    if spec.binary == layout.incoming() {
        let swept = files::remove_file(&spec.binary);
        return done.and_then(|change| swept.map(|()| change));
    }
    done
}

fn bring_about(spec: &HostSpec, layout: &Layout) -> Result<Change, HostError> {
    let previous = claimable(layout)?;
    if let Some(other) = previous
        .as_ref()
        .filter(|record| record.name != spec.config.name.as_str())
    {
        return Err(HostError::Taken {
            path: spec.directory.clone(),
            found: other.name.clone(),
            wanted: spec.config.name.to_string(),
        });
    }
    if previous.is_none() {
        // The claim comes first: an installation cut off right after it is found and completed.
        files::create_private_folder(layout.directory())?;
        write_record(layout, &claim(spec))?;
    }
    layout.create()?;
    let program = match files::stage_program(spec, layout, previous.as_ref()) {
        Err(refused) if previous.is_none() => {
            layout.remove()?;
            return Err(refused);
        }
        staged => staged?,
    };
    let record = Record {
        version: program.version.clone(),
        binary_digest: program.digest.clone(),
        source: program.source.clone(),
        unfinished: false,
        ..claim(spec)
    };
    let env = env_file(spec);
    let stale = previous.as_ref().is_none_or(|old| old.unfinished)
        || program.is_new()
        || files::differs(&layout.env_file(), env.as_bytes(), ENV_MODE)
        || service::definition_differs(&record, layout, spec.config.grace_period);
    let moved = previous.as_ref().filter(|old| old.service != record.service);
    if stale || moved.is_some() {
        // Whoever comes after a cut in the middle cannot tell from the files what runs: this says that it is to restart.
        let unfinished = previous.clone().unwrap_or_else(|| claim(spec));
        write_record(
            layout,
            &Record {
                unfinished: true,
                ..unfinished
            },
        )?;
    }
    let record = Record {
        installed: program.put_in_place(layout)?,
        ..record
    };
    files::replace(&layout.env_file(), env.as_bytes(), ENV_MODE)?;
    if let Some(old) = moved {
        service::stop(old, layout, stop_limit(spec.config.grace_period))?;
        service::remove_definition(old)?;
    }
    service::write_definition(&record, layout, spec.config.grace_period)?;
    let restart = stale || moved.is_some() || !service::is_running(&record, layout)?;
    if restart {
        service::stop(&record, layout, stop_limit(spec.config.grace_period))?;
        service::start(&record, layout)?;
    }
    write_record(layout, &record)?;
    Ok(if restart { Change::Restarted } else { Change::None })
}

/// Checks that a folder is free for a delegate, or holds one, without touching it.
///
/// # Errors
/// When it belongs to something else or cannot be looked at.
pub fn check_directory(directory: &Path) -> Result<(), HostError> {
    claimable(&Layout::new(directory)).map(|_| ())
}

/// The record of the installation in a folder; none in a folder that is free.
fn claimable(layout: &Layout) -> Result<Option<Record>, HostError> {
    match read_record(layout)? {
        // A claim that was cut off has left nothing but its next content, or a program that was sent.
        None if files::holds_other_than(
            layout.directory(),
            &[files::beside(&layout.record()), layout.incoming()],
        )? =>
        {
            Err(HostError::Foreign(layout.directory().to_owned()))
        }
        record => Ok(record),
    }
}

/// Stops the delegate with drain and removes everything the installation made.
///
/// `grace` bounds the drain. Where nothing is installed, only what a removal or an installation that was cut off may
/// have left goes: an empty folder, and what an installation begins with.
///
/// # Errors
/// When it cannot be stopped or removed; nothing is removed before it has stopped.
pub fn uninstall(directory: &Path, grace: Duration) -> Result<(), HostError> {
    let layout = Layout::new(directory);
    if let Some(record) = claimable(&layout)? {
        service::stop(&record, &layout, stop_limit(grace))?;
        service::remove_definition(&record)?;
    }
    layout.remove()
}

/// Starts an installed delegate; does nothing when it runs.
///
/// # Errors
/// When nothing is installed there, or it does not start.
pub fn start(directory: &Path) -> Result<(), HostError> {
    let (layout, record) = installed(directory)?;
    service::start(&record, &layout)
}

/// Stops an installed delegate with drain; does nothing when it does not run.
///
/// # Errors
/// When nothing is installed there, or it does not stop.
pub fn stop(directory: &Path, grace: Duration) -> Result<(), HostError> {
    let (layout, record) = installed(directory)?;
    service::stop(&record, &layout, stop_limit(grace))
}

/// Looks at an installation; `None` when there is none.
///
/// # Errors
/// When the folder cannot be read or its record is damaged: that is not the same as nothing there.
pub fn observe(directory: &Path) -> Result<Option<Observed>, HostError> {
    let layout = Layout::new(directory);
    let Some(record) = read_record(&layout)? else {
        return Ok(None);
    };
    let text = files::read(&layout.env_file())?.unwrap_or_default();
    let (env, env_problem) = match parse_env_file(&text) {
        Ok(env) => (env, None),
        Err(problem) => (Vec::new(), Some(problem.to_string())),
    };
    let env = env
        .into_iter()
        .map(|(name, value)| (name, crate::Secret::new(value)))
        .collect();
    let binary_digest = files::digest_if_changed(&layout.program(), &record)?;
    let running = service::is_running(&record, &layout)?;
    let http_address = files::read(&layout.http_address())?.and_then(|text| text.trim().parse().ok());
    Ok(Some(Observed {
        record,
        env,
        env_problem,
        running,
        http_address: http_address.filter(|_| running),
        binary_digest,
    }))
}

/// The last lines of the delegate's log, oldest first.
pub fn last_log_lines(directory: &Path, count: usize) -> Vec<String> {
    files::last_lines(&Layout::new(directory).log(), count)
}

/// The variables the installation writes, in the order of the file.
pub fn env_of(spec: &HostSpec) -> Vec<(String, EnvValue)> {
    let own = own_env(&spec.config, &spec.directory);
    let mut vars: Vec<(String, EnvValue)> = spec
        .extra_env
        .iter()
        .filter(|(name, _)| own.iter().all(|(own, _)| own != name))
        .map(|(name, value)| (name.clone(), EnvValue::Plain(value.clone())))
        .collect();
    vars.splice(
        0..0,
        own.into_iter().map(|(name, value)| (name.to_owned(), value)),
    );
    vars
}

/// A variable of the owner that the installation sets itself, wherever it is, so that the owner's value would be lost.
pub fn lost_variable<'a>(
    config: &DelegateConfig,
    extra_env: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    let own = own_env(config, Path::new("/"));
    let mut names = extra_env.keys().map(String::as_str);
    names.find(|name| own.iter().any(|(own, _)| own == name))
}

fn own_env(config: &DelegateConfig, directory: &Path) -> Vec<(&'static str, EnvValue)> {
    let mut config = config.clone();
    config.working_dir = Layout::new(directory).working_dir();
    config.to_env()
}

fn env_file(spec: &HostSpec) -> String {
    let vars = env_of(spec);
    render_env_file(vars.iter().map(|(name, value)| (name.as_str(), value.expose())))
}

/// A stop takes the drain, and a little for the process to end.
fn stop_limit(grace: Duration) -> Duration {
    grace + Duration::from_secs(10)
}

/// Text of the systemd unit of an installation.
pub fn unit(spec: &HostSpec) -> String {
    let layout = Layout::new(&spec.directory);
    service::unit_text(&claim(spec), &layout, spec.config.grace_period)
}

fn claim(spec: &HostSpec) -> Record {
    Record {
        name: spec.config.name.to_string(),
        version: String::new(),
        service: spec.service,
        user: spec.user.clone(),
        binary_digest: String::new(),
        source: FileStamp::default(),
        installed: FileStamp::default(),
        unfinished: true,
        notes: spec.notes.clone(),
    }
}

fn installed(directory: &Path) -> Result<(Layout, Record), HostError> {
    let layout = Layout::new(directory);
    let record = read_record(&layout)?.ok_or_else(|| HostError::Io {
        action: "find a delegate in",
        path: directory.to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    Ok((layout, record))
}

fn read_record(layout: &Layout) -> Result<Option<Record>, HostError> {
    let Some(text) = files::read(&layout.record())? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| HostError::Damaged {
            path: layout.record(),
            problem: error.to_string(),
        })
}

fn write_record(layout: &Layout, record: &Record) -> Result<(), HostError> {
    let text = serde_json::to_string_pretty(record).map_err(|error| HostError::Damaged {
        path: layout.record(),
        problem: error.to_string(),
    })?;
    files::replace(&layout.record(), text.as_bytes(), 0o600).map(|_| ())
}
