//! `ECS_RESTART`: replaces the tasks of a service by new ones of the same definition.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Service, State};
use super::steady::{End, Watch};
use super::{DEFAULT_CLUSTER, Wait, check_name};
use crate::Secret;
use crate::task::allowance::Allowance;
use crate::task::aws::AwsAccess;
use crate::task::halt::Halt;
use crate::task::{
    About, Level, LogWriter, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate,
};

/// The kind `ECS_RESTART`.
pub struct EcsRestart;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Which AWS.
    #[serde(default)]
    aws: AwsAccess,
    /// Cluster, by name or ARN. Default: `default`.
    cluster: Option<String>,
    /// Service, by name or ARN. ECS itself must deploy it, not CodeDeploy or another controller.
    service: String,
    /// How long it is waited until the service is steady.
    #[serde(default)]
    wait: Wait,
}

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// ARN of the task definition that the service runs.
    task_definition: String,
    /// Id of the deployment that replaces the tasks.
    deployment: String,
    /// Tasks that there are to be.
    desired: u64,
    /// Tasks that ran when the task ended.
    running: u64,
    /// What ECS told of the service meanwhile, the oldest first, at most 50.
    events: Vec<String>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.aws.secrets()
    }

    fn check(&self) -> Result<(), TaskError> {
        self.aws.check("aws")?;
        if let Some(cluster) = &self.cluster {
            check_name("cluster", cluster)?;
        }
        check_name("service", &self.service)?;
        self.wait.check()
    }
}

#[async_trait]
impl TaskKind for EcsRestart {
    fn type_name(&self) -> &'static str {
        "ECS_RESTART"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Replaces the tasks of a service of Amazon ECS by new ones of the same definition, and waits until it is steady.",
            "Safe: the tasks are replaced once more, as carefully as the service's settings say.",
            json!({
                "aws": {"region": "eu-central-1"},
                "cluster": "production",
                "service": "shop",
                "wait": {"timeout": "10m"},
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn needs_directory(&self) -> bool {
        false
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let aws = data.aws.client("aws", &context)?;
        let service = Service {
            aws: &aws,
            cluster: data.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER),
            name: &data.service,
        };
        let mut fields = Fields::default();
        let doing = "restarting; ECS goes on with what it was told";
        let work = restart(&service, data.wait, &context.log, &mut fields);
        let ended = allowance.outcome_of(doing, work).await?;
        let vars = [("deployment".to_owned(), fields.deployment.clone())];
        Ok(ended.with_vars(vars.into()).with_fields(&fields))
    }
}

async fn restart(
    service: &Service<'_>,
    wait: Wait,
    log: &LogWriter,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let Service { cluster, name, .. } = service;
    let Some(before) = service.look().await? else {
        return Err(Halt::failed(format!(
            "there is no service {name} in cluster {cluster}; correct `service`, `cluster` or the region"
        )));
    };
    before.is_ours(name)?;
    let now = service.update(json!({"forceNewDeployment": true})).await?;
    let note = |fields: &mut Fields, state: &State| {
        fields.desired = state.desired;
        fields.running = state.running;
    };
    fields.task_definition.clone_from(&now.task_definition);
    note(fields, &now);
    log.line(Level::Info, &format!("service {name} replaces its tasks"))
        .await;
    let mut watch = Watch::new(service, log, Some(&before), &now);
    watch.deployment().clone_into(&mut fields.deployment);
    let end = watch.end(wait.patience()).await;
    fields.events = watch.events;
    match end? {
        End::Steady(state) => {
            note(fields, &state);
            Ok(())
        }
        End::Not(state, reason) => {
            note(fields, &state);
            let reason = format!("service {name} was told to replace its tasks, and {reason}");
            log.line(Level::Error, &reason).await;
            Err(Halt::failed(reason))
        }
    }
}
