//! The manager's contract on tasks, over real HTTP with a scripted delegate.

use std::time::{Duration, Instant};

use delegate_core::protocol::api::{DelegateList, TaskPage, TaskStatus};
use delegate_core::protocol::wire::{CommandStatus, ResponseCode, TaskEventType};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{ACCOUNT, manager};
use crate::scripted_delegate::{params, result};

#[tokio::test]
async fn a_task_goes_from_submission_to_result() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let data = json!({ "script": "true", "z": 1, "a": 2 });
    let asked = json!({ "type": "SHELL_SCRIPT", "data": data, "selectors": ["a"], "timeout_ms": 5000 });
    let id = manager.submit(asked).await;
    let waiting = manager.task(&id).await;
    assert_eq!((waiting.status, waiting.started_at), (TaskStatus::Queued, None));

    let events = delegate.events(5000).await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].event_type, events[0].account_id.as_str()),
        (TaskEventType::Task, ACCOUNT)
    );
    assert_eq!(
        (events[0].delegate_task_id.as_str(), events[0].task_type.as_str()),
        (id.as_str(), "SHELL_SCRIPT")
    );

    let task = delegate.acquire(&id).await;
    assert_eq!(
        (task.id.as_str(), task.kind.as_str(), task.timeout),
        (id.as_str(), "SHELL_SCRIPT", 5000)
    );
    assert_eq!(task.data.to_string(), data.to_string(), "as given, in its order");
    assert_eq!(task.delegate.id, delegate.id);
    assert!(!task.logging.token.is_empty());
    let running = manager.task(&id).await;
    assert_eq!(
        (running.status, running.delegate_id.as_deref()),
        (TaskStatus::Running, Some(delegate.id.as_str()))
    );

    let mut data = result(CommandStatus::Success);
    data["exit_code"] = json!(0);
    let response = delegate.respond(&id, ResponseCode::Ok, data.clone()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let done = manager.task(&id).await;
    assert_eq!(done.status, TaskStatus::Succeeded);
    assert_eq!(done.response.unwrap().data, data);
    assert!(done.created_at <= done.started_at.unwrap() && done.started_at <= done.finished_at);
}

#[tokio::test]
async fn task_data_is_shown_to_nobody_and_gone_when_the_task_is_over() {
    let (directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let asked = json!({ "type": "NOOP", "data": { "secrets": { "P": "hunter2-in-the-data" } } });
    let id = manager.submit(asked).await;
    let shown = manager
        .api(Method::GET, &format!("/tasks/{id}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!shown.contains("hunter2"));
    delegate.acquire(&id).await;
    delegate.succeed(&id).await;
    manager.stop().await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let found = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!found, "the data outlives its task on disk");
    }
}

#[tokio::test]
async fn one_delegate_gets_the_task_twice_and_the_other_is_refused() {
    let (_directory, manager) = manager().await;
    let (a, b) = (manager.delegate("a").await, manager.delegate("b").await);
    let id = manager.noop().await;
    assert_eq!(b.events(1000).await.len(), 1, "both see it");
    let first = a.acquire(&id).await;
    assert_eq!(a.acquire(&id).await, first);
    assert_eq!(b.try_acquire(&id).await.status(), StatusCode::CONFLICT);
    assert_eq!(
        b.try_acquire("no-such-task").await.status(),
        StatusCode::NOT_FOUND
    );
    let refused = b
        .respond(&id, ResponseCode::Ok, result(CommandStatus::Success))
        .await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_eq!(manager.status(&id).await, TaskStatus::Running);
    a.succeed(&id).await;
    a.succeed(&id).await;
    let late = a
        .respond(&id, ResponseCode::Failed, result(CommandStatus::Failure))
        .await;
    assert_eq!(late.status(), StatusCode::OK, "a repeat is done already");
    assert_eq!(manager.status(&id).await, TaskStatus::Succeeded);
    let refused = b
        .respond(&id, ResponseCode::Ok, result(CommandStatus::Success))
        .await;
    assert_eq!(refused.status(), StatusCode::CONFLICT, "also when it is over");
    let unknown = a
        .respond("no-such-task", ResponseCode::Ok, result(CommandStatus::Success))
        .await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn two_delegates_that_ask_at_once_never_both_get_a_task() {
    let (_directory, manager) = manager().await;
    let (a, b) = (manager.delegate("a").await, manager.delegate("b").await);
    for _ in 0..20 {
        let id = manager.noop().await;
        let (first, second) = tokio::join!(a.try_acquire(&id), b.try_acquire(&id));
        let got = [first.status(), second.status()]
            .iter()
            .filter(|status| status.is_success())
            .count();
        assert_eq!(got, 1);
    }
}

#[tokio::test]
async fn every_answer_gives_its_status() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    for (code, command, status) in [
        (ResponseCode::Ok, CommandStatus::Success, TaskStatus::Succeeded),
        (ResponseCode::Ok, CommandStatus::Skipped, TaskStatus::Succeeded),
        (ResponseCode::Ok, CommandStatus::Failure, TaskStatus::Failed),
        (ResponseCode::Ok, CommandStatus::Timeout, TaskStatus::TimedOut),
        (ResponseCode::Ok, CommandStatus::Aborted, TaskStatus::Aborted),
        (ResponseCode::Failed, CommandStatus::Failure, TaskStatus::Failed),
    ] {
        let id = manager.noop().await;
        delegate.acquire(&id).await;
        delegate.respond(&id, code, result(command)).await;
        assert_eq!(manager.status(&id).await, status, "{code:?} {command:?}");
    }
}

#[tokio::test]
async fn a_task_passed_on_goes_to_another_delegate() {
    let (_directory, manager) = manager().await;
    let (a, b) = (manager.delegate("a").await, manager.delegate("b").await);
    let id = manager.noop().await;
    a.acquire(&id).await;
    let retry = a
        .respond(
            &id,
            ResponseCode::RetryOnOtherDelegate,
            result(CommandStatus::Failure),
        )
        .await;
    assert_eq!(retry.status(), StatusCode::OK);
    assert_eq!(manager.status(&id).await, TaskStatus::Queued);
    assert!(a.events(0).await.is_empty());
    assert_eq!(b.events(1000).await.len(), 1);
    b.acquire(&id).await;
    b.succeed(&id).await;
    let done = manager.task(&id).await;
    assert_eq!((done.status, done.attempts), (TaskStatus::Succeeded, 2));
}

#[tokio::test]
async fn a_waiting_delegate_learns_of_tasks_aborts_and_its_end_at_once() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let waiting = tokio::spawn({
        let delegate = delegate.clone();
        async move { (delegate.events(25_000).await, Instant::now()) }
    });
    // The call is on its way or waiting; either way it must not wait for long.
    let began = Instant::now();
    let id = manager.noop().await;
    let (events, at) = waiting.await.unwrap();
    assert_eq!(events[0].delegate_task_id, id);
    assert!(at - began < Duration::from_secs(5));

    delegate.acquire(&id).await;
    let waiting = tokio::spawn({
        let delegate = delegate.clone();
        async move { delegate.events(25_000).await }
    });
    assert_eq!(manager.abort(&id).await, TaskStatus::Running);
    let events = waiting.await.unwrap();
    assert_eq!(
        (events[0].event_type, &events[0].delegate_task_id),
        (TaskEventType::Abort, &id)
    );
    delegate
        .respond(&id, ResponseCode::Ok, result(CommandStatus::Aborted))
        .await;
    assert_eq!(manager.status(&id).await, TaskStatus::Aborted);

    let before = manager.last_seen().await;
    let (polled, took) = tokio::join!(delegate.poll(25_000), async {
        // Not before the manager has the call.
        while manager.last_seen().await <= before {}
        manager.stop().await
    });
    assert_eq!(polled.status(), StatusCode::OK, "a waiting call is answered");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_poll_without_events_ends_when_its_wait_is_over() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    assert!(delegate.events(0).await.is_empty());
    let began = Instant::now();
    assert!(delegate.events(200).await.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn aborts_are_seen_at_full_capacity_and_tasks_are_not() {
    let (_directory, manager) = manager().await;
    let mut small = params("a");
    small.task_capacity = Some(1);
    let delegate = manager.delegate_with(small).await;
    let (first, second) = (manager.noop().await, manager.noop().await);
    delegate.acquire(&first).await;
    assert_eq!(delegate.try_acquire(&second).await.status(), StatusCode::CONFLICT);
    assert!(delegate.events(0).await.is_empty());
    manager.abort(&first).await;
    let events = delegate.events(1000).await;
    assert_eq!((events.len(), events[0].event_type), (1, TaskEventType::Abort));
    // More room, told by the call of old.
    let path = format!("/api/agent/delegates/register-delegate-capacity/{}", delegate.id);
    let said = json!({ "maximumNumberOfBuilds": 2 });
    let told = delegate
        .request(Method::POST, &path)
        .json(&said)
        .send()
        .await
        .unwrap();
    assert!(told.status().is_success());
    assert_eq!(delegate.events(1000).await.len(), 2);
    delegate.acquire(&second).await;
}

#[tokio::test]
async fn a_waiting_task_is_aborted_at_once_and_one_nobody_takes_expires() {
    let (_directory, manager) = manager().await;
    let id = manager.noop().await;
    assert_eq!(manager.abort(&id).await, TaskStatus::Aborted);
    assert_eq!(manager.status(&id).await, TaskStatus::Aborted);
    assert_eq!(
        manager.abort(&id).await,
        TaskStatus::Aborted,
        "again changes nothing"
    );
    let asked = json!({ "type": "NOOP", "selectors": ["gpu"], "queue_timeout_ms": 50 });
    let id = manager.submit(asked).await;
    let (_, status) = manager.follow(&id).await;
    assert_eq!(status, TaskStatus::Expired);
    assert!(manager.task(&id).await.reason.unwrap().contains("gpu"));
    let unknown = manager
        .api(Method::POST, "/tasks/nope/abort")
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tasks_are_listed_newest_first_in_pages_and_by_filter() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(manager.noop().await);
    }
    delegate.acquire(&ids[0]).await;
    let list = async |query: &str| -> TaskPage {
        let response = manager
            .api(Method::GET, &format!("/tasks{query}"))
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    };
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&format!("?limit=2{cursor}")).await;
        seen.extend(page.tasks.into_iter().map(|task| task.id));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let (mut all, mut expected) = (seen.clone(), ids.clone());
    all.sort();
    expected.sort();
    assert_eq!(all, expected, "each once");
    let running = list("?status=RUNNING").await.tasks;
    assert_eq!((running.len(), &running[0].id), (1, &ids[0]));
    assert_eq!(
        list(&format!("?delegate_id={}", delegate.id)).await.tasks.len(),
        1
    );
    assert_eq!(list("?type=OTHER").await.tasks.len(), 0);
    for (query, field) in [
        ("?status=NO", "status"),
        ("?limit=0", "limit"),
        ("?cursor=x", "cursor"),
        ("?colour=1", "colour"),
    ] {
        let response = manager
            .api(Method::GET, &format!("/tasks{query}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["field"], field, "{error}");
    }
}

#[tokio::test]
async fn delegates_are_listed_with_what_they_said_and_what_they_hold() {
    let (_directory, manager) = manager().await;
    let mut said = params("a");
    said.tags = vec!["linux".to_owned()];
    let delegate = manager.delegate_with(said.clone()).await;
    let id = manager.noop().await;
    delegate.acquire(&id).await;
    said.tags.push("prod".to_owned());
    assert_eq!(delegate.heartbeat(&said).await.status(), StatusCode::OK);
    let list: DelegateList = manager
        .api(Method::GET, "/delegates")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let shown = &list.delegates[0];
    assert_eq!(
        (shown.id.as_str(), shown.name.as_str(), shown.connected),
        (delegate.id.as_str(), "a", true)
    );
    assert_eq!(
        (shown.tags.join(","), shown.running_tasks),
        ("linux,prod".to_owned(), 1)
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_taken() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let padding = |length: usize| json!({ "type": "NOOP", "data": { "x": "y".repeat(length) } }).to_string();
    let fits = padding(16 * 1024 * 1024 - padding(0).len());
    let send = async |body: reqwest::Body| {
        manager
            .api(Method::POST, "/tasks")
            .body(body)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(
        send(format!("{fits} ").into()).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    // Without a length, so that it has to be found out while reading.
    let pieces =
        futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024 * 1024])));
    let refused = send(reqwest::Body::wrap_stream(pieces)).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let error: Value = refused.json().await.unwrap();
    assert_eq!(error["code"], "BODY_TOO_LARGE");
    let taken = send(fits.into()).await;
    assert_eq!(taken.status(), StatusCode::CREATED);
    let id = taken.json::<Value>().await.unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(delegate.acquire(&id).await.data["x"].as_str().unwrap().len() > 16_000_000);
}
