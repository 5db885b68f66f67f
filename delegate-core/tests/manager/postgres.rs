//! The same manager on a real PostgreSQL, in a cluster of its own. Without PostgreSQL on the machine the tests say so
//! and pass.

use delegate_core::config::DelegateToken;
use delegate_core::manager::StartError;
use delegate_core::manager::store::{OpenError, Target};
use delegate_core::protocol::api::TaskStatus;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::fixture::Fixture;
use crate::scripted_delegate::line;

fn target(cluster: &Cluster) -> Target {
    Target::Postgres(cluster.url().parse().unwrap())
}

#[tokio::test]
async fn a_task_its_log_and_a_run_of_a_pipeline_live_in_postgresql() {
    let Some(cluster) = Cluster::start() else { return };
    let manager = Fixture::start(target(&cluster)).await;
    let token = manager.token.clone();
    let mut delegate = manager.delegate("a").await;
    let id = manager.noop().await;
    let task = delegate.acquire(&id).await;
    delegate.append(&task, &[line(0, "nul \u{0} and ü\n")]).await;

    // PostgreSQL holds no NUL, which is nobody's fault but must not look like one.
    for path in [
        "/tasks/a%00b",
        "/tasks/a%00b/logs",
        "/tasks/a%00b/logs?follow=true",
    ] {
        let response = manager.api(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let none = manager
        .api(Method::GET, "/tasks?type=a%00b")
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), StatusCode::OK);

    let file = r#"pipeline: {identifier: p, name: Über, stages: [{stage: {identifier: s, spec: {execution: {steps: [
        {step: {identifier: sure, type: HarnessApproval, spec: {approvalMessage: "nul \0"}}}]}}}}]}"#;
    let started = manager
        .api(Method::POST, "/pipelines")
        .json(&json!({ "file": file }));
    let started = started.send().await.unwrap();
    assert_eq!(
        started.status(),
        StatusCode::CREATED,
        "{}",
        started.text().await.unwrap()
    );
    let run: Value = started.json().await.unwrap();
    let run = run["id"].as_str().unwrap().to_owned();

    // A second manager on the same database would decide against the first.
    let second = Fixture::start_with(target(&cluster), DelegateToken::generate().unwrap()).await;
    assert!(matches!(second, Err(StartError::Open(OpenError::InUse { .. }))));

    manager.stop().await;
    let manager = Fixture::start_with(target(&cluster), token).await.unwrap();
    delegate.url.clone_from(&manager.url);
    assert_eq!(manager.status(&id).await, TaskStatus::Running);
    delegate
        .append(&task, &[line(0, "nul \u{0} and ü\n"), line(1, "more\n")])
        .await;
    delegate.close_log(&task).await;
    delegate.succeed(&id).await;
    let (lines, status) = manager.follow(&id).await;
    assert_eq!((lines.len(), status), (2, TaskStatus::Succeeded));
    assert_eq!(lines[0]["out"], "nul \u{0} and ü\n");

    let path = format!("/pipelines/{run}/steps/s.sure/approve");
    let answer = json!({ "by": "ann", "comment": "nul \u{0}" });
    let approved = manager
        .api(Method::POST, &path)
        .json(&answer)
        .send()
        .await
        .unwrap();
    assert_eq!(approved.status(), StatusCode::OK);
    let list = manager.api(Method::GET, "/pipelines?status=SUCCEEDED&limit=1");
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&list["runs"][0]["id"], &list["runs"][0]["name"]),
        (&json!(run), &json!("Über"))
    );
    manager.stop().await;
}

#[tokio::test]
async fn a_database_that_goes_and_comes_back_is_waited_for() {
    let Some(cluster) = Cluster::start() else { return };
    let manager = Fixture::start(target(&cluster)).await;
    let delegate = manager.delegate("a").await;
    let id = manager.noop().await;
    delegate.acquire(&id).await;
    cluster.down("immediate");
    let answering = tokio::spawn({
        let (delegate, id) = (delegate.clone(), id.clone());
        async move { delegate.succeed(&id).await }
    });
    let read = manager
        .api(Method::GET, &format!("/tasks/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(read.status(), StatusCode::SERVICE_UNAVAILABLE);
    let error: Value = read.json().await.unwrap();
    assert_eq!(error["code"], "STORE_UNAVAILABLE");
    assert!(
        !answering.is_finished(),
        "what cannot be kept is not acknowledged"
    );
    assert!(cluster.up(), "{}", cluster.log());
    answering.await.unwrap();
    assert_eq!(manager.status(&id).await, TaskStatus::Succeeded);
    manager.stop().await;
}

#[tokio::test]
async fn nothing_accepted_is_lost_by_kills_on_postgresql() {
    let Some(cluster) = Cluster::start() else { return };
    crate::durability::nothing_accepted_is_lost(&["--database-url", &cluster.url()]).await;
}
