//! A real manager inside the test, on a free port, with a directory of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use delegate_core::Secret;
use delegate_core::manager::identity::Wanted;
use delegate_core::manager::store::Target;
use delegate_core::manager::{Manager, Settings};
use delegate_core::protocol::http::Http;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{PATIENCE, TOKEN};

pub(crate) const API_KEY: &str = "api-key-of-the-test";

/// A manager on SQLite. It is stopped when dropped, at the latest with its runtime.
pub(crate) struct RealManager {
    pub(crate) url: String,
    pub(crate) port: u16,
    client: Client,
    _stop: oneshot::Sender<()>,
    _dir: tempfile::TempDir,
}

impl RealManager {
    pub(crate) async fn start() -> Self {
        Self::start_on(IpAddr::V4(Ipv4Addr::LOCALHOST)).await
    }

    /// One that listens there; the test itself talks to it over the loopback.
    pub(crate) async fn start_on(address: IpAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manager = Manager::start(Settings {
            listen: (address, 0).into(),
            target: Target::Directory(dir.path().to_owned()),
            wanted: Wanted {
                account_id: Some("acc".parse().unwrap()),
                delegate_token: Some(TOKEN.parse().unwrap()),
                api_key: Some(Secret::new(API_KEY)),
            },
        })
        .await
        .unwrap();
        let port = manager.address().port();
        let url = format!("http://127.0.0.1:{port}");
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(manager.run(async {
            let _ = stopped.await;
        }));
        Self {
            client: Http::default().for_url(&url.parse().unwrap()).unwrap(),
            url,
            port,
            _stop: stop,
            _dir: dir,
        }
    }

    /// A call with the API key; the path is below the manager's root.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .header("x-api-key", API_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    pub(crate) async fn submit(&self, kind: &str, data: Value) -> String {
        self.submit_to(json!([]), kind, data).await
    }

    /// A task for delegates that have all of these selectors.
    pub(crate) async fn submit_to(&self, selectors: Value, kind: &str, data: Value) -> String {
        let task = json!({"type": kind, "data": data, "selectors": selectors});
        let reply = self.call(Method::POST, "/api/v1/tasks", Some(task)).await;
        reply["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/api/v1/tasks/{id}"), None).await
    }

    /// The task once it is over.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let look = async {
            loop {
                let task = self.task(id).await;
                if !["QUEUED", "RUNNING"].contains(&task["status"].as_str().unwrap()) {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .expect("the task does not end")
    }

    /// The text of a task's log.
    pub(crate) async fn log(&self, id: &str) -> String {
        let path = format!("/api/v1/tasks/{id}/logs");
        let lines = self.client.get(format!("{}{path}", self.url));
        let text = lines.header("x-api-key", API_KEY).send().await.unwrap();
        let text = text.text().await.unwrap();
        let line = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["out"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        text.lines().map(line).collect()
    }
}
