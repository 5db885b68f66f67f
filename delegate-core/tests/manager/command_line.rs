//! The verbs of the command line, as a user runs them.

use std::process::Output;

use delegate_core::protocol::api::TaskStatus;
use delegate_core::protocol::wire::{CommandStatus, ResponseCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fixture::{API_KEY, Fixture, PATIENCE, manager};
use crate::process::program;
use crate::scripted_delegate::{ScriptedDelegate, line, result};

fn verb(manager: &Fixture, arguments: &[&str]) -> Command {
    let mut command = program();
    command
        .args(arguments)
        .env("HARNESS_ENDPOINT", &manager.url)
        .env("HARNESS_PLATFORM_API_KEY", API_KEY);
    command
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Runs the next task as told.
async fn run_next(delegate: &ScriptedDelegate, command: CommandStatus) -> Value {
    let id = delegate.events(25_000).await[0].delegate_task_id.clone();
    let task = delegate.acquire(&id).await;
    delegate.append(&task, &[line(0, "hello from the task\n")]).await;
    delegate.close_log(&task).await;
    let mut data = result(command);
    data["exit_code"] = json!(7);
    delegate.respond(&id, ResponseCode::Ok, data).await;
    task.data
}

#[tokio::test]
async fn task_run_shows_the_log_and_the_result_and_exits_as_the_task_ended() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    for (command, code) in [
        (CommandStatus::Success, 0),
        (CommandStatus::Failure, 1),
        (CommandStatus::Timeout, 124),
        (CommandStatus::Aborted, 1),
    ] {
        let arguments = [
            "task",
            "run",
            "--script",
            "exit 7",
            "--selector",
            "a",
            "--timeout",
            "30s",
        ];
        let (ran, data) = tokio::join!(output(verb(&manager, &arguments)), run_next(&delegate, command));
        let (exit, out, err) = ran;
        assert_eq!(exit, Some(code), "{err}");
        let printed: Value = serde_json::from_str(&out).expect("stdout is the result and nothing else");
        assert_eq!(
            (&printed["exit_code"], &printed["command_execution_status"]),
            (&json!(7), &json!(command))
        );
        assert!(err.contains("hello from the task"), "{err}");
        assert_eq!(data, json!({ "script": "exit 7" }));
    }
}

#[tokio::test]
async fn task_run_reads_data_from_a_file_and_exits_124_when_nobody_takes_it() {
    let (directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let file = directory.path().join("data.json");
    std::fs::write(&file, r#"{"x": "hunter2"}"#).unwrap();
    let data = format!("@{}", file.display());
    let arguments = ["task", "run", "--type", "NOOP", "--data", &data];
    let (ran, given) = tokio::join!(
        output(verb(&manager, &arguments)),
        run_next(&delegate, CommandStatus::Success)
    );
    assert_eq!((ran.0, given), (Some(0), json!({ "x": "hunter2" })));

    let arguments = [
        "task",
        "run",
        "--type",
        "NOOP",
        "--selector",
        "gpu",
        "--timeout",
        "100ms",
    ];
    let (exit, out, err) = output(verb(&manager, &arguments)).await;
    assert_eq!(exit, Some(124));
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed["command_execution_status"], "TIMEOUT");
    assert!(printed["error_message"].as_str().unwrap().contains("gpu"));
    assert!(err.contains("EXPIRED"), "{err}");

    std::fs::write(&file, "{hunter2").unwrap();
    let (exit, _, err) = output(verb(
        &manager,
        &["task", "run", "--type", "NOOP", "--data", &data],
    ))
    .await;
    assert_eq!(exit, Some(2));
    assert!(err.contains("not JSON") && !err.contains("hunter2"), "{err}");
}

#[tokio::test]
async fn an_interrupt_aborts_the_task_and_says_so() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let mut command = verb(&manager, &["task", "run", "--script", "sleep 60"]);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let id = delegate.events(25_000).await[0].delegate_task_id.clone();
    delegate.acquire(&id).await;
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
    // The signal handler is there before the task is submitted.
    nix::sys::signal::kill(pid, nix::sys::signal::SIGINT).unwrap();
    let abort = delegate.events(25_000).await;
    assert_eq!(abort[0].delegate_task_id, id);
    delegate
        .respond(&id, ResponseCode::Ok, result(CommandStatus::Aborted))
        .await;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Aborting task"));
    assert_eq!(manager.status(&id).await, TaskStatus::Aborted);
}

#[tokio::test]
async fn tasks_are_listed_shown_and_aborted() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let id = manager.noop().await;
    let (exit, out, _) = output(verb(&manager, &["task", "list"])).await;
    assert_eq!(exit, Some(0));
    assert!(
        out.starts_with("ID ") && out.contains(&id) && out.contains("QUEUED"),
        "{out}"
    );
    let (_, out, _) = output(verb(&manager, &["task", "list", "--json", "--status", "QUEUED"])).await;
    assert_eq!(
        serde_json::from_str::<Value>(&out).unwrap()["tasks"][0]["id"],
        json!(id)
    );
    let (_, out, _) = output(verb(&manager, &["delegate", "list"])).await;
    assert!(out.contains("host-a") && out.contains("connected"), "{out}");

    let task = delegate.acquire(&id).await;
    delegate.append(&task, &[line(0, "kept\n")]).await;
    let (_, out, _) = output(verb(&manager, &["task", "logs", &id])).await;
    assert_eq!(out, "kept\n");
    let (exit, _, _) = output(verb(&manager, &["task", "abort", &id])).await;
    assert_eq!(exit, Some(0));
    delegate.close_log(&task).await;
    delegate
        .respond(&id, ResponseCode::Ok, result(CommandStatus::Aborted))
        .await;
    let (_, out, _) = output(verb(&manager, &["task", "logs", "--follow", "--json", &id])).await;
    assert_eq!(
        serde_json::from_str::<Value>(out.trim()).unwrap()["out"],
        "kept\n"
    );
    let (_, out, _) = output(verb(&manager, &["task", "get", &id])).await;
    assert!(out.contains("ABORTED"), "{out}");
    let (exit, _, err) = output(verb(&manager, &["task", "get", "nope"])).await;
    assert_eq!(exit, Some(1));
    assert!(err.contains("no such task"), "{err}");
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let (_directory, manager) = manager().await;
    let (exit, out, _) = output(verb(&manager, &["token", "create", "team a/b"])).await;
    assert_eq!(exit, Some(0));
    out.trim()
        .parse::<delegate_core::config::DelegateToken>()
        .expect("stdout is the value and nothing else");
    let (_, list, _) = output(verb(&manager, &["token", "list"])).await;
    assert!(list.contains("team a/b") && !list.contains(out.trim()), "{list}");
    let (exit, _, _) = output(verb(&manager, &["token", "revoke", "team a/b"])).await;
    assert_eq!(exit, Some(0));
    let (_, list, _) = output(verb(&manager, &["token", "list"])).await;
    assert!(list.contains("REVOKED"), "{list}");
}

#[tokio::test]
async fn what_keeps_a_verb_from_its_work_is_said_in_one_line() {
    let (_directory, manager) = manager().await;
    let mut no_key = verb(&manager, &["task", "list"]);
    no_key.env_remove("HARNESS_PLATFORM_API_KEY");
    let mut wrong_key = verb(&manager, &["task", "list"]);
    wrong_key.env("HARNESS_PLATFORM_API_KEY", "hunter2-key");
    let mut nobody = verb(&manager, &["task", "list"]);
    nobody.env("HARNESS_ENDPOINT", "http://127.0.0.1:1");
    let mut elsewhere = verb(&manager, &["task", "list"]);
    elsewhere.env("HARNESS_ENDPOINT", format!("{}/some/path", manager.url));
    for (command, code, part) in [
        (no_key, 2, "HARNESS_PLATFORM_API_KEY"),
        (wrong_key, 1, "x-api-key"),
        (nobody, 1, "HARNESS_ENDPOINT"),
        (elsewhere, 1, "nothing at this path"),
    ] {
        let (exit, out, err) = output(command).await;
        assert_eq!(exit, Some(code), "{err}");
        assert!(
            out.is_empty() && err.contains(part) && !err.contains("hunter2"),
            "{err}"
        );
        assert_eq!(err.trim_end().lines().count(), 1, "{err}");
    }
}
