//! Who submits: a client that repeats what it had no answer to, and remembers that it did.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use delegate_core::protocol::http::Http;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;

use super::work::Work;
use crate::support::PATIENCE;

pub(crate) const API_KEY: &str = "api-key-of-the-test";

/// Longest wait for one answer; the manager is killed in the middle of many.
const ANSWER: Duration = Duration::from_secs(20);

/// Pause after an attempt without an answer.
const RETRY: Duration = Duration::from_millis(20);

/// Pause between two looks at what nobody announces.
const LOOK: Duration = Duration::from_millis(20);

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
            let task = work.task(&name, counter);
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

    /// Waits until a task is given to an agent.
    pub(crate) async fn begun(&self, id: &str) {
        while self.task(id).await["status"] == "QUEUED" {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A task with its response.
    pub(crate) async fn task(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/tasks/{id}"), None).await
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
        while self.any_of("QUEUED").await || self.any_of("RUNNING").await {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tasks that wait or run.
    pub(crate) async fn not_ended(&self) -> Vec<Value> {
        let mut open = Vec::new();
        for status in ["QUEUED", "RUNNING"] {
            let mut pages = self.pages(&format!("&status={status}"));
            while let Some(page) = pages.next().await {
                open.extend(page);
            }
        }
        open
    }

    async fn any_of(&self, status: &str) -> bool {
        let page = self
            .call(Method::GET, &format!("/tasks?limit=1&status={status}"), None)
            .await;
        !page["tasks"].as_array().unwrap().is_empty()
    }

    /// Every task of the manager with its response, by id.
    pub(crate) async fn tasks(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let mut pages = self.pages("");
        while let Some(page) = pages.next().await {
            let ids = page.iter().map(|task| task["id"].as_str().unwrap());
            for (id, task) in self.whole(ids).await {
                assert!(!all.contains_key(&id), "listed twice: {task}");
                all.insert(id, task);
            }
        }
        all
    }

    /// These tasks with their responses, by id.
    pub(crate) async fn whole(&self, ids: impl IntoIterator<Item = &str>) -> BTreeMap<String, Value> {
        let whole = ids
            .into_iter()
            .map(async |id| (id.to_owned(), self.task(id).await));
        futures_util::stream::iter(whole)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    /// How many tasks the manager has of each status.
    pub(crate) async fn by_status(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut pages = self.pages("");
        while let Some(page) = pages.next().await {
            for task in page {
                *counts
                    .entry(task["status"].as_str().unwrap().to_owned())
                    .or_default() += 1;
            }
        }
        counts
    }

    /// The pages of the list of tasks, one question each.
    fn pages(&self, filter: &str) -> Pages<'_> {
        Pages {
            client: self,
            cursor: Some(String::new()),
            list: format!("/tasks?limit={PAGE}{filter}"),
        }
    }
}

/// Where a walk over the list of tasks is.
struct Pages<'a> {
    client: &'a Client,
    list: String,
    /// As it is put behind the list; nothing after the last page.
    cursor: Option<String>,
}

impl Pages<'_> {
    async fn next(&mut self) -> Option<Vec<Value>> {
        let path = format!("{}{}", self.list, self.cursor.take()?);
        let mut page = self.client.call(Method::GET, &path, None).await;
        self.cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
        let Value::Array(tasks) = page["tasks"].take() else {
            panic!("no list of tasks: {page}");
        };
        Some(tasks)
    }
}
