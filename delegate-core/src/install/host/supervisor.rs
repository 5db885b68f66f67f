//! The process that keeps an agent running where there is no systemd.
//!
//! It leads a session of its own, holds a lock for as long as it lives, and starts the agent again when it ends:
//! at once the first time, then ever more slowly. SIGTERM and SIGINT are passed on, and it ends with the agent. The
//! agent writes its log itself, so that it survives a killed supervisor; here the log is only kept from growing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::Layout;

/// Variables a supervised agent inherits; everything else comes from its environment file.
pub const INHERITED: &[&str] = &[
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR",
];

/// Exit codes that trying again does not heal: bad settings, a refused token.
const FINAL_CODES: [i32; 2] = [2, 3];

/// Pause before the second start in a row; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// An agent that ran this long starts again without a pause.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// How long a lock that is held is tried again: whoever only looks whether a supervisor runs holds it for a moment too.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// Between two tries.
const LOCK_EVERY: Duration = Duration::from_millis(5);

/// Size at which the log is put aside, bytes. One older log is kept.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

const LOG_CHECK_EVERY: Duration = Duration::from_secs(30);

/// Runs the agent of an installation until it is told to stop. Returns the exit code of the whole.
///
/// # Errors
/// When another supervisor is at work there, or the agent cannot be started at all.
pub async fn run(directory: &Path) -> io::Result<u8> {
    // Fails only for a process that leads a group already, which then is no part of a terminal's foreground job.
    let _ = nix::unistd::setsid();
    let layout = Layout::new(directory);
    let _lock = take_lock(&layout).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut pause = Duration::ZERO;
    loop {
        let started = Instant::now();
        let mut agent = start_agent(&layout)?;
        let pid = agent.id().and_then(|pid| i32::try_from(pid).ok());
        fs::write(agent_pid_file(&layout), pid.unwrap_or(0).to_string())?;
        let mut log_check = tokio::time::interval(LOG_CHECK_EVERY);
        let mut stopping = false;
        let status = loop {
            tokio::select! {
                status = agent.wait() => break status?,
                _ = terminate.recv() => { stopping = true; pass_on(pid, Signal::SIGTERM); }
                _ = interrupt.recv() => { stopping = true; pass_on(pid, Signal::SIGINT); }
                _ = log_check.tick() => bound_log(&layout.log()),
            }
        };
        let _ = fs::remove_file(agent_pid_file(&layout));
        if stopping || status.code().is_some_and(|code| FINAL_CODES.contains(&code)) {
            return Ok(exit_code(status));
        }
        pause = next_pause(pause, started.elapsed());
        note(&format!(
            "the agent ended ({status}); starting it again in {} s",
            pause.as_secs()
        ));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = terminate.recv() => return Ok(0),
            _ = interrupt.recv() => return Ok(0),
        }
    }
}

/// Process id of the agent that runs in an installation, supervised or not.
pub(super) fn running_agent(layout: &Layout) -> Option<i32> {
    let pid: i32 = fs::read_to_string(agent_pid_file(layout))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    // The id may have been reused: only a process of our own program counts, also when the file was replaced since.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let program = program.to_string_lossy();
    let ours = layout.program();
    (program.trim_end_matches(" (deleted)") == ours.to_string_lossy()).then_some(pid)
}

fn agent_pid_file(layout: &Layout) -> std::path::PathBuf {
    layout.working_dir().join("agent.pid")
}

async fn take_lock(layout: &Layout) -> io::Result<File> {
    let mut lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(layout.supervisor_lock())?;
    let deadline = Instant::now() + LOCK_LIMIT;
    while lock.try_lock().is_err() {
        if Instant::now() > deadline {
            return Err(io::Error::other("another supervisor runs this delegate already"));
        }
        tokio::time::sleep(LOCK_EVERY).await;
    }
    lock.set_len(0)?;
    lock.write_all(std::process::id().to_string().as_bytes())?;
    Ok(lock)
}

fn start_agent(layout: &Layout) -> io::Result<Child> {
    // What an earlier agent has announced may be the address of anybody by now.
    let _ = fs::remove_file(layout.http_address());
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(layout.log())?;
    let errors = log.try_clone()?;
    Command::new(layout.program())
        .arg("run")
        .arg("--env-file")
        .arg(layout.env_file())
        .current_dir(layout.working_dir())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
}

fn pass_on(pid: Option<i32>, signal: Signal) {
    if let Some(pid) = pid {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Puts a log that has grown too large aside. The agent holds it open for appending, so it is copied and cut.
fn bound_log(log: &Path) {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_LIMIT)
        && fs::copy(log, log.with_extension("log.1")).is_ok()
    {
        let _ = File::options()
            .write(true)
            .open(log)
            .and_then(|file| file.set_len(0));
    }
}

fn next_pause(last: Duration, ran: Duration) -> Duration {
    if ran >= HEALTHY_AFTER {
        Duration::ZERO
    } else {
        (last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}

/// A line in the delegate's log, which is this process's own stderr.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "supervisor: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_keeps_ending_is_started_ever_more_slowly() {
        let mut pause = Duration::ZERO;
        let pauses: Vec<u64> = std::iter::repeat_with(|| {
            pause = next_pause(pause, Duration::from_secs(1));
            pause.as_secs()
        })
        .take(8)
        .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(next_pause(pause, HEALTHY_AFTER), Duration::ZERO);
    }
}
