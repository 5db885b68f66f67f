//! The programs, and what lies between them.
//!
//! The manager gets a free port at each start. Agents and client reach it by a relay whose address stays, and which
//! refuses connections while there is no manager, so that no other program that got the port is taken for it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::client::{API_KEY, Client};
use crate::support::TOKEN;
use crate::support::program::{BUILT_HERE, Running, program_of, run_of};
use crate::support::relay::{Front, Relay};

/// Tasks at once of each: enough to be full at times, few enough for a small machine.
const CAPACITY: &str = "8";

/// Everything that runs. Dropping it ends it.
pub(crate) struct Site {
    relay: Relay,
    manager: Option<Running>,
    agents: Vec<Option<Running>>,
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Site {
    /// A manager and this many agents of the program built with the tests.
    pub(crate) async fn start(agents: usize) -> Self {
        Self::start_of(Path::new(BUILT_HERE), agents).await
    }

    /// The same of another program.
    pub(crate) async fn start_of(program: &Path, agents: usize) -> Self {
        let mut site = Self {
            relay: Relay::start_towards(None, Front::Plain).await,
            manager: None,
            agents: (0..agents).map(|_| None).collect(),
            program: program.to_owned(),
            dir: tempfile::tempdir().unwrap(),
        };
        site.start_manager();
        for at in 0..agents {
            site.start_agent(at);
        }
        site
    }

    /// Logs and data stay after the test.
    pub(crate) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
        println!("logs and data stay in {}", self.dir.path().display());
    }

    fn url(&self) -> String {
        format!("http://{}", self.relay.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// Scripts append their names to this file.
    pub(crate) fn counter(&self) -> PathBuf {
        self.dir.path().join("counter")
    }

    /// Working directory of an agent.
    pub(crate) fn home(&self, at: usize) -> PathBuf {
        self.dir.path().join(format!("agent-{at}"))
    }

    /// Directory of the manager.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("manager")
    }

    /// Process id of the manager.
    pub(crate) fn manager_pid(&self) -> u32 {
        self.manager.as_ref().unwrap().id()
    }

    /// Process id of an agent.
    pub(crate) fn agent_pid(&self, at: usize) -> u32 {
        self.agents[at].as_ref().unwrap().id()
    }

    /// A program's log goes on over all of its lives.
    fn log(&self, name: &str) -> File {
        let path = self.dir.path().join(format!("{name}.log"));
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    }

    /// Starts it and does not wait: the next kill may come before it listens.
    pub(crate) fn start_manager(&mut self) {
        let mut command = program_of(
            &self.program,
            &[
                ("MANAGER_ACCOUNT_ID", "acc"),
                ("MANAGER_DELEGATE_TOKEN", TOKEN),
                ("MANAGER_API_KEY", API_KEY),
            ],
        );
        command.args(["manager", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(self.data()).stdout(Stdio::piped());
        command.stderr(self.log("manager"));
        let mut manager = Running::start(command);
        let (relay, out) = (self.relay.clone(), manager.stdout().unwrap());
        // Ends with the manager's output.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("MANAGER_URL=http://") {
                    relay.point_to(Some(address.parse().unwrap()));
                }
            }
        });
        self.manager = Some(manager);
    }

    pub(crate) fn kill_manager(&mut self) {
        self.manager.take().unwrap().kill();
        self.relay.point_to(None);
    }

    /// Ends the manager as an operator does.
    pub(crate) async fn stop_manager(&mut self) {
        let manager = self.manager.take().unwrap();
        manager.signal(Signal::SIGTERM);
        let ended = manager.end().await;
        self.relay.point_to(None);
        assert_eq!(ended.code(), Some(0), "the manager did not stop well");
    }

    /// Breaks every connection to the manager.
    pub(crate) fn cut_connections(&self) {
        self.relay.cut();
    }

    pub(crate) fn start_agent(&mut self, at: usize) {
        let mut command = run_of(&self.program, &self.url(), &self.home(at));
        command
            .env("DELEGATE_NAME", format!("agent-{at}"))
            .env("DELEGATE_TASK_CAPACITY", CAPACITY)
            // Half of them poll.
            .env("POLL_FOR_TASKS", (at % 2 == 1).to_string())
            .stderr(self.log(&format!("agent-{at}")));
        self.agents[at] = Some(Running::start(command));
    }

    pub(crate) fn kill_agent(&mut self, at: usize) {
        let mut agent = self.agents[at].take().unwrap();
        assert!(!agent.has_ended(), "agent {at} had ended by itself");
        agent.kill();
    }

    /// Ends the agents as an operator does. Nothing is left open in their journals.
    pub(crate) async fn drain_agents(&mut self) {
        for at in 0..self.agents.len() {
            let agent = self.agents[at].take().unwrap();
            agent.signal(Signal::SIGTERM);
            assert_eq!(agent.end().await.code(), Some(0), "agent {at} did not drain");
            let journal = std::fs::read_to_string(self.home(at).join("journal/tasks")).unwrap();
            assert_eq!(open_in(&journal), Vec::<String>::new(), "left open by agent {at}");
        }
    }

    /// How often each script ran, by name.
    pub(crate) fn runs(&self) -> HashMap<String, usize> {
        let mut runs = HashMap::new();
        for name in std::fs::read_to_string(self.counter()).unwrap().lines() {
            *runs.entry(name.to_owned()).or_default() += 1;
        }
        runs
    }

    /// The same since this was asked last. Nothing may run meanwhile.
    pub(crate) fn take_runs(&self) -> HashMap<String, usize> {
        if !self.counter().exists() {
            return HashMap::new();
        }
        let runs = self.runs();
        std::fs::remove_file(self.counter()).unwrap();
        runs
    }

    /// No script is alive and no directory of a task is left.
    pub(crate) fn nothing_is_left(&self) {
        for at in 0..self.agents.len() {
            let tasks = std::fs::read_dir(self.home(at).join("tasks"));
            let left: Vec<_> = tasks
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path())
                .collect();
            assert!(left.is_empty(), "directories left by agent {at}: {left:?}");
        }
        let home = self.dir.path().to_str().unwrap();
        let ours = |pid: &String| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let is_manager = self
                .manager
                .as_ref()
                .is_some_and(|manager| manager.id().to_string() == *pid);
            !is_manager && String::from_utf8_lossy(&environment).contains(home)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let left: Vec<String> = processes
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(ours)
            .collect();
        assert!(left.is_empty(), "processes of tasks are left: {left:?}");
    }
}

/// Tasks that a journal takes for open.
fn open_in(journal: &str) -> Vec<String> {
    let mut open = Vec::new();
    for line in journal.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let task = record["task"].as_str().unwrap();
        match record["event"].as_str().unwrap() {
            "taken" => open.push(task.to_owned()),
            "closed" => open.retain(|other| other != task),
            _ => {}
        }
    }
    open
}
