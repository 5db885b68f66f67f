//! Logs that wait on disk for their log service: the real program, killed with `kill -9` while the service is away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::manager_double::{Fault, ManagerDouble, Route};
use support::program::{Running, eventually, run};
use support::real_manager::RealManager;
use support::relay::{Front, Relay};
use support::{PATIENCE, Watchdog};

/// What the last line of an interrupted log says, as the answer does.
const INTERRUPTED: &str = "the delegate was restarted while the task ran; the task was not run again";

/// Files of spools in a working directory.
fn spools(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("log-spool")).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

/// What they say. One may be removed while it is read.
fn spooled(dir: &Path) -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    spools(dir).into_iter().map(read).collect()
}

/// Waits until a line is on disk.
async fn on_disk(dir: &Path, text: &str) {
    eventually(text, || spooled(dir).contains(text)).await;
}

/// A script that prints lines up to `first`, waits for a file, prints lines up to `second`, and stays.
fn chatty(gate: &Path, first: usize, second: usize) -> Value {
    let script = format!(
        "n=0; while [ $n -lt {first} ]; do echo \"line $n\"; n=$((n+1)); done\n\
         until [ -e '{}' ]; do sleep 0.05; done\n\
         while [ $n -lt {second} ]; do echo \"line $n\"; n=$((n+1)); done\n\
         echo \"it is $S\"; sleep 600",
        gate.display()
    );
    json!({"shell": "sh", "script": script, "secrets": {"S": "correct-horse-battery"}})
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("line {n}\n")).collect()
}

#[tokio::test]
async fn what_a_dead_log_service_did_not_take_before_a_kill_9_comes_after_it_in_order_and_once() {
    let _watchdog = Watchdog::start("spool");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let gate = dir.path().join("gate");
    let mut agent = Running::start(run(&manager.url, dir.path()));
    manager.offer("t", "SHELL_SCRIPT", chatty(&gate, 100, 3000));
    // A part of the log is there, and the agent knows.
    on_disk(dir.path(), "{\"taken\":{\"pos\":100,").await;
    assert_eq!(manager.log_text(), lines(0..100));
    manager.fail_always(Route::LogAppend, Some(Fault::Status(503, "AWAY")));
    std::fs::write(&gate, "").unwrap();
    on_disk(dir.path(), "it is ***").await;
    for file in spools(dir.path()) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    let text = spooled(dir.path());
    assert!(!text.contains("correct-horse"), "a secret is on disk");
    assert!(!text.contains("log-token"), "the log's token is on disk");
    agent.kill();

    manager.fail_always(Route::LogAppend, None);
    let agent = Running::start(run(&manager.url, dir.path()));
    let answer = manager.answered("t").await;
    assert_eq!(answer["data"]["error_message"], INTERRUPTED, "{answer}");
    manager.called(Route::LogClose, 1).await;
    let expected = format!("{}it is **************\n[{INTERRUPTED}]\n", lines(0..3000));
    assert_eq!(manager.log_text(), expected);
    let positions = manager
        .calls(Route::LogAppend)
        .into_iter()
        .flat_map(|call| call.body.as_array().unwrap().clone());
    assert!(positions.enumerate().all(|(n, line)| line["pos"] == n));
    assert_eq!(
        manager.calls(Route::LogOpen).len(),
        1,
        "opening it again would empty it at some services"
    );
    eventually("the spool is gone", || spools(dir.path()).is_empty()).await;
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}

/// With a manager that is away as a whole, its log service included.
async fn outage_of_everything(test: &'static str, polling: bool) {
    let _watchdog = Watchdog::start_for(test, 2 * PATIENCE);
    let (manager, dir) = (RealManager::start().await, tempfile::tempdir().unwrap());
    let target: SocketAddr = manager.url.strip_prefix("http://").unwrap().parse().unwrap();
    let relay = Relay::start(target, Front::Plain).await;
    let start = || {
        let mut command = run(&format!("http://{}", relay.address), dir.path());
        command.env("POLL_FOR_TASKS", polling.to_string());
        Running::start(command)
    };
    let gate = dir.path().join("gate");
    let mut agent = start();
    let id = manager.submit("SHELL_SCRIPT", chatty(&gate, 10, 500)).await;
    on_disk(dir.path(), "{\"taken\":{\"pos\":10,").await;
    relay.point_to(None);
    relay.cut();
    std::fs::write(&gate, "").unwrap();
    on_disk(dir.path(), "it is ***").await;
    agent.kill();
    relay.point_to(Some(target));
    let agent = start();
    let task = manager.ended(&id).await;
    assert_eq!(task["response"]["data"]["error_message"], INTERRUPTED, "{task}");
    // The log is sent before the answer, or its spool is still there.
    eventually("the spool is gone", || spools(dir.path()).is_empty()).await;
    let expected = format!("{}it is **************\n[{INTERRUPTED}]\n", lines(0..500));
    assert_eq!(manager.log(&id).await, expected);
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_log_is_whole_after_an_outage_and_a_kill_9_by_the_stream() {
    outage_of_everything("spool by stream", false).await;
}

#[tokio::test]
async fn a_log_is_whole_after_an_outage_and_a_kill_9_by_polling() {
    outage_of_everything("spool by polling", true).await;
}

#[tokio::test]
async fn the_end_of_a_log_is_sent_at_the_next_start_also_when_its_task_was_answered() {
    let _watchdog = Watchdog::start("end of a log");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    manager.fail_always(Route::LogAppend, Some(Fault::Status(503, "AWAY")));
    let mut agent = Running::start(run(&manager.url, dir.path()));
    manager.offer("t", "SHELL_SCRIPT", json!({"shell": "sh", "script": "echo said"}));
    assert_eq!(manager.answered("t").await["code"], "OK");
    agent.kill();
    assert_eq!(spools(dir.path()).len(), 1);
    // Something that is no spool does no harm.
    std::fs::write(dir.path().join("log-spool/garbage.0"), "\0{\n").unwrap();
    manager.fail_always(Route::LogAppend, None);
    let agent = Running::start(run(&manager.url, dir.path()));
    manager.called(Route::LogClose, 1).await;
    assert_eq!(manager.log_text(), "said\n");
    eventually("the spools are gone", || spools(dir.path()).is_empty()).await;
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_task_that_says_nothing_writes_no_file() {
    let _watchdog = Watchdog::start("no file");
    let (manager, dir) = (ManagerDouble::start().await, tempfile::tempdir().unwrap());
    let agent = Running::start(run(&manager.url, dir.path()));
    manager.offer("t", "SHELL_SCRIPT", json!({"shell": "sh", "script": ":"}));
    assert_eq!(manager.answered("t").await["code"], "OK");
    assert!(!dir.path().join("log-spool").exists());
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end().await.code(), Some(0));
}
