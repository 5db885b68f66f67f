//! A child that prints without measure: the task ends, and the agent's memory knows nothing of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::manager_double::{Fault, ManagerDouble, Route};
use super::support::program::{BUILT_HERE, Running, run_of};
use super::support::{PATIENCE, anonymous_bytes};

/// What the child prints, in megabytes; a program that was built for debugging takes fifty times as long for each.
const MEGABYTES: u64 = 1000;
const MEGABYTES_WHEN_DEBUGGING: u64 = 40;

/// What the agent may need for it: the buffers of one child.
const MOST: u64 = 8 << 20;

/// Pause between two looks at its memory.
const LOOK: Duration = Duration::from_millis(10);

/// The program that is delivered, where the environment says where it is; else the one built with the tests.
fn program() -> (PathBuf, u64) {
    match std::env::var_os("HARNESS_TEST_BIN_DIR") {
        Some(folder) => (Path::new(&folder).join("harness-delegate"), MEGABYTES),
        None => (BUILT_HERE.into(), MEGABYTES_WHEN_DEBUGGING),
    }
}

/// A script of a task that brings no log: with one, its child would be slowed down to what the log service takes.
async fn ended(manager: &ManagerDouble, id: &str, script: &str) {
    let data = json!({"shell": "sh", "script": script});
    let task = json!({"id": id, "type": "SHELL_SCRIPT", "data": data, "timeout": 3_600_000});
    manager.fail(Route::Acquire, [Fault::Other(task)]);
    manager.offer(id, "SHELL_SCRIPT", data);
    let answer = tokio::time::timeout(PATIENCE, manager.answered(id))
        .await
        .expect("the task does not end");
    assert_eq!(answer["data"]["command_execution_status"], "SUCCESS", "{answer}");
}

#[tokio::test]
async fn a_child_that_prints_a_gigabyte_costs_time_and_no_memory() {
    let manager = ManagerDouble::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (program, megabytes) = program();
    let mut command = run_of(&program, &manager.url, dir.path());
    command.stderr(std::fs::File::create(dir.path().join("log")).unwrap());
    let agent = Running::start(command);
    // What the first task of an agent makes is there before.
    ended(&manager, "warm", "echo warm").await;
    let before = anonymous_bytes(agent.id());
    let (mut most, began) = (before, Instant::now());
    // Lines, and one without an end.
    let line = "x".repeat(99);
    let script = format!("yes {line} | head -c {megabytes}000000; head -c 10000000 /dev/zero");
    let mut flood = std::pin::pin!(ended(&manager, "flood", &script));
    loop {
        tokio::select! {
            () = &mut flood => break,
            () = tokio::time::sleep(LOOK) => most = most.max(anonymous_bytes(agent.id())),
        }
    }
    let grown = most - before;
    println!(
        "{megabytes} MB took {:.1?} and {} KiB",
        began.elapsed(),
        grown >> 10
    );
    assert!(grown < MOST, "grew from {before} to {most} bytes");
}
