//! The owner's own service that is asked before each task and told after it (`ZTS_*`).
//!
//! Where it is enforced, a task that it denies, or about which it cannot be asked, does not run and is answered as failed
//! with that reason; a result that it objects to, or of which it cannot be told, is withheld. Where it is not, both are
//! only logged. Each call is bounded in time and repeated a bounded number of times when it has no answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{info, warn};
use url::Url;

use crate::config::{AccountId, ZeroTrust};
use crate::protocol::http::{Http, chain};
use crate::protocol::wire::TaskResponse;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Largest reply read.
const MAX_REPLY: usize = 64 * 1024;

/// What the service is told of a task.
#[derive(Debug)]
pub(super) struct Package<'a> {
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) delegate_id: &'a str,
    /// Milliseconds; 0 when the task brings none.
    pub(super) timeout: u64,
    pub(super) is_async: bool,
    pub(super) data: &'a Value,
    pub(super) log_key: &'a str,
    pub(super) abstractions: Value,
}

/// The service.
#[derive(Debug)]
pub(super) struct Gate {
    settings: ZeroTrust,
    http: Arc<Http>,
    account_id: AccountId,
}

impl Gate {
    pub(super) fn new(settings: ZeroTrust, http: Arc<Http>, account_id: AccountId) -> Self {
        Self {
            settings,
            http,
            account_id,
        }
    }

    /// Whether a task may run. The error says why not.
    pub(super) async fn verify(&self, task: &Package<'_>) -> Result<(), String> {
        let data = json!({
            "parked": false,
            "async": task.is_async,
            "taskType": task.kind,
            "parameters": [task.data],
            "timeout": task.timeout,
        });
        let body = json!({
            "taskPackage": {
                "delegateTaskId": task.id,
                "accountId": self.account_id.as_str(),
                "delegateId": task.delegate_id,
                "delegateInstanceId": task.delegate_id,
                "data": data,
                "logStreamingAbstractions": task.abstractions,
                "baseLogKey": task.log_key,
            },
            "decodedPayload": {"kind": task.kind, "source": "json", "payload": task.data, "error": null},
        });
        let verdict = match self.call("verify", &body).await {
            Ok(reply) if reply["allowed"] == true => return Ok(()),
            Ok(reply) if reply["allowed"] == false => {
                let reason = reply["reason"].as_str().unwrap_or("it gives no reason");
                format!("the zero trust service denies the task: {reason}")
            }
            Ok(_) => {
                "the zero trust service did not say whether the task is allowed; check ZTS_URL".to_owned()
            }
            Err(problem) => format!("the zero trust service could not be asked about the task: {problem}"),
        };
        self.enforce(verdict)
    }

    /// Tells how a task ended. The error says why its answer is withheld.
    pub(super) async fn output(&self, response: &TaskResponse) -> Result<(), String> {
        let body = json!({
            "taskId": response.id,
            "taskResponse": {
                "accountId": self.account_id.as_str(),
                "taskTypeName": response.kind,
                "responseCode": response.code,
                "response": response.data,
            },
        });
        let verdict = match self.call("output", &body).await {
            Ok(reply) => match reply["error"].as_str().filter(|error| !error.is_empty()) {
                None => return Ok(()),
                Some(error) => format!("the zero trust service objects to the result: {error}"),
            },
            Err(problem) => format!("the zero trust service could not be told the result: {problem}"),
        };
        self.enforce(verdict)
    }

    fn enforce(&self, verdict: String) -> Result<(), String> {
        if self.settings.enforce {
            info!(verdict, "the zero trust service holds the task up");
            return Err(verdict);
        }
        warn!(verdict, "ZTS_ENFORCE is false: going on all the same");
        Ok(())
    }

    async fn call(&self, what: &str, body: &Value) -> Result<Value, String> {
        let mut url = self.settings.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", what]);
        }
        let mut attempts = 0;
        loop {
            let problem = match tokio::time::timeout(self.settings.timeout, self.send(&url, body)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(problem)) => problem,
                Err(_) => format!("no answer within {} s", self.settings.timeout.as_secs()),
            };
            if attempts == self.settings.retries {
                return Err(format!("{url}: {problem} ({} attempts)", attempts + 1));
            }
            attempts += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send(&self, url: &Url, body: &Value) -> Result<Value, String> {
        let client = self.http.for_url(url).map_err(|error| error.to_string())?;
        let sent = client.post(url.clone()).json(body).send().await;
        let mut reply = sent.map_err(|error| chain(&error.without_url()))?;
        if !reply.status().is_success() {
            return Err(format!("it answers {}", reply.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| chain(&error.without_url()))? {
            if text.len() + chunk.len() > MAX_REPLY {
                return Err(format!("its answer is larger than {MAX_REPLY} bytes"));
            }
            text.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&text).map_err(|_| "its answer is no JSON".to_owned())
    }
}

/// What is answered when a result is withheld.
pub(super) fn withheld(response: &TaskResponse, why: String) -> TaskResponse {
    TaskResponse::failed(&response.id, &response.kind, why)
}
