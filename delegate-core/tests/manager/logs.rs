//! Logs: written by delegates to the log service, read and followed by users.

use std::time::{Duration, Instant};

use delegate_core::manager::store::Target;
use delegate_core::protocol::api::TaskStatus;
use delegate_core::protocol::wire::{LogLine, Task};
use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE, manager};
use crate::scripted_delegate::{ScriptedDelegate, line};

async fn running(manager: &Fixture, delegate: &ScriptedDelegate) -> Task {
    let id = manager.noop().await;
    delegate.acquire(&id).await
}

async fn plain(manager: &Fixture, id: &str) -> Vec<Value> {
    let response = manager
        .api(Method::GET, &format!("/tasks/{id}/logs"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn lines_are_shown_in_order_with_their_four_keys() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    assert!(plain(&manager, &task.id).await.is_empty());
    let opened = delegate.log(Method::POST, "/stream", &task).send().await.unwrap();
    assert_eq!(opened.status(), StatusCode::NO_CONTENT);
    delegate
        .append(&task, &[line(0, "one\n"), line(1, "zwei ü \u{0}\n")])
        .await;
    delegate.append(&task, &[line(2, "three\n")]).await;
    let shown = plain(&manager, &task.id).await;
    let texts: Vec<_> = shown.iter().map(|line| line["out"].as_str().unwrap()).collect();
    assert_eq!(texts, ["one\n", "zwei ü \u{0}\n", "three\n"]);
    let first =
        json!({ "pos": 0, "time": "2026-01-01T00:00:00.000000000Z", "level": "info", "out": "one\n" });
    assert_eq!(shown[0], first);
}

#[tokio::test]
async fn a_follower_sees_each_line_as_it_comes_and_then_the_end() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    delegate.append(&task, &[line(0, "before\n")]).await;
    let path = format!("/tasks/{}/logs?follow=true", task.id);
    let response = manager.api(Method::GET, &path).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut pieces = response.bytes_stream();
    let mut next = async || {
        let piece = tokio::time::timeout(PATIENCE, pieces.next()).await.unwrap();
        String::from_utf8(piece.unwrap().unwrap().to_vec()).unwrap()
    };
    assert!(next().await.contains("before"));
    delegate.append(&task, &[line(1, "live\n")]).await;
    assert!(next().await.contains("live"));
    delegate.close_log(&task).await;
    delegate.succeed(&task.id).await;
    let end = next().await;
    assert!(end.contains("event: end") && end.contains("SUCCEEDED"), "{end}");
}

#[tokio::test]
async fn a_follower_that_comes_late_or_comes_back_misses_and_repeats_nothing() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    for pos in 0..50 {
        delegate
            .append(&task, &[line(2 * pos, "a\n"), line(2 * pos + 1, "b\n")])
            .await;
    }
    delegate.close_log(&task).await;
    delegate.succeed(&task.id).await;
    let (lines, status) = manager.follow(&task.id).await;
    assert_eq!(status, TaskStatus::Succeeded);
    let positions: Vec<u64> = lines.iter().map(|line| line["pos"].as_u64().unwrap()).collect();
    assert_eq!(positions, (0..100).collect::<Vec<_>>());

    // As a browser does: from the identity of the last event it got.
    let path = format!("/tasks/{}/logs?follow=true", task.id);
    let whole = manager
        .api(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let ids: Vec<&str> = whole
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect();
    for at in [0, 30, 61, 99] {
        let request = manager.api(Method::GET, &path).header("last-event-id", ids[at]);
        let rest = request.send().await.unwrap().text().await.unwrap();
        let left = rest.lines().filter(|line| line.starts_with("id: ")).count();
        assert_eq!(left, 99 - at, "after event {at}");
    }
}

#[tokio::test]
async fn the_end_comes_also_when_the_log_is_never_closed() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    delegate.append(&task, &[line(0, "left open\n")]).await;
    delegate.succeed(&task.id).await;
    let began = Instant::now();
    let (lines, status) = manager.follow(&task.id).await;
    assert_eq!((lines.len(), status), (1, TaskStatus::Succeeded));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_batch_sent_again_is_kept_once_also_across_a_restart() {
    let (directory, manager) = manager().await;
    let mut delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    let batch = [line(0, "a\n"), line(1, "b\n")];
    delegate.append(&task, &batch).await;
    delegate.append(&task, &batch).await;
    let token = manager.token.clone();
    manager.stop().await;
    let manager = Fixture::start_with(Target::Directory(directory.path().to_owned()), token)
        .await
        .unwrap();
    delegate.url.clone_from(&manager.url);
    delegate.append(&task, &batch).await;
    delegate.append(&task, &[line(2, "c\n")]).await;
    assert_eq!(plain(&manager, &task.id).await.len(), 3);
}

#[tokio::test]
async fn an_uploaded_log_replaces_the_stream_when_it_has_more() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    delegate.append(&task, &[line(1, "b\n")]).await;
    let ndjson = |lines: &[LogLine]| -> String {
        lines
            .iter()
            .map(|line| format!("{}\n", serde_json::to_string(line).unwrap()))
            .collect()
    };
    let upload = async |lines: &[LogLine]| {
        let response = delegate
            .log(Method::POST, "/blob", &task)
            .body(ndjson(lines))
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success());
    };
    upload(&[line(1, "b\n")]).await;
    assert_eq!(plain(&manager, &task.id).await.len(), 1);
    upload(&[line(0, "a\n"), line(1, "b\n")]).await;
    assert_eq!(plain(&manager, &task.id).await[0]["out"], "a\n");

    // By link: the link is the permission.
    let link = delegate
        .log(Method::POST, "/blob/link/upload", &task)
        .send()
        .await
        .unwrap();
    let link: Value = link.json().await.unwrap();
    assert!(link["expires"].as_i64().unwrap() > 0);
    let link = link["link"].as_str().unwrap();
    let all = ndjson(&[line(0, "a\n"), line(1, "b\n"), line(2, "c\n")]);
    let put = manager.client.put(link).body(all.clone()).send().await.unwrap();
    assert!(put.status().is_success());
    assert_eq!(plain(&manager, &task.id).await.len(), 3);
    let forged = link.replace(&task.id, "another");
    assert_eq!(
        manager
            .client
            .put(forged)
            .body(all)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::FORBIDDEN
    );
    let blob = delegate
        .log(Method::GET, "/blob", &task)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(blob.lines().count(), 3);
}

#[tokio::test]
async fn a_log_token_opens_its_own_log_only() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let (mine, other) = (
        running(&manager, &delegate).await,
        running(&manager, &delegate).await,
    );
    for (token, key, account) in [
        (
            mine.logging.token.as_str(),
            other.logging.key(),
            delegate.account.as_str(),
        ),
        ("", mine.logging.key(), delegate.account.as_str()),
        (mine.logging.token.as_str(), mine.logging.key(), "other"),
    ] {
        let request = manager.client.put(format!("{}/log-service/stream", manager.url));
        let request = request
            .query(&[("accountID", account), ("key", &key)])
            .header("x-harness-token", token);
        let response = request.json(&[line(0, "x")]).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let error: Value = response.json().await.unwrap();
        assert!(error["error_msg"].as_str().unwrap().contains("X-Harness-Token"));
    }
    assert!(plain(&manager, &mine.id).await.is_empty());
    assert!(plain(&manager, &other.id).await.is_empty());
}

#[tokio::test]
async fn what_is_no_log_line_is_refused_and_what_is_too_much_too() {
    let (_directory, manager) = manager().await;
    let delegate = manager.delegate("a").await;
    let task = running(&manager, &delegate).await;
    let put = async |body: String| {
        delegate
            .log(Method::PUT, "/stream", &task)
            .body(body)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(put("{}".to_owned()).await, StatusCode::BAD_REQUEST);
    assert_eq!(put("[{\"pos\":\"x\"}]".to_owned()).await, StatusCode::BAD_REQUEST);
    assert_eq!(
        put(" ".repeat(16 * 1024 * 1024 + 1)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(put("[]".to_owned()).await, StatusCode::NO_CONTENT);
}
