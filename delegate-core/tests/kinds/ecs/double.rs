//! A double of ECS that tells, one after another, the states that a test wants of the one service it has.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::access;

pub(super) struct Double {
    url: url::Url,
    told: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

struct Script {
    /// The last one stays.
    states: VecDeque<Value>,
    told: Arc<Mutex<Vec<String>>>,
}

/// A service of two tasks, with one deployment.
pub(super) fn state(deployment: &str, rollout: &str, running: u32, events: &[&str]) -> Value {
    let events: Vec<_> = events
        .iter()
        .map(|id| json!({"id": id, "message": format!("event {id}")}))
        .collect();
    json!({
        "status": "ACTIVE", "taskDefinition": "shop:1", "desiredCount": 2, "runningCount": running, "pendingCount": 2 - running,
        "events": events,
        "deployments": [
            {"id": deployment, "status": "PRIMARY", "rolloutState": rollout, "rolloutStateReason": "the reason", "failedTasks": 0},
        ],
    })
}

pub(super) fn steady(deployment: &str, running: u32) -> Value {
    state(deployment, "COMPLETED", running, &[])
}

impl Double {
    pub(super) async fn start(states: impl IntoIterator<Item = Value>) -> Self {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let script = Arc::new(Mutex::new(Script {
            states: states.into_iter().collect(),
            told: told.clone(),
        }));
        let routes = Router::new().fallback(move |request: Request| answer(request, script.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url: url.parse().unwrap(),
            told,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(super) fn data(&self, more: Value) -> Value {
        let mut data = json!({"aws": access(&self.url), "service": "shop", "wait": {"timeout": "90s"}});
        let Value::Object(more) = more else {
            panic!("{more} is no object");
        };
        for (name, value) in more {
            data[name] = value;
        }
        data
    }

    /// The task definitions that the service was told to run.
    pub(super) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

async fn answer(request: Request, script: Arc<Mutex<Script>>) -> Response {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    let (target, signature) = (header("x-amz-target"), header("authorization"));
    assert!(
        signature.contains(
            "/eu-central-1/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target"
        ),
        "{signature}"
    );
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let mut script = script.lock().unwrap();
    let reply = match target.rsplit('.').next().unwrap() {
        "DescribeServices" => {
            let state = script.next();
            if let Some(code) = state["error"].as_str() {
                let error = json!({"__type": code, "message": "as scripted"});
                return (StatusCode::BAD_REQUEST, axum::Json(error)).into_response();
            }
            json!({"services": [state]})
        }
        "UpdateService" => {
            let definition = asked["taskDefinition"].as_str().unwrap_or("the same");
            script.told.lock().unwrap().push(definition.to_owned());
            // The deployment that the next look finds has begun.
            json!({"service": script.states[0]})
        }
        "DescribeTaskDefinition" => {
            json!({"taskDefinition": {"taskDefinitionArn": asked["taskDefinition"]}})
        }
        "ListTasks" => json!({"taskArns": ["arn:aws:ecs:eu-central-1:123456789012:task/default/one"]}),
        "DescribeTasks" => json!({"tasks": [{
            "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "web", "exitCode": 137, "reason": "OutOfMemoryError"}, {"name": "log", "exitCode": 0}],
        }]}),
        other => panic!("{other} is not in the script"),
    };
    axum::Json(reply).into_response()
}

impl Script {
    fn next(&mut self) -> Value {
        if self.states.len() > 1 {
            self.states.pop_front().unwrap()
        } else {
            self.states[0].clone()
        }
    }
}
