//! Keeping an installed delegate running: systemd where it runs, else our supervisor.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::files::{self, failed};
use super::{HostError, Layout, Record};

/// How long a supervisor may take to hold its lock; it does nothing before that.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at a lock: a process that is not our child announces its end in no other way.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Where systemd looks for units of the administrator.
const UNIT_FOLDER: &str = "/etc/systemd/system";

/// Mode of a unit file: it holds nothing to hide.
const UNIT_MODE: u32 = 0o644;

/// What keeps the delegate running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    /// A systemd unit of the system.
    Systemd,
    /// A supervisor process of our own.
    Process,
}

impl ServiceKind {
    /// What this machine offers: systemd when it is running and we may write its units.
    pub fn of_this_machine() -> Self {
        let booted = Path::new("/run/systemd/system").is_dir();
        if booted && nix::unistd::geteuid().is_root() {
            Self::Systemd
        } else {
            Self::Process
        }
    }
}

/// Text of the systemd unit.
pub(super) fn unit_text(record: &Record, layout: &Layout, grace: Duration) -> String {
    let user = record
        .user
        .as_ref()
        .map_or_else(String::new, |user| format!("User={user}\n"));
    format!(
        "[Unit]\n\
         Description=Delegate {name}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         # A delegate reconnects by itself; systemd only revives a crashed one, for ever.\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={program} run --env-file {env}\n\
         WorkingDirectory={work}\n\
         {user}\
         Restart=always\n\
         RestartSec=5\n\
         # Bad settings and a refused token do not heal by trying again.\n\
         RestartPreventExitStatus=2 3\n\
         KillMode=mixed\n\
         TimeoutStopSec={stop}\n\
         UMask=0077\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        name = record.name,
        program = layout.program().display(),
        env = layout.env_file().display(),
        work = layout.working_dir().display(),
        stop = super::stop_limit(grace).as_secs(),
    )
}

fn unit_name(record: &Record) -> String {
    format!("harness-delegate-{}.service", record.name)
}

fn unit_file(record: &Record) -> PathBuf {
    Path::new(UNIT_FOLDER).join(unit_name(record))
}

/// Whether the service manager reads something else than it is to.
pub(super) fn definition_differs(record: &Record, layout: &Layout, grace: Duration) -> bool {
    record.service == ServiceKind::Systemd
        && files::differs(
            &unit_file(record),
            unit_text(record, layout, grace).as_bytes(),
            UNIT_MODE,
        )
}

/// Writes what the service manager reads.
pub(super) fn write_definition(record: &Record, layout: &Layout, grace: Duration) -> Result<(), HostError> {
    match record.service {
        ServiceKind::Process => Ok(()),
        ServiceKind::Systemd => {
            if let Some(user) = &record.user {
                let owner = format!("{user}:");
                run(
                    "chown",
                    &["-R", &owner, "--", &layout.directory().display().to_string()],
                )?;
            }
            let changed = files::replace(
                &unit_file(record),
                unit_text(record, layout, grace).as_bytes(),
                UNIT_MODE,
            )?;
            if changed {
                run("systemctl", &["daemon-reload"])?;
            }
            Ok(())
        }
    }
}

pub(super) fn remove_definition(record: &Record) -> Result<(), HostError> {
    if record.service == ServiceKind::Systemd {
        let _ = run("systemctl", &["disable", &unit_name(record)]);
        files::remove_file(&unit_file(record))?;
        run("systemctl", &["daemon-reload"])?;
    }
    Ok(())
}

pub(super) fn is_running(record: &Record, layout: &Layout) -> Result<bool, HostError> {
    match record.service {
        ServiceKind::Process => Ok(supervisor(layout)?.is_some()),
        ServiceKind::Systemd => Ok(run("systemctl", &["is-active", "--quiet", &unit_name(record)]).is_ok()),
    }
}

pub(super) fn start(record: &Record, layout: &Layout) -> Result<(), HostError> {
    match record.service {
        ServiceKind::Systemd => run("systemctl", &["enable", "--now", &unit_name(record)]),
        ServiceKind::Process => start_supervisor(layout),
    }
}

/// Stops with drain; returns when nothing of the delegate runs any more.
pub(super) fn stop(record: &Record, layout: &Layout, limit: Duration) -> Result<(), HostError> {
    match record.service {
        ServiceKind::Systemd => {
            if is_running(record, layout)? {
                run("systemctl", &["stop", &unit_name(record)])
            } else {
                Ok(())
            }
        }
        ServiceKind::Process => stop_supervisor(layout, limit),
    }
}

fn start_supervisor(layout: &Layout) -> Result<(), HostError> {
    if supervisor(layout)?.is_some() {
        return Ok(());
    }
    // An agent whose supervisor was killed still drains and reports; two must never share a working folder.
    end_orphan(layout, START_LIMIT)?;
    // What an earlier agent has announced may be the address of anybody by now.
    files::remove_file(&layout.http_address())?;
    let log = layout.log();
    let output = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(failed("open", &log))?;
    let start = || {
        Command::new(layout.program())
            .arg("supervise")
            .arg(layout.directory())
            .env_clear()
            .envs(
                std::env::vars_os()
                    .filter(|(name, _)| super::supervisor::INHERITED.iter().any(|kept| name == kept)),
            )
            .current_dir(layout.directory())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()
    };
    let mut child = files::patiently(start).map_err(failed("run", &layout.program()))?;
    let deadline = Instant::now() + START_LIMIT;
    while supervisor(layout)?.is_none() {
        let ended = child.try_wait().ok().flatten().is_some();
        if ended || Instant::now() > deadline {
            return Err(HostError::NotStarted {
                waited: (!ended).then_some(START_LIMIT),
                log,
            });
        }
        pause();
    }
    Ok(())
}

fn stop_supervisor(layout: &Layout, limit: Duration) -> Result<(), HostError> {
    let deadline = Instant::now() + limit;
    let mut asked = None;
    while let Some(pid) = supervisor(layout)? {
        // A supervisor that has taken its lock but not written its id yet shows 0: it is asked at the next look.
        if pid > 0 && asked != Some(pid) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            asked = Some(pid);
        }
        if Instant::now() > deadline {
            return Err(HostError::NotStopped { pid, waited: limit });
        }
        pause();
    }
    end_orphan(layout, limit)
}

/// The supervisor's process id while it runs. The lock decides, so that a reused id is never taken for it.
fn supervisor(layout: &Layout) -> Result<Option<i32>, HostError> {
    let path = layout.supervisor_lock();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(
            files::read(&path)?
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
        )),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

/// Ends an agent that lost its supervisor, with drain.
fn end_orphan(layout: &Layout, limit: Duration) -> Result<(), HostError> {
    let deadline = Instant::now() + limit;
    let mut asked = false;
    while let Some(pid) = super::supervisor::running_agent(layout) {
        if !asked {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            asked = true;
        }
        if Instant::now() > deadline {
            return Err(HostError::NotStopped { pid, waited: limit });
        }
        pause();
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the process waited for is not our child and gives no event"
)]
pub(super) fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

fn run(program: &str, args: &[&str]) -> Result<(), HostError> {
    let command = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| HostError::Service {
            command: command(),
            output: error.to_string(),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let text = if text.is_empty() {
        output.status.to_string()
    } else {
        text
    };
    Err(HostError::Service {
        command: command(),
        output: text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::host::FileStamp;

    #[test]
    fn the_unit_restarts_for_ever_but_not_after_a_refusal() {
        let record = Record {
            name: "team-a".into(),
            version: "0.1.0".into(),
            service: ServiceKind::Systemd,
            user: Some("harness".into()),
            binary_digest: String::new(),
            source: FileStamp::default(),
            installed: FileStamp::default(),
            unfinished: false,
            notes: std::collections::BTreeMap::new(),
        };
        let layout = Layout::new(Path::new("/var/lib/harness-delegate/team-a"));
        insta::assert_snapshot!(unit_text(&record, &layout, Duration::from_mins(10)));
    }
}
