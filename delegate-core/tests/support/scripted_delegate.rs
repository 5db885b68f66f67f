//! A delegate that does what a test tells it, written with the protocol's own types and plain HTTP. It is no agent: it
//! runs nothing.

use std::sync::Arc;

use delegate_core::Secret;
use delegate_core::config::DelegateToken;
use delegate_core::protocol::token::mint;
use delegate_core::protocol::wire::{
    CommandStatus, DelegateParams, Envelope, LogLine, Registered, ResponseCode, Task, TaskEvent, TaskEvents,
    TaskResponse,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// A client that loads no certificates.
pub(crate) fn client() -> Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

pub(crate) fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A delegate under a test's control.
#[derive(Clone)]
pub(crate) struct ScriptedDelegate {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) token: DelegateToken,
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// What a delegate says of itself.
pub(crate) fn params(name: &str) -> DelegateParams {
    DelegateParams {
        delegate_name: name.to_owned(),
        delegate_type: "DOCKER".to_owned(),
        host_name: format!("host-{name}"),
        ng: true,
        polling_mode_enabled: true,
        heartbeat_as_object: true,
        supported_task_types: vec!["SHELL_SCRIPT".to_owned(), "NOOP".to_owned()],
        version: "1.0.0".to_owned(),
        ..DelegateParams::default()
    }
}

impl ScriptedDelegate {
    /// One that has not registered.
    pub(crate) fn new(url: &str, account: &str, token: &DelegateToken) -> Self {
        Self {
            id: String::new(),
            account: account.to_owned(),
            token: token.clone(),
            url: url.to_owned(),
            client: client(),
        }
    }

    /// One that has registered.
    pub(crate) async fn registered(
        url: &str,
        account: &str,
        token: &DelegateToken,
        said: DelegateParams,
    ) -> Self {
        let mut delegate = Self::new(url, account, token);
        let response = delegate.register(&said).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{}",
            response.text().await.unwrap()
        );
        let reply: Envelope<Registered> = response.json().await.unwrap();
        delegate.id = reply.resource.unwrap().delegate_id;
        delegate
    }

    pub(crate) fn bearer(&self, minted_at: i64) -> String {
        let jwe: Secret = mint(&self.account, &self.token, minted_at).unwrap();
        format!("Delegate {}", jwe.expose())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let and = if path.contains('?') { '&' } else { '?' };
        self.client
            .request(
                method,
                format!("{}{path}{and}accountId={}", self.url, self.account),
            )
            .header("authorization", self.bearer(seconds()))
    }

    pub(crate) async fn register(&self, said: &DelegateParams) -> Response {
        let said = DelegateParams {
            account_id: self.account.clone(),
            ..said.clone()
        };
        let path = "/api/agent/delegates/register";
        self.request(Method::POST, path).json(&said).send().await.unwrap()
    }

    pub(crate) async fn heartbeat(&self, said: &DelegateParams) -> Response {
        let said = DelegateParams {
            account_id: self.account.clone(),
            delegate_id: self.id.clone(),
            last_heart_beat: seconds() * 1000,
            ..said.clone()
        };
        let path = "/api/agent/delegates/heartbeat-with-polling";
        self.request(Method::POST, path).json(&said).send().await.unwrap()
    }

    pub(crate) async fn poll(&self, wait_ms: u64) -> Response {
        let path = format!("/api/agent/delegates/{}/task-events?waitMs={wait_ms}", self.id);
        self.request(Method::GET, &path).send().await.unwrap()
    }

    pub(crate) async fn events(&self, wait_ms: u64) -> Vec<TaskEvent> {
        let response = self.poll(wait_ms).await;
        assert_eq!(response.status(), StatusCode::OK);
        let events: TaskEvents = response.json().await.unwrap();
        events.delegate_task_events
    }

    pub(crate) async fn try_acquire(&self, task: &str) -> Response {
        let path = format!(
            "/api/agent/v2/delegates/{id}/tasks/{task}/acquire?delegateInstanceId={id}",
            id = self.id
        );
        self.request(Method::PUT, &path).send().await.unwrap()
    }

    pub(crate) async fn acquire(&self, task: &str) -> Task {
        let response = self.try_acquire(task).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{}",
            response.text().await.unwrap()
        );
        response.json().await.unwrap()
    }

    pub(crate) async fn respond(&self, task: &str, code: ResponseCode, data: Value) -> Response {
        let response = TaskResponse {
            id: task.to_owned(),
            data,
            kind: "NOOP".to_owned(),
            code,
        };
        let path = format!("/api/agent/v2/tasks/{task}/delegates/{}", self.id);
        self.request(Method::POST, &path)
            .json(&response)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn succeed(&self, task: &str) {
        let response = self
            .respond(task, ResponseCode::Ok, result(CommandStatus::Success))
            .await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{}",
            response.text().await.unwrap()
        );
    }

    /// A call to the log service for a task that was acquired.
    pub(crate) fn log(&self, method: Method, path: &str, task: &Task) -> RequestBuilder {
        self.client
            .request(method, format!("{}/log-service{path}", self.url))
            .query(&[("accountID", self.account.as_str()), ("key", &task.logging.key())])
            .header("x-harness-token", &task.logging.token)
    }

    pub(crate) async fn append(&self, task: &Task, lines: &[LogLine]) {
        let response = self
            .log(Method::PUT, "/stream", task)
            .json(lines)
            .send()
            .await
            .unwrap();
        assert_eq!(
            response.status(),
            StatusCode::NO_CONTENT,
            "{}",
            response.text().await.unwrap()
        );
    }

    pub(crate) async fn close_log(&self, task: &Task) {
        let response = self.log(Method::DELETE, "/stream", task).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
}

/// The common keys of a result.
pub(crate) fn result(status: CommandStatus) -> Value {
    json!({ "command_execution_status": status, "error_message": null, "output_vars": {} })
}

/// A log line with a time of its own.
pub(crate) fn line(pos: u64, out: &str) -> LogLine {
    LogLine {
        level: "info".to_owned(),
        pos,
        out: out.to_owned(),
        time: format!("2026-01-01T00:00:00.{pos:09}Z"),
        args: Value::Null,
    }
}
