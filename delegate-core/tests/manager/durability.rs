//! What was accepted survives SIGKILL of the real program, at any time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use delegate_core::config::DelegateToken;
use delegate_core::protocol::api::{Submitted, TaskPage, TaskStatus, TaskView};
use delegate_core::protocol::wire::{CommandStatus, ResponseCode, Task};
use reqwest::Client;
use serde_json::json;

use crate::fixture::{ACCOUNT, API_KEY, PATIENCE};
use crate::process::{ManagerProcess, TOKEN};
use crate::scripted_delegate::{ScriptedDelegate, client, line, params, result};

/// Kills of the manager in one run. Each comes at another moment of the work.
const KILLS: u64 = 12;

/// Tasks that make a run worth something.
const ENOUGH: usize = 20;

/// What one side was told, which the other must not contradict.
#[derive(Default)]
struct Told {
    /// Answered 201.
    accepted: Vec<String>,
    /// Acquired, by this delegate.
    acquired: HashMap<String, String>,
    /// Answered with 200.
    answered: HashSet<String>,
    /// Lines appended with 204.
    lines: HashMap<String, u64>,
}

async fn submit(client: &Client, url: &str) -> Option<String> {
    let request = client
        .post(format!("{url}/api/v1/tasks"))
        .header("x-api-key", API_KEY);
    let response = request
        .json(&json!({ "type": "NOOP", "timeout_ms": 3_600_000 }))
        .send()
        .await
        .ok()?;
    Some(response.json::<Submitted>().await.ok()?.id)
}

/// Works until the manager is gone; every reply is noted.
async fn work(delegate: &ScriptedDelegate, told: &mut Told) -> Option<()> {
    loop {
        if let Some(id) = submit(&delegate.client, &delegate.url).await {
            told.accepted.push(id);
        }
        let path = format!("/api/agent/delegates/{}/task-events", delegate.id);
        let events = delegate.request(reqwest::Method::GET, &path).send().await.ok()?;
        let events: delegate_core::protocol::wire::TaskEvents = events.json().await.ok()?;
        for event in events.delegate_task_events {
            let id = event.delegate_task_id;
            let path = format!("/api/agent/v2/delegates/{}/tasks/{id}/acquire", delegate.id);
            let reply = delegate.request(reqwest::Method::PUT, &path).send().await.ok()?;
            assert!(reply.status().is_success(), "{}", reply.status());
            let task: Task = reply.json().await.ok()?;
            told.acquired.insert(id.clone(), delegate.id.clone());
            let request = delegate.log(reqwest::Method::PUT, "/stream", &task);
            let reply = request.json(&[line(0, "a"), line(1, "b")]).send().await.ok()?;
            assert!(reply.status().is_success());
            told.lines.insert(id.clone(), 2);
            // Half of them stay running across the kill.
            if told.acquired.len().is_multiple_of(2) {
                let path = format!("/api/agent/v2/tasks/{id}/delegates/{}", delegate.id);
                let answer =
                    json!({ "id": id, "type": "NOOP", "code": "OK", "data": result(CommandStatus::Success) });
                let reply = delegate
                    .request(reqwest::Method::POST, &path)
                    .json(&answer)
                    .send()
                    .await
                    .ok()?;
                assert!(reply.status().is_success());
                told.answered.insert(id);
            }
        }
    }
}

/// The kill loop, on any database.
pub(crate) async fn nothing_accepted_is_lost(store: &[&str]) {
    let token: DelegateToken = TOKEN.parse().unwrap();
    let mut manager = ManagerProcess::start(store, "127.0.0.1:0").await;
    let mut delegate = ScriptedDelegate::registered(&manager.url, ACCOUNT, &token, params("a")).await;
    let mut told = Told::default();
    let mut kill = 0;
    // On a busy machine it takes more kills until there was enough to lose.
    while kill < KILLS || (told.accepted.len() <= ENOUGH && kill < 10 * KILLS) {
        kill += 1;
        // Not waiting for luck: whenever it comes, everything below has to hold.
        let moment = Duration::from_millis(20 + 37 * kill % 150);
        let _ = tokio::time::timeout(moment, work(&delegate, &mut told)).await;
        manager.kill().await;
        manager = ManagerProcess::start(store, "127.0.0.1:0").await;
        delegate.url.clone_from(&manager.url);
        delegate.client = client();
        check(&delegate, &told).await;
    }
    assert!(
        told.accepted.len() > ENOUGH,
        "only {} tasks: the loop proves little",
        told.accepted.len()
    );
    // What is left can be finished: running tasks by their holder, also one whose acquisition it was never told of
    // because the kill came in between; waiting ones by anybody.
    let running: TaskPage = get(&delegate, "/tasks?limit=500&status=RUNNING").await;
    let untold: Vec<String> = running.tasks.into_iter().map(|task| task.id).collect();
    for id in untold.iter().filter(|id| !told.acquired.contains_key(*id)) {
        delegate.acquire(id).await;
    }
    for id in told.acquired.keys().chain(&untold) {
        let reply = delegate
            .respond(id, ResponseCode::Ok, result(CommandStatus::Success))
            .await;
        assert_eq!(reply.status(), 200, "answered, or answered before");
    }
    loop {
        let events = delegate.events(0).await;
        if events.is_empty() {
            break;
        }
        for event in events {
            delegate.acquire(&event.delegate_task_id).await;
            delegate.succeed(&event.delegate_task_id).await;
        }
    }
    let mut cursor = String::new();
    let mut ended = 0;
    loop {
        let page: TaskPage = get(&delegate, &format!("/tasks?limit=500{cursor}")).await;
        ended += page.tasks.len();
        assert!(page.tasks.iter().all(|task| task.status == TaskStatus::Succeeded));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(
        ended >= told.accepted.len(),
        "a submission may be kept without its reply, never lost after it"
    );
}

async fn get<T: serde::de::DeserializeOwned>(delegate: &ScriptedDelegate, path: &str) -> T {
    let request = delegate.client.get(format!("{}/api/v1{path}", delegate.url));
    request
        .header("x-api-key", API_KEY)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

async fn check(delegate: &ScriptedDelegate, told: &Told) {
    for id in &told.accepted {
        let task: TaskView = get(delegate, &format!("/tasks/{id}")).await;
        if let Some(by) = told.acquired.get(id) {
            assert_eq!(
                task.delegate_id.as_ref(),
                Some(by),
                "a holder forgotten is a task run twice"
            );
            assert_ne!(task.status, TaskStatus::Queued);
        }
        if told.answered.contains(id) {
            assert_eq!(task.status, TaskStatus::Succeeded);
        }
    }
    for (id, lines) in told.lines.iter().take(20) {
        let request = delegate
            .client
            .get(format!("{}/api/v1/tasks/{id}/logs", delegate.url));
        let text = request
            .header("x-api-key", API_KEY)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert_eq!(text.lines().count() as u64, *lines, "log of {id}");
    }
}

#[tokio::test]
async fn nothing_accepted_is_lost_by_kills_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    nothing_accepted_is_lost(&["--data-dir", directory.path().to_str().unwrap()]).await;
}

#[tokio::test]
async fn a_followed_task_is_followed_to_its_end_across_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = ["--data-dir", directory.path().to_str().unwrap()];
    let manager = ManagerProcess::start(&store, "127.0.0.1:0").await;
    let address = manager.url.trim_start_matches("http://").to_owned();
    let token: DelegateToken = TOKEN.parse().unwrap();
    let mut delegate = ScriptedDelegate::registered(&manager.url, ACCOUNT, &token, params("a")).await;
    let mut command = crate::process::program();
    command
        .args(["task", "run", "--type", "NOOP"])
        .env("HARNESS_ENDPOINT", &manager.url)
        .env("HARNESS_PLATFORM_API_KEY", API_KEY);
    let running = tokio::spawn(async move { command.output().await.unwrap() });
    let id = delegate.events(25_000).await[0].delegate_task_id.clone();
    let task = delegate.acquire(&id).await;
    delegate.append(&task, &[line(0, "before the kill\n")]).await;
    manager.kill().await;
    let manager = ManagerProcess::start(&store, &address).await;
    delegate.client = client();
    // The batch before may have been lost with its reply, so a writer sends it again.
    delegate
        .append(
            &task,
            &[line(0, "before the kill\n"), line(1, "after the kill\n")],
        )
        .await;
    delegate.close_log(&task).await;
    delegate.succeed(&id).await;
    let output = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for text in ["before the kill", "after the kill"] {
        assert_eq!(said.matches(text).count(), 1, "each line once: {said}");
    }
    manager.kill().await;
}
