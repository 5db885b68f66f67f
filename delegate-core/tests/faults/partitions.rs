//! Partitions: an agent on another network than its manager, and a wire between them that is cut without a word.
//!
//! Three agents of each transport, each with a wire of its own, of which one loses what is sent to the manager, one what the
//! manager sends, one both. Of a task that ends while the wire is cut, and of one that is submitted meanwhile, the manager hears
//! exactly once after the wire is mended.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use reqwest::Method;
use serde_json::json;

use super::support::program::{BUILT_HERE, Running, eventually, run_of};
use super::support::real_manager::RealManager;
use super::support::{PATIENCE, Watchdog};
use super::wire::{Lost, Machine, in_own_network};

/// What the agent's log says when calls go over the persistent connection, and when that is known to be broken.
const OPEN: &str = "the persistent connection to the manager is open";
const BROKEN: &str = "the persistent connection has ended";

/// What it says when a call had no answer.
const UNREACHABLE: &str = "the manager cannot be reached";

/// What it says when one has again.
const ANSWERS: &str = "the manager answers again";

/// An agent at the other end of a wire.
struct Remote {
    name: String,
    machine: Machine,
    agent: Running,
    dir: tempfile::TempDir,
}

impl Remote {
    async fn start(number: u8, manager: &RealManager, polling: bool) -> Self {
        let machine = Machine::start(number).await;
        let dir = tempfile::tempdir().unwrap();
        let name = format!("remote-{number}");
        let url = format!("http://{}:{}", machine.manager_address(), manager.port);
        let settings = run_of(Path::new(BUILT_HERE), &url, &dir.path().join("home"));
        let mut command = machine.command(BUILT_HERE);
        command.arg("run").env_clear();
        for (variable, value) in settings.get_envs() {
            command.env(variable, value.unwrap_or_default());
        }
        command
            .env("DELEGATE_NAME", &name)
            .env("POLL_FOR_TASKS", polling.to_string())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap());
        let agent = Running::start(command);
        let this = Self {
            name,
            machine,
            agent,
            dir,
        };
        if polling {
            connected(manager, &this.name).await;
        } else {
            this.says(OPEN, 1).await;
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Waits until its log has said this so often.
    async fn says(&self, what: &str, times: usize) {
        eventually(what, || self.log().matches(what).count() >= times).await;
    }

    /// Submits a script for this agent, which notes first that it runs.
    async fn submit(&self, manager: &RealManager, name: &str, script: &str) -> String {
        let counter = self.path("counter");
        let script = format!(
            "echo {name} >> '{}'; echo {name} begins; {script}",
            counter.display()
        );
        let data = json!({"shell": "sh", "script": script});
        manager.submit_to(json!([self.name]), "SHELL_SCRIPT", data).await
    }

    /// Names of the scripts that ran, as often as they did.
    fn runs(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("counter")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Waits until the manager sees a delegate connected.
async fn connected(manager: &RealManager, name: &str) {
    let look = async {
        loop {
            let list = manager.call(Method::GET, "/api/v1/delegates", None).await;
            let delegates = list["delegates"].as_array().unwrap();
            if delegates
                .iter()
                .any(|delegate| delegate["name"] == name && delegate["connected"] == true)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("{name} never connected"));
}

/// Cuts the wire, mends it when the agent has noticed, and counts what came of the tasks.
async fn outlives(manager: &RealManager, number: u8, polling: bool, lost: Lost) {
    let remote = Remote::start(number, manager, polling).await;
    // It ends when somebody writes to the gate.
    let gate = remote.path("gate");
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let script = format!("read go < '{}'; echo over", gate.display());
    let first = remote.submit(manager, "first", &script).await;
    eventually("the first task runs", || remote.runs() == ["first"]).await;

    remote.machine.cut(lost);
    let cut = Instant::now();
    let opened = tokio::task::spawn_blocking(move || std::fs::write(gate, "go\n"));
    tokio::time::timeout(PATIENCE, opened)
        .await
        .expect("the script reads its gate")
        .unwrap()
        .unwrap();
    let second = remote.submit(manager, "second", "true").await;
    remote.says(if polling { UNREACHABLE } else { BROKEN }, 1).await;
    let noticed = cut.elapsed();
    assert_eq!(manager.task(&second).await["status"], "QUEUED", "{lost:?}");
    if lost != Lost::ToAgent {
        assert_eq!(manager.task(&first).await["status"], "RUNNING", "{lost:?}");
    }

    remote.machine.heal();
    let healed = Instant::now();
    let third = remote.submit(manager, "third", "true").await;
    for task in [&first, &second, &third] {
        let task = manager.ended(task).await;
        assert_eq!(
            (&task["status"], &task["attempts"]),
            (&json!("SUCCEEDED"), &json!(1)),
            "{lost:?}: {task}"
        );
    }
    let answered = healed.elapsed();
    if polling {
        remote.says(ANSWERS, 1).await;
    } else {
        remote.says(OPEN, 2).await;
    }
    let back = healed.elapsed();
    whole(manager, &first, "first begins\nover\n").await;
    whole(manager, &second, "second begins\n").await;
    connected(manager, &remote.name).await;

    let runs = remote.runs();
    assert_eq!(runs.len(), 3, "{lost:?}: each ran once, not {runs:?}");
    remote.agent.signal(Signal::SIGTERM);
    let log = remote.path("log");
    let ended = remote.agent.end().await;
    assert_eq!(
        ended.code(),
        Some(0),
        "{lost:?}: {}",
        std::fs::read_to_string(log).unwrap()
    );
    println!(
        "{lost:?}: noticed after {noticed:.1?}; mended, all was answered after {answered:.1?}, and connected after {back:.1?}"
    );
}

/// Waits until a log is there; its end may come after the answer. It is never more than this.
async fn whole(manager: &RealManager, task: &str, expected: &str) {
    let look = async {
        while manager.log(task).await.len() < expected.len() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, look).await;
    assert_eq!(manager.log(task).await, expected);
}

fn outlive_all(test: &'static str, polling: bool) {
    in_own_network(move || async move {
        let _watchdog = Watchdog::start_for(test, 3 * PATIENCE);
        let manager = RealManager::start_on(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await;
        tokio::join!(
            outlives(&manager, 1, polling, Lost::ToManager),
            outlives(&manager, 2, polling, Lost::ToAgent),
            outlives(&manager, 3, polling, Lost::BothWays),
        );
    });
}

#[test]
fn the_stream_outlives_partitions() {
    outlive_all("partitions of the stream", false);
}

#[test]
fn polling_outlives_partitions() {
    outlive_all("partitions of polling", true);
}
