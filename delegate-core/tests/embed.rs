//! The agent inside another program: the example itself, and each seam, against the real manager.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

#[path = "../examples/embed/main.rs"]
#[allow(dead_code, reason = "the example's own start")]
mod embed;
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use delegate_core::Secret;
use delegate_core::agent::{Agent, AgentBuilder, Event, Exit, Outcome, Recorder, Stop, TaskLabels, shutdown};
use delegate_core::protocol::client::CallError;
use delegate_core::protocol::logs::{LogServiceCallError, LogWrite, TaskLog};
use delegate_core::protocol::transport::Transport;
use delegate_core::protocol::wire::{CommandStatus, DelegateParams, LogLine, Task, TaskEvents, TaskResponse};
use delegate_core::task::{LogSink, Registry, SecretResolver, ShellScript};
use serde_json::{Value, json};
use support::real_manager::RealManager;
use support::{Watchdog, config};

/// Runs an embedded delegate until a task is over, and returns the task and how the delegate ended.
async fn one_task(
    manager: &RealManager,
    agent: impl FnOnce(delegate_core::config::DelegateConfig) -> AgentBuilder,
    kind: &str,
    data: Value,
) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let (handle, order) = shutdown();
    let running = tokio::spawn(agent(config(&manager.url, dir.path())).run(order));
    let id = manager.submit(kind, data).await;
    let task = manager.ended(&id).await;
    handle.stop(Stop::Drain);
    assert_eq!(running.await.unwrap().unwrap(), Exit::Drained);
    let log = manager.log(&id).await;
    (task, log)
}

#[tokio::test]
async fn the_example_does_a_task_of_its_own_kind() {
    let _watchdog = Watchdog::start("the example");
    let manager = RealManager::start().await;
    let ended = Arc::new(embed::Ended::default());
    let counted = Arc::clone(&ended);
    let agent = |config| embed::delegate(config, counted);
    let (task, log) = one_task(&manager, agent, "GREETING", json!({"name": "world"})).await;
    assert_eq!(task["status"], "SUCCEEDED", "{task}");
    assert_eq!(task["response"]["data"]["greeting"], "Hello, world!");
    assert_eq!(
        log, "greeting world\n",
        "the example's sink passes lines on to the log service"
    );
    assert_eq!(ended.0.load(Ordering::Relaxed), 1);
}

#[test]
fn the_example_is_short() {
    let lines = include_str!("../examples/embed/main.rs").lines().count();
    assert!(lines < 80, "{lines} lines");
}

/// Keeps what it is given.
struct Kept(Arc<Mutex<String>>);

#[async_trait]
impl LogSink for Kept {
    async fn write(&self, lines: Vec<LogLine>) {
        let mut kept = self.0.lock().unwrap();
        kept.extend(lines.iter().map(|line| &*line.out));
    }
}

/// Knows one secret.
struct Vault;

#[async_trait]
impl SecretResolver for Vault {
    async fn resolve(&self, reference: &str) -> Result<Secret, String> {
        assert!(reference.contains("db"), "{reference}");
        Ok(Secret::new("from-the-vault"))
    }
}

#[tokio::test]
async fn logs_go_where_the_program_wants_them_masked_and_secrets_come_from_its_own_provider() {
    let _watchdog = Watchdog::start("log sink");
    let manager = RealManager::start().await;
    let kept = Arc::new(Mutex::new(String::new()));
    let labels = Arc::new(Mutex::new(Vec::<TaskLabels>::new()));
    let (into, seen) = (Arc::clone(&kept), Arc::clone(&labels));
    let logs = move |task: &TaskLabels, _usual: Arc<dyn LogSink>| {
        seen.lock().unwrap().push(task.clone());
        Arc::new(Kept(Arc::clone(&into))) as Arc<dyn LogSink>
    };
    let agent = |config| {
        Agent::builder(config)
            .registry(Registry::empty())
            .task(ShellScript)
            .log_sink(logs)
            .secrets(Arc::new(Vault))
    };
    let data = json!({
        "script": "echo \"the password is $DB\"; OUT=${#DB}",
        "secrets": {"DB": "<+secrets.getValue(\"db\")>"},
        "output_vars": ["OUT"],
    });
    let (task, log) = one_task(&manager, agent, "SHELL_SCRIPT", data).await;
    assert_eq!(task["response"]["data"]["output_vars"]["OUT"], "14", "{task}");
    let kept = kept.lock().unwrap();
    assert!(
        kept.contains("the password is *") && !kept.contains("from-the-vault"),
        "{kept}"
    );
    assert_eq!(log, "", "the log service gets none of it");
    let labels = labels.lock().unwrap();
    assert_eq!((labels.len(), &*labels[0].kind), (1, "SHELL_SCRIPT"));
    assert_eq!(labels[0].id, task["id"].as_str().unwrap());
}

/// Counts events.
#[derive(Default)]
struct Counts {
    started: AtomicU64,
    failed_scripts: AtomicU64,
    answered: AtomicU64,
}

impl Recorder for Counts {
    fn record(&self, event: Event<'_>) {
        let counter = match event {
            Event::TaskStarted { kind: "SHELL_SCRIPT" } => &self.started,
            Event::TaskEnded {
                outcome: Outcome::Ran(CommandStatus::Failure),
                ..
            } => &self.failed_scripts,
            Event::ManagerCall { answered: true } => &self.answered,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts the calls that go through it.
#[derive(Debug)]
struct Counted(Arc<dyn Transport>, Arc<AtomicU64>);

#[async_trait]
impl Transport for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    async fn heartbeat(&self, params: &DelegateParams) -> Result<(), CallError> {
        self.0.heartbeat(params).await
    }

    async fn task_events(&self, id: &str, wait: Duration) -> Result<TaskEvents, CallError> {
        self.0.task_events(id, wait).await
    }

    async fn acquire(&self, id: &str, task_id: &str) -> Result<Task, CallError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.acquire(id, task_id).await
    }

    async fn respond(&self, id: &str, response: &TaskResponse) -> Result<(), CallError> {
        self.1.fetch_add(100, Ordering::Relaxed);
        self.0.respond(id, response).await
    }

    async fn write_log(&self, log: &TaskLog, write: LogWrite<'_>) -> Result<(), LogServiceCallError> {
        self.0.write_log(log, write).await
    }
}

#[tokio::test]
async fn calls_go_the_programs_own_way_and_its_recorder_is_told_what_counts() {
    let _watchdog = Watchdog::start("transport");
    let manager = RealManager::start().await;
    let (counts, calls) = (Arc::new(Counts::default()), Arc::new(AtomicU64::new(0)));
    let (recorder, through) = (Arc::clone(&counts), Arc::clone(&calls));
    let agent = |config| {
        Agent::builder(config)
            .metrics(recorder)
            .transport(move |usual| Arc::new(Counted(usual, through)))
    };
    let (task, _) = one_task(&manager, agent, "SHELL_SCRIPT", json!({"script": "exit 3"})).await;
    assert_eq!(task["status"], "FAILED");
    assert_eq!(calls.load(Ordering::Relaxed), 101, "one acquire, and one answer");
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((count(&counts.started), count(&counts.failed_scripts)), (1, 1));
    assert!(count(&counts.answered) >= 3);
}
