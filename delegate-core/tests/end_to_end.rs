//! The real manager and real agents, as processes: what a user sees of a task, and what a `kill -9` of either changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use delegate_core::protocol::http::Http;
use nix::sys::signal::Signal;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use support::program::{Running, eventually, program, run};
use support::{PATIENCE, TOKEN, Watchdog};

const API_KEY: &str = "api-key-of-the-test";

/// A manager on SQLite; killed when dropped.
struct Manager {
    process: Child,
    url: String,
    client: Client,
}

impl Manager {
    fn start(dir: &Path, listen: &str) -> Self {
        let mut command = program(&[
            ("MANAGER_ACCOUNT_ID", "acc"),
            ("MANAGER_DELEGATE_TOKEN", TOKEN),
            ("MANAGER_API_KEY", API_KEY),
        ]);
        command
            .args(["manager", "--listen", listen, "--data-dir"])
            .arg(dir.join("manager"));
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| Some(line.unwrap().strip_prefix("MANAGER_URL=")?.to_owned()))
            .unwrap();
        let client = Http::default().for_url(&url.parse().unwrap()).unwrap();
        Self { process, url, client }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url))
            .header("x-api-key", API_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn submit(&self, script: &str, more: Value) -> String {
        let mut task = json!({"type": "SHELL_SCRIPT", "data": {"script": script}, "timeout_ms": 60_000});
        for (key, value) in more.as_object().unwrap() {
            task[key] = value.clone();
        }
        self.call(Method::POST, "/tasks", Some(task)).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn task(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/tasks/{id}"), None).await
    }

    /// The task once its status is one of these.
    async fn task_is(&self, id: &str, statuses: &[&str]) -> Value {
        let look = async {
            loop {
                let task = self.task(id).await;
                if statuses.contains(&task["status"].as_str().unwrap()) {
                    return task;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if let Ok(task) = tokio::time::timeout(PATIENCE, look).await {
            return task;
        }
        panic!("{id} is not {statuses:?} but {}", self.task(id).await)
    }

    async fn ended(&self, id: &str) -> Value {
        self.task_is(id, &["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "EXPIRED"])
            .await
    }

    /// Waits until so many delegates are connected.
    async fn delegates(&self, count: usize) {
        let look = async {
            loop {
                let list = self.call(Method::GET, "/delegates", None).await;
                let list = list
                    .as_array()
                    .cloned()
                    .or_else(|| list["delegates"].as_array().cloned())
                    .unwrap();
                if list
                    .iter()
                    .filter(|delegate| delegate["connected"] == true)
                    .count()
                    == count
                {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .expect("the delegates do not connect");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn agent(manager: &Manager, dir: &Path, name: &str, vars: &[(&str, &str)]) -> Running {
    let mut command = run(&manager.url, &dir.join(name));
    command.env("DELEGATE_NAME", name).envs(vars.iter().copied());
    Running::start(command)
}

/// A script line that waits for a file.
fn wait_for(path: &Path) -> String {
    format!("until test -e '{}'; do sleep 0.02; done", path.display())
}

#[tokio::test]
async fn a_log_is_read_while_the_script_runs_and_the_result_afterwards() {
    let _watchdog = Watchdog::start("live log");
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::start(dir.path(), "127.0.0.1:0");
    let _agent = agent(&manager, dir.path(), "one", &[]);
    let gate = dir.path().join("gate");
    let script = format!(
        "echo first; {}; echo second >&2; OUT='a b'; exit 3",
        wait_for(&gate)
    );
    let data = json!({"data": {"script": script, "output_vars": ["OUT"]}});
    let id = manager.submit("", data).await;
    let url = format!("{}/api/v1/tasks/{id}/logs?follow=true", manager.url);
    let mut stream = manager
        .client
        .get(url)
        .header("x-api-key", API_KEY)
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    while !text.contains("first") {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(manager.task(&id).await["status"], "RUNNING");
    std::fs::write(&gate, "").unwrap();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(text.contains("second") && text.contains("event: end"), "{text}");
    let task = manager.ended(&id).await;
    assert_eq!(task["status"], "FAILED");
    let data = &task["response"]["data"];
    assert_eq!(
        (&data["exit_code"], &data["output_vars"]["OUT"]),
        (&json!(3), &json!("a b")),
        "{task}"
    );
}

#[tokio::test]
async fn two_agents_share_the_queue_and_selectors_choose_among_them() {
    let _watchdog = Watchdog::start("two agents");
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::start(dir.path(), "127.0.0.1:0");
    let capacity = ("DELEGATE_TASK_CAPACITY", "1");
    let _one = agent(
        &manager,
        dir.path(),
        "one",
        &[capacity, ("DELEGATE_TAGS", "linux")],
    );
    let _two = agent(
        &manager,
        dir.path(),
        "two",
        &[capacity, ("DELEGATE_TAGS", "linux,prod")],
    );
    manager.delegates(2).await;
    // Each waits for the other: with room for one task each, both must run at once, on different agents.
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let meet = |mine: &Path, other: &Path| format!("touch '{}'; {}", mine.display(), wait_for(other));
    let first = manager.submit(&meet(&a, &b), json!({})).await;
    let second = manager.submit(&meet(&b, &a), json!({})).await;
    let (first, second) = (manager.ended(&first).await, manager.ended(&second).await);
    assert_eq!(
        (&first["status"], &second["status"]),
        (&json!("SUCCEEDED"), &json!("SUCCEEDED"))
    );
    assert_ne!(first["delegate_id"], second["delegate_id"]);
    for (selectors, expected) in [
        (json!(["linux", "prod"]), "two"),
        (json!(["one"]), "one"),
        (json!(["two"]), "two"),
    ] {
        let script = "echo $PWD; NAME=$(basename $(dirname $(dirname $PWD)))";
        let more = json!({"selectors": selectors, "data": {"script": script, "output_vars": ["NAME"]}});
        let id = manager.submit("", more).await;
        let task = manager.ended(&id).await;
        assert_eq!(
            task["response"]["data"]["output_vars"]["NAME"], expected,
            "{selectors}: {task}"
        );
    }
}

#[tokio::test]
async fn an_abort_ends_the_script_and_all_it_started() {
    let _watchdog = Watchdog::start("abort");
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::start(dir.path(), "127.0.0.1:0");
    let _agent = agent(&manager, dir.path(), "one", &[]);
    let pids = dir.path().join("pids");
    let script = format!(
        "sleep 600 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait",
        pids.display()
    );
    let id = manager.submit(&script, json!({})).await;
    eventually("the script runs", || pids.exists()).await;
    manager
        .call(Method::POST, &format!("/tasks/{id}/abort"), None)
        .await;
    assert_eq!(manager.ended(&id).await["status"], "ABORTED");
    let pid = std::fs::read_to_string(&pids).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    eventually("its child ends", || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
}

#[tokio::test]
async fn a_kill_9_of_the_agent_at_any_moment_ends_every_task_once_and_runs_none_twice() {
    let _watchdog = Watchdog::start("kill the agent");
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::start(dir.path(), "127.0.0.1:0");
    let ran = dir.path().join("ran");
    let mut tasks = Vec::new();
    for round in 0..16u64 {
        let mut running = agent(&manager, dir.path(), "one", &[]);
        // Those that were killed before count until they are missed.
        manager.delegates(usize::try_from(round).unwrap() + 1).await;
        let script = format!("echo {round} >> '{}'; echo said", ran.display());
        tasks.push(manager.submit(&script, json!({})).await);
        // Not for luck: every round strikes a little later in the life of a task.
        tokio::time::sleep(std::time::Duration::from_millis(3 * round)).await;
        running.kill();
    }
    let last = agent(&manager, dir.path(), "one", &[]);
    let mut succeeded = 0;
    for (round, id) in tasks.iter().enumerate() {
        let task = manager.ended(id).await;
        let runs = std::fs::read_to_string(&ran).unwrap_or_default();
        let runs = runs.lines().filter(|line| **line == round.to_string()).count();
        assert!(runs <= 1, "{round} ran {runs} times");
        match task["status"].as_str().unwrap() {
            "SUCCEEDED" => {
                succeeded += 1;
                assert_eq!(runs, 1);
            }
            "FAILED" => {
                let reason = task["response"]["data"]["error_message"]
                    .as_str()
                    .unwrap_or_default();
                assert!(reason.contains("restarted"), "{round}: {task}");
            }
            other => panic!("{round} is {other}: {task}"),
        }
    }
    println!(
        "{succeeded} of {} succeeded, the others are answered as failed",
        tasks.len()
    );
    last.signal(Signal::SIGTERM);
    assert_eq!(last.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_kill_9_of_the_manager_costs_no_running_task() {
    let _watchdog = Watchdog::start("kill the manager");
    let dir = tempfile::tempdir().unwrap();
    let mut manager = Manager::start(dir.path(), "127.0.0.1:0");
    let address = manager.url.strip_prefix("http://").unwrap().to_owned();
    let _agent = agent(&manager, dir.path(), "one", &[]);
    let (ran, gate) = (dir.path().join("ran"), dir.path().join("gate"));
    let script = format!(
        "echo x >> '{}'; {}; echo 'after the kill'",
        ran.display(),
        wait_for(&gate)
    );
    let id = manager.submit(&script, json!({})).await;
    eventually("the script runs", || ran.exists()).await;
    manager.kill();
    std::fs::write(&gate, "").unwrap();
    let manager = Manager::start(dir.path(), &address);
    assert_eq!(manager.ended(&id).await["status"], "SUCCEEDED");
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\n");
    // And the agent goes on.
    let next = manager.submit("true", json!({})).await;
    assert_eq!(manager.ended(&next).await["status"], "SUCCEEDED");
}

#[tokio::test]
async fn a_wrong_token_is_exit_3() {
    let _watchdog = Watchdog::start("wrong token");
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::start(dir.path(), "127.0.0.1:0");
    let agent = agent(
        &manager,
        dir.path(),
        "one",
        &[("DELEGATE_TOKEN", "ffffffffffffffffffffffffffffffff")],
    );
    assert_eq!(agent.end().await.code(), Some(3));
}
