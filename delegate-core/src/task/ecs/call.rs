//! Calls of ECS, for one service in one cluster.

use serde_json::{Map, Value, json};

use crate::aws::{Aws, AwsError, ECS};
use crate::task::halt::Halt;

/// Of the tasks of a service that were stopped, so many are looked at: they mostly stop for the same reason.
const LOOKED_AT: u64 = 5;

/// A service, by its name in its cluster.
pub(super) struct Service<'t> {
    pub(super) aws: &'t Aws,
    pub(super) cluster: &'t str,
    pub(super) name: &'t str,
}

/// What ECS says of a service.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) task_definition: String,
    pub(super) desired: u64,
    pub(super) running: u64,
    pub(super) pending: u64,
    /// The newest first.
    pub(super) deployments: Vec<Deployment>,
    /// The newest first.
    pub(super) events: Vec<Event>,
    /// `ECS`, unless others deploy it.
    pub(super) controller: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Deployment {
    pub(super) id: String,
    /// The one that the service is to come to.
    pub(super) is_primary: bool,
    /// `IN_PROGRESS`, `COMPLETED`, `FAILED`; of old services, nothing.
    pub(super) rollout: String,
    pub(super) reason: String,
    pub(super) failed_tasks: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) message: String,
}

impl State {
    fn of(service: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Self {
            task_definition: text(&service["taskDefinition"]),
            desired: number(&service["desiredCount"]),
            running: number(&service["runningCount"]),
            pending: number(&service["pendingCount"]),
            deployments: list(&service["deployments"])
                .iter()
                .map(|deployment| Deployment {
                    id: text(&deployment["id"]),
                    is_primary: deployment["status"] == "PRIMARY",
                    rollout: text(&deployment["rolloutState"]),
                    reason: text(&deployment["rolloutStateReason"]),
                    failed_tasks: number(&deployment["failedTasks"]),
                })
                .collect(),
            events: list(&service["events"])
                .iter()
                .map(|event| Event {
                    id: text(&event["id"]),
                    message: text(&event["message"]),
                })
                .collect(),
            controller: match service["deploymentController"]["type"].as_str() {
                Some(controller) => controller.to_owned(),
                None => "ECS".to_owned(),
            },
        }
    }

    /// That ECS itself deploys it: of others, it can be told nothing.
    pub(super) fn is_ours(&self, name: &str) -> Result<(), Halt> {
        if self.controller == "ECS" {
            return Ok(());
        }
        Err(Halt::failed(format!(
            "service {name} is deployed by {}, and not by ECS itself",
            self.controller
        )))
    }

    /// The deployment that the service is to come to.
    pub(super) fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.is_primary)
    }
}

impl Service<'_> {
    /// How it is; `None` when there is none.
    pub(super) async fn look(&self) -> Result<Option<State>, AwsError> {
        let asked = json!({"cluster": self.cluster, "services": [self.name]});
        let reply = self.aws.json(&ECS, "DescribeServices", &asked).await?;
        // One that was deleted is shown for some time.
        let there = reply["services"]
            .as_array()
            .and_then(|services| services.first())
            .filter(|service| service["status"] != "INACTIVE");
        Ok(there.map(State::of))
    }

    /// Tells it what to be, and returns how it is then.
    pub(super) async fn update(&self, fields: Value) -> Result<State, AwsError> {
        let mut asked = fields;
        asked["cluster"] = json!(self.cluster);
        asked["service"] = json!(self.name);
        let reply = self.aws.json(&ECS, "UpdateService", &asked).await?;
        Ok(State::of(&reply["service"]))
    }

    /// Makes it. `token`: with the same one, it is made once.
    pub(super) async fn create(
        &self,
        fields: &Map<String, Value>,
        task_definition: &str,
        token: &str,
    ) -> Result<State, AwsError> {
        let mut asked = fields.clone();
        asked.insert("cluster".to_owned(), json!(self.cluster));
        asked.insert("serviceName".to_owned(), json!(self.name));
        asked.insert("taskDefinition".to_owned(), json!(task_definition));
        asked.insert("clientToken".to_owned(), json!(token));
        let reply = self
            .aws
            .json(&ECS, "CreateService", &Value::Object(asked))
            .await?;
        Ok(State::of(&reply["service"]))
    }

    /// Why tasks of it were stopped lately: a sentence for each reason. Nothing when ECS does not tell.
    pub(super) async fn why_stopped(&self) -> Result<Vec<String>, AwsError> {
        let asked = json!({
            "cluster": self.cluster, "serviceName": self.name, "desiredStatus": "STOPPED", "maxResults": LOOKED_AT,
        });
        let listed = self.aws.json(&ECS, "ListTasks", &asked).await?;
        let arns = listed["taskArns"].as_array().cloned().unwrap_or_default();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let asked = json!({"cluster": self.cluster, "tasks": arns});
        let described = self.aws.json(&ECS, "DescribeTasks", &asked).await?;
        let mut reasons = Vec::new();
        for task in described["tasks"].as_array().into_iter().flatten() {
            let mut reason = task["stoppedReason"].as_str().unwrap_or_default().to_owned();
            for container in task["containers"].as_array().into_iter().flatten() {
                let name = container["name"].as_str().unwrap_or_default();
                if let Some(code) = container["exitCode"].as_i64().filter(|code| *code != 0) {
                    reason.push_str(&format!("; container {name} exited with {code}"));
                }
                if let Some(why) = container["reason"].as_str() {
                    reason.push_str(&format!("; container {name}: {why}"));
                }
            }
            let reason = reason.trim_start_matches("; ").to_owned();
            if !reason.is_empty() && !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        Ok(reasons)
    }
}
