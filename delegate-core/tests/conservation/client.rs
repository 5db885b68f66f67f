//! Who submits: a client that repeats what it had no answer to, and remembers that it did.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use delegate_core::protocol::http::Http;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::plan::Work;
use super::support::PATIENCE;

pub(crate) const API_KEY: &str = "api-key-of-the-test";

/// Longest wait for one answer; the manager is killed in the middle of many.
const ANSWER: Duration = Duration::from_secs(20);

/// Pause after an attempt without an answer.
const RETRY: Duration = Duration::from_millis(20);

/// Questions at once.
const AT_ONCE: usize = 16;

/// Tasks of one page.
const PAGE: usize = 500;

/// A task that was accepted.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: String,
    /// What its script writes to the counter.
    pub(crate) name: String,
    pub(crate) work: Work,
    /// Names of earlier attempts that had no answer: each may have become a task.
    pub(crate) unanswered: Vec<String>,
}

/// Talks to the manager by way of the relay, which knows where it is.
#[derive(Clone)]
pub(crate) struct Client {
    client: reqwest::Client,
    url: String,
}

impl Client {
    pub(crate) fn new(url: String) -> Self {
        let client = Http::default().for_url(&url.parse().unwrap()).unwrap();
        Self { client, url }
    }

    /// One attempt; `None` when there was no answer, or none that says what happened.
    async fn attempt(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self
            .client
            .request(method, &url)
            .timeout(ANSWER)
            .header("x-api-key", API_KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        if status.is_server_error() {
            return None;
        }
        assert!(status.is_success(), "{path}: {status} {text}");
        Some(serde_json::from_str(&text).unwrap())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let work = async {
            loop {
                if let Some(reply) = self.attempt(method.clone(), path, body).await {
                    return reply;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::time::timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| panic!("no answer of the manager to {method} {path}"))
    }

    /// Submits until it is accepted, under a new name at each attempt.
    pub(crate) async fn submit(&self, number: usize, work: Work, counter: &Path) -> Sent {
        let mut unanswered = Vec::new();
        let began = Instant::now();
        loop {
            let name = format!("t{number}.{}", unanswered.len());
            let task = json!({"type": "SHELL_SCRIPT", "data": work.script(&name, counter)});
            if let Some(reply) = self.attempt(Method::POST, "/tasks", Some(&task)).await {
                let id = reply["id"].as_str().unwrap().to_owned();
                return Sent {
                    id,
                    name,
                    work,
                    unanswered,
                };
            }
            assert!(began.elapsed() < PATIENCE, "the manager takes no task: {name}");
            unanswered.push(name);
            tokio::time::sleep(RETRY).await;
        }
    }

    pub(crate) async fn abort(&self, id: &str) {
        self.call(Method::POST, &format!("/tasks/{id}/abort"), None).await;
    }

    async fn of_status(&self, status: &str, limit: usize) -> Vec<Value> {
        let page = self
            .call(
                Method::GET,
                &format!("/tasks?status={status}&limit={limit}"),
                None,
            )
            .await;
        page["tasks"].as_array().unwrap().clone()
    }

    /// Aborts what runs and was accepted without an answer that told its id: some of it would not end by itself.
    pub(crate) async fn abort_unheard(&self, sent: &[Sent]) {
        for task in self.not_ended().await {
            let id = task["id"].as_str().unwrap();
            if sent.iter().all(|sent| sent.id != id) {
                self.abort(id).await;
            }
        }
    }

    /// Waits until no task waits or runs.
    pub(crate) async fn all_ended(&self) {
        while !self.of_status("QUEUED", 1).await.is_empty() || !self.of_status("RUNNING", 1).await.is_empty()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Tasks that wait or run, a page of each.
    pub(crate) async fn not_ended(&self) -> Vec<Value> {
        let mut open = self.of_status("QUEUED", PAGE).await;
        open.extend(self.of_status("RUNNING", PAGE).await);
        open
    }

    /// Every task of the manager with its response, by id.
    pub(crate) async fn tasks(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let page = self
                .call(Method::GET, &format!("/tasks?limit={PAGE}{cursor}"), None)
                .await;
            let whole = page["tasks"].as_array().unwrap().iter().map(async |task| {
                let id = task["id"].as_str().unwrap().to_owned();
                let whole = self.call(Method::GET, &format!("/tasks/{id}"), None).await;
                (id, whole)
            });
            let whole: Vec<_> = futures_util::stream::iter(whole)
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            for (id, task) in whole {
                assert!(!all.contains_key(&id), "listed twice: {task}");
                all.insert(id, task);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}
