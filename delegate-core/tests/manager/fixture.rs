//! A real manager in this process, on a free port, with a directory of its own.

use std::time::Duration;

use delegate_core::Secret;
use delegate_core::config::DelegateToken;
use delegate_core::manager::identity::Wanted;
use delegate_core::manager::store::Target;
use delegate_core::manager::{Manager, Settings, StartError};
use delegate_core::protocol::api::{DelegateList, Submitted, TaskStatus, TaskView};
use delegate_core::protocol::wire::DelegateParams;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::scripted_delegate::{ScriptedDelegate, client, params};

pub(crate) const ACCOUNT: &str = "testAccount";
pub(crate) const API_KEY: &str = "test-api-key";

/// Nothing here takes longer than this, however slow the machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Fixture {
    pub(crate) url: String,
    pub(crate) token: DelegateToken,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

pub(crate) fn settings(target: Target, token: &DelegateToken) -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        target,
        wanted: Wanted {
            account_id: Some(ACCOUNT.parse().unwrap()),
            delegate_token: Some(token.clone()),
            api_key: Some(Secret::new(API_KEY)),
        },
    }
}

/// A manager on SQLite, in a directory that goes with it.
pub(crate) async fn manager() -> (tempfile::TempDir, Fixture) {
    let directory = tempfile::tempdir().unwrap();
    let fixture = Fixture::start(Target::Directory(directory.path().to_owned())).await;
    (directory, fixture)
}

impl Fixture {
    pub(crate) async fn start(target: Target) -> Self {
        Self::start_with(target, DelegateToken::generate().unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn start_with(target: Target, token: DelegateToken) -> Result<Self, StartError> {
        let manager = Manager::start(settings(target, &token)).await?;
        let url = format!("http://{}", manager.address());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(manager.run(async {
            let _ = stopped.await;
        }));
        Ok(Self {
            url,
            token,
            client: client(),
            stop: Some(stop),
            served,
        })
    }

    /// Stops it, and returns how long that took.
    pub(crate) async fn stop(mut self) -> Duration {
        let began = std::time::Instant::now();
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        began.elapsed()
    }

    pub(crate) async fn delegate(&self, name: &str) -> ScriptedDelegate {
        self.delegate_with(params(name)).await
    }

    pub(crate) async fn delegate_with(&self, said: DelegateParams) -> ScriptedDelegate {
        ScriptedDelegate::registered(&self.url, ACCOUNT, &self.token, said).await
    }

    pub(crate) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/api/v1{path}", self.url))
            .header("x-api-key", API_KEY)
    }

    pub(crate) fn platform(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/ng/api{path}", self.url))
            .query(&[("accountIdentifier", ACCOUNT)])
            .header("x-api-key", API_KEY)
    }

    pub(crate) async fn submit(&self, task: Value) -> String {
        let response = self.api(Method::POST, "/tasks").json(&task).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json::<Submitted>().await.unwrap().id
    }

    pub(crate) async fn noop(&self) -> String {
        self.submit(json!({ "type": "NOOP" })).await
    }

    pub(crate) async fn task(&self, id: &str) -> TaskView {
        let response = self
            .api(Method::GET, &format!("/tasks/{id}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    pub(crate) async fn status(&self, id: &str) -> TaskStatus {
        self.task(id).await.status
    }

    /// When the only delegate was heard of last.
    pub(crate) async fn last_seen(&self) -> jiff::Timestamp {
        let response = self.api(Method::GET, "/delegates").send().await.unwrap();
        let list: DelegateList = response.json().await.unwrap();
        list.delegates[0].last_seen_at
    }

    pub(crate) async fn abort(&self, id: &str) -> TaskStatus {
        let path = format!("/tasks/{id}/abort");
        let reply: Value = self
            .api(Method::POST, &path)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        TaskStatus::parse(reply["status"].as_str().unwrap()).unwrap()
    }

    /// Follows a task's log to its end; returns the lines and how the task ended.
    pub(crate) async fn follow(&self, id: &str) -> (Vec<Value>, TaskStatus) {
        let path = format!("/tasks/{id}/logs?follow=true");
        let response = self.api(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let text = tokio::time::timeout(PATIENCE, response.text())
            .await
            .unwrap()
            .unwrap();
        let (lines, end) = text
            .split_once("event: end\n")
            .expect("the stream ends with event: end");
        let data = |line: &str| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok();
        let end = data(end.trim()).unwrap();
        let status = TaskStatus::parse(end["status"].as_str().unwrap()).unwrap();
        (lines.lines().filter_map(data).collect(), status)
    }
}
