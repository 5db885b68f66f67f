//! `harness-delegate install`, `status`, `stop`, `start` and `uninstall` with the supervisor, as real processes under a
//! real manager. Every test has a folder and a manager of its own; what runs from the folder ends with the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

#[path = "support/host.rs"]
mod host;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::{Host, Process, end};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_harness-delegate");
const ACCOUNT: &str = "host-service";
const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";
const API_KEY: &str = "an-api-key-for-the-tests-only";
const NAME: &str = "served";

/// How long anything may take. Only a failing test takes it.
const PATIENCE: Duration = Duration::from_mins(3);

/// Between two looks at a process that is not ours and announces nothing.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the agent's log says when it has been asked to stop.
const DRAINS: &str = "SIGTERM: finishing";

/// Exit codes of `status`.
const RUNS: i32 = 0;
const DOES_NOT_RUN: i32 = 3;
const NOT_INSTALLED: i32 = 4;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A folder, and a manager for the delegate that is installed in it.
struct Case {
    host: Host,
    url: String,
    _manager: Child,
    _data: tempfile::TempDir,
}

impl Case {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut manager = program(&["manager", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .env("MANAGER_ACCOUNT_ID", ACCOUNT)
            .env("MANAGER_DELEGATE_TOKEN", TOKEN)
            .env("MANAGER_API_KEY", API_KEY)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(manager.stdout.take().unwrap()).lines();
        let url = loop {
            let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
            let line = line.expect("the manager listens");
            if let Some(url) = line.strip_prefix("MANAGER_URL=") {
                break url.to_owned();
            }
        };
        Self {
            host: Host::new(),
            url,
            _manager: manager,
            _data: data,
        }
    }

    /// A delegate that is installed and has connected.
    async fn installed() -> Self {
        let case = Self::new().await;
        let output = case.install(TOKEN).output().await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
        case.task("true").await;
        case
    }

    fn install(&self, token: &str) -> Command {
        let mut command = program(&["install", "--service", "process", "--directory", self.host.path()]);
        command
            .env("ACCOUNT_ID", ACCOUNT)
            .env("DELEGATE_NAME", NAME)
            .env("DELEGATE_TOKEN", token)
            .env("MANAGER_HOST_AND_PORT", &self.url)
            .env("DELEGATE_HTTP_HOST", "127.0.0.1")
            .env("DELEGATE_HTTP_PORT", "0");
        command
    }

    async fn verb(&self, verb: &str) -> Output {
        let run = program(&[verb, "--directory", self.host.path()]).output();
        timeout(PATIENCE, run).await.unwrap().unwrap()
    }

    async fn succeeds(&self, verb: &str) {
        let output = self.verb(verb).await;
        assert!(output.status.success(), "{verb}: {}", said(&output));
    }

    async fn status(&self) -> i32 {
        self.verb("status").await.status.code().unwrap()
    }

    fn start_task(&self, script: &str) -> Child {
        program(&["task", "run", "--script", script, "--selector", NAME])
            .env("HARNESS_ENDPOINT", &self.url)
            .env("HARNESS_PLATFORM_API_KEY", API_KEY)
            .spawn()
            .unwrap()
    }

    /// Runs a task to its success.
    async fn task(&self, script: &str) {
        let output = timeout(PATIENCE, self.start_task(script).wait_with_output());
        let output = output.await.unwrap().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    fn pids(&self) -> (i32, i32) {
        self.host.assert_one_delegate();
        let pid = |process: Option<Process>| process.unwrap().pid;
        (pid(self.host.supervisor()), pid(self.host.agent()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.host.file("delegate.log")).unwrap_or_default()
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}: {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[tokio::test]
async fn a_service_is_installed_stopped_started_and_removed() {
    let case = Case::new().await;
    assert_eq!(case.status().await, NOT_INSTALLED);
    let output = case.install(TOKEN).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(case.status().await, RUNS);
    case.task("echo works").await;
    let pids = case.pids();

    let again = case.install(TOKEN).output().await.unwrap();
    assert!(
        again.status.success() && said(&again).contains("nothing to change"),
        "{}",
        said(&again)
    );
    case.succeeds("start").await;
    assert_eq!(case.pids(), pids, "what runs is left alone");

    case.succeeds("stop").await;
    assert_eq!(case.host.processes(), []);
    assert_eq!(case.status().await, DOES_NOT_RUN);
    case.succeeds("stop").await;
    case.succeeds("start").await;
    case.task("echo works again").await;
    assert_eq!(case.status().await, RUNS);

    case.succeeds("uninstall").await;
    case.host.assert_gone();
    assert_eq!(case.status().await, NOT_INSTALLED);
    case.succeeds("uninstall").await;
}

#[tokio::test]
async fn uninstalling_again_removes_the_folder_that_a_killed_removal_left() {
    let case = Case::new().await;
    fs::create_dir_all(&case.host.directory).unwrap();
    case.succeeds("uninstall").await;
    case.host.assert_gone();
}

#[tokio::test]
async fn a_killed_agent_is_started_again() {
    let case = Case::installed().await;
    let (supervisor, agent) = case.pids();
    end(agent);
    until("another agent", || {
        case.host.agent().filter(|other| other.pid != agent)
    })
    .await;
    case.task("echo works").await;
    assert_eq!(case.pids().0, supervisor);
    assert!(
        case.log().contains("the agent ended (signal: 9"),
        "{}",
        case.log()
    );
}

#[tokio::test]
async fn a_termination_reaches_the_agent_which_finishes_its_task() {
    let case = Case::installed().await;
    let (supervisor, agent) = case.pids();
    let (started, release) = (case.host.file("work/started"), case.host.file("work/release"));
    let task = case.start_task(&format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.05; done; echo finished",
        started.display(),
        release.display()
    ));
    until("the task to start", || started.exists().then_some(())).await;
    kill(Pid::from_raw(supervisor), Signal::SIGTERM).unwrap();
    until("the drain", || case.log().contains(DRAINS).then_some(())).await;
    assert_eq!(case.pids(), (supervisor, agent), "both stay for the task");
    fs::write(&release, "").unwrap();
    let output = timeout(PATIENCE, task.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    until("the end", || case.host.processes().is_empty().then_some(())).await;
    assert_eq!(case.status().await, DOES_NOT_RUN);
}

#[tokio::test]
async fn a_second_supervisor_is_refused() {
    let case = Case::installed().await;
    let pids = case.pids();
    let output = program(&["supervise", case.host.path()]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("another supervisor"), "{}", said(&output));
    assert_eq!(case.pids(), pids);
}

#[tokio::test]
async fn a_service_survives_the_death_of_whoever_started_it() {
    let case = Case::new().await;
    // A shell as a terminal has it: it leads a process group, and what it starts dies with that.
    let install = format!(
        "'{PROGRAM}' install --service process --directory '{}' && echo installed && exec sleep 600",
        case.host.path()
    );
    let mut shell = Command::new("sh");
    let own = case.install(TOKEN);
    let mut starter = shell
        .args(["-c", &install])
        .env_clear()
        .envs(
            own.as_std()
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .process_group(0)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(starter.stdout.take().unwrap()).lines();
    while timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .as_deref()
        != Some("installed")
    {}
    let pids = case.pids();
    killpg(
        Pid::from_raw(starter.id().unwrap().try_into().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    let status = timeout(PATIENCE, starter.wait()).await.unwrap().unwrap();
    assert_eq!(status.signal(), Some(9));
    case.task("echo works").await;
    assert_eq!(case.pids(), pids);
    for pid in [pids.0, pids.1] {
        let session = nix::unistd::getsid(Some(Pid::from_raw(pid))).unwrap();
        assert_eq!(session.as_raw(), pids.0, "it has a session of its own");
    }
}

#[tokio::test]
async fn an_agent_that_lost_its_supervisor_is_ended_by_start_stop_and_uninstall() {
    let case = Case::installed().await;
    for verb in ["start", "stop", "uninstall"] {
        case.succeeds("start").await;
        case.task("true").await;
        let (supervisor, orphan) = case.pids();
        end(supervisor);
        until("the supervisor's end", || {
            case.host.supervisor().is_none().then_some(())
        })
        .await;
        assert_eq!(case.host.agent().map(|agent| agent.pid), Some(orphan));
        assert_eq!(case.status().await, DOES_NOT_RUN);
        case.succeeds(verb).await;
        assert!(
            case.host.processes().iter().all(|process| process.pid != orphan),
            "{verb}"
        );
        if verb == "start" {
            case.task("echo works").await;
            case.host.assert_one_delegate();
        } else {
            assert_eq!(case.host.processes(), [], "{verb}");
        }
    }
    case.host.assert_gone();
}

#[tokio::test]
async fn a_refused_token_ends_the_service_for_good() {
    let case = Case::new().await;
    let output = case
        .install("ffffffffffffffffffffffffffffffff")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "installing does not wait: {}",
        said(&output)
    );
    until("the end", || case.host.processes().is_empty().then_some(())).await;
    assert_eq!(case.status().await, DOES_NOT_RUN);
    let log = case.log();
    assert!(log.contains("token") && !log.contains("ffffffff"), "{log}");
    assert!(!log.contains("starting it again"), "{log}");

    let output = case.install(TOKEN).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    case.task("echo works").await;
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_before_anything_is_made() {
    let case = Case::new().await;
    let output = case
        .install(TOKEN)
        .env_remove("MANAGER_HOST_AND_PORT")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("MANAGER_HOST_AND_PORT"),
        "{}",
        said(&output)
    );
    let output = case
        .install(TOKEN)
        .args(["--binary", "/bin/true"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("/bin/true is no delegate program"),
        "{}",
        said(&output)
    );
    assert!(!case.host.directory.exists());
    fs::create_dir_all(&case.host.directory).unwrap();
    fs::write(case.host.file("precious"), "x").unwrap();
    for verb in ["install", "uninstall"] {
        let output = match verb {
            "install" => case.install(TOKEN).output().await.unwrap(),
            verb => case.verb(verb).await,
        };
        assert_eq!(output.status.code(), Some(1), "{verb}: {}", said(&output));
        assert!(
            said(&output).contains("holds no delegate"),
            "{verb}: {}",
            said(&output)
        );
    }
    assert_eq!(fs::read_to_string(case.host.file("precious")).unwrap(), "x");
}

#[tokio::test]
async fn a_program_that_is_no_delegate_does_not_replace_one() {
    let case = Case::installed().await;
    let pids = case.pids();
    let output = case
        .install(TOKEN)
        .args(["--binary", "/bin/true"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(case.pids(), pids);
    end(pids.1);
    until("another agent", || {
        case.host.agent().filter(|other| other.pid != pids.1)
    })
    .await;
    case.task("echo works").await;
}

#[tokio::test]
async fn an_installation_cut_off_before_the_restart_is_completed_by_the_next() {
    let case = Case::installed().await;
    let (_, agent) = case.pids();
    // As an installer leaves it that is killed after it has written the new settings.
    let record = fs::read_to_string(case.host.file("installation.json")).unwrap();
    let cut = record.replace("\"unfinished\": false", "\"unfinished\": true");
    assert_ne!(cut, record);
    fs::write(case.host.file("installation.json"), cut).unwrap();
    let output = case.install(TOKEN).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_ne!(case.pids().1, agent, "what runs may not be what is written");
    assert_eq!(
        fs::read_to_string(case.host.file("installation.json")).unwrap(),
        record
    );
    let again = case.install(TOKEN).output().await.unwrap();
    assert!(said(&again).contains("nothing to change"), "{}", said(&again));
}

#[tokio::test]
async fn somebody_who_only_looks_keeps_nobody_from_starting() {
    /// How long a look lasts, and the pause after it: long enough that every second start meets one.
    const LOOK: Duration = Duration::from_millis(1);
    let case = Case::installed().await;
    let lock = fs::File::open(case.host.file("supervisor.lock")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    // What `status` does to see whether a supervisor holds the lock, all the time.
    let looker = std::thread::spawn(move || {
        let mut free = 0;
        while !asked.load(Ordering::Relaxed) {
            if lock.try_lock_shared().is_ok() {
                free += 1;
                std::thread::park_timeout(LOOK);
                lock.unlock().unwrap();
            }
            std::thread::park_timeout(LOOK);
        }
        free
    });
    for _ in 0..10 {
        case.succeeds("stop").await;
        case.succeeds("start").await;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(
        looker.join().unwrap() > 0,
        "it has looked while nobody held the lock"
    );
    case.task("echo works").await;
}

#[tokio::test]
async fn a_printed_script_holds_no_token_and_installs_what_it_says() {
    let case = Case::new().await;
    let printed = case
        .install(TOKEN)
        .arg("--print")
        .env("INIT_SCRIPT", "true # it's\n: \"\nSETTINGS\n\"\n")
        .output()
        .await
        .unwrap();
    assert!(printed.status.success(), "{}", said(&printed));
    assert!(!case.host.directory.exists(), "printing installs nothing");
    let script = String::from_utf8(printed.stdout).unwrap();
    assert!(
        !script.contains(TOKEN) && script.contains("DELEGATE_TOKEN:?"),
        "{script}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("install.sh");
    fs::write(&file, &script).unwrap();
    let run = |token: Option<&'static str>| {
        let mut command = Command::new("sh");
        command
            .arg(&file)
            .arg(PROGRAM)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TMPDIR", folder.path())
            .envs(token.map(|token| ("DELEGATE_TOKEN", token)))
            .stdin(Stdio::null());
        command
    };
    let refused = run(None).output().await.unwrap();
    assert!(
        !refused.status.success() && said(&refused).contains("DELEGATE_TOKEN"),
        "{}",
        said(&refused)
    );
    for _ in 0..2 {
        let done = run(Some(TOKEN)).output().await.unwrap();
        assert!(done.status.success(), "{}", said(&done));
    }
    case.host.assert_one_delegate();
    assert_eq!(
        case.host.variable("INIT_SCRIPT").as_deref(),
        Some("true # it's\n: \"\nSETTINGS\n\"\n")
    );
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["install.sh"], "the settings are not left lying about");

    let status = program(&["status", "--json", "--directory", case.host.path()])
        .output()
        .await
        .unwrap();
    let seen: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&seen["running"], &seen["connected"]),
        (&true.into(), &true.into()),
        "{seen}"
    );
    assert_eq!(seen["name"], NAME);
}
