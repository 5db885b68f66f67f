//! `ECS_DEPLOY`: gives a service a task definition, and sees to it that it runs.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::call::{Service, State};
use super::definition::{Definition, Wanted};
use super::steady::{End, Watch};
use super::{DEFAULT_CLUSTER, Wait, check_name};
use crate::Secret;
use crate::aws::Aws;
use crate::task::allowance::Allowance;
use crate::task::aws::AwsAccess;
use crate::task::halt::Halt;
use crate::task::{
    About, Level, LogWriter, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate,
};

/// The kind `ECS_DEPLOY`.
pub struct EcsDeploy;

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
    /// What it is to run.
    task_definition: Wanted,
    /// How many tasks. Default: as many as there are to be now.
    desired_count: Option<u32>,
    /// Makes the service when there is none: what ECS's `CreateService` takes besides the fields of this data, such as
    /// `{"launchType": "FARGATE", "networkConfiguration": {…}}`. Default: a service that is missing is an error.
    create: Option<Map<String, Value>>,
    /// Whether tasks are replaced even where nothing is changed. Default: false.
    #[serde(default)]
    force: bool,
    /// How long it is waited until the service is steady.
    #[serde(default)]
    wait: Wait,
    /// What becomes of a service that is not steady in time. Default: `roll_back`.
    on_failure: Option<OnFailure>,
}

/// What becomes of a service that is not steady in time.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnFailure {
    /// It is given the task definition that it had, and the number of tasks where `desired_count` has changed it.
    RollBack,
    /// It stays as it is.
    Keep,
}

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// ARN of the task definition that the service was given; null when it was given none.
    task_definition: Option<String>,
    /// ARN of the one that it had before; null when it had none.
    previous_task_definition: Option<String>,
    /// Whether the task definition was registered by this task.
    registered: bool,
    /// Whether the service was made by this task.
    created: bool,
    /// Id of the deployment.
    deployment: Option<String>,
    /// Tasks that there are to be, and that ran when the task ended.
    desired: u64,
    /// Tasks that ran when the task ended.
    running: u64,
    /// Whether the service was given back what it had before, and was steady with it.
    rolled_back: bool,
    /// What ECS told of the service meanwhile, the oldest first, at most 50 of each deployment.
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
        self.task_definition.check()?;
        self.wait.check()?;
        let Some(create) = &self.create else { return Ok(()) };
        if self.service.starts_with("arn:") {
            return Err(TaskError::data(
                "service",
                "must be a name, for `create` to make it",
            ));
        }
        if matches!(self.task_definition, Wanted::Change(_)) {
            return Err(TaskError::data(
                "task_definition.change",
                "changes what a service runs, and one that `create` makes runs nothing yet; use `register` or `existing`",
            ));
        }
        let ours = [
            ("cluster", "cluster"),
            ("serviceName", "service"),
            ("taskDefinition", "task_definition"),
            ("desiredCount", "desired_count"),
        ];
        for (name, field) in ours {
            if create.contains_key(name) {
                return Err(TaskError::data(
                    format!("create.{name}"),
                    format!("is the field `{field}` of this data"),
                ));
            }
        }
        if create.contains_key("clientToken") {
            return Err(TaskError::data("create.clientToken", "is set by the delegate"));
        }
        if self.desired_count.is_none() {
            return Err(TaskError::data(
                "desired_count",
                "is needed, for `create` to make the service",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl TaskKind for EcsDeploy {
    fn type_name(&self) -> &'static str {
        "ECS_DEPLOY"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Gives a service of Amazon ECS a task definition, waits until it is steady, and gives it back what it had when it is \
             not.",
            "Safe: a service that has what is asked for is only watched. `register` makes another revision each time.",
            json!({
                "aws": {
                    "region": "eu-central-1",
                    "role": {"arn": "arn:aws:iam::123456789012:role/deployer"},
                },
                "cluster": "production",
                "service": "shop",
                "task_definition": {"change": {"images": {"web": "registry.example.com/shop:1.4.2"}}},
                "wait": {"timeout": "10m"},
                "on_failure": "roll_back",
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
        let mut deployment = Deployment {
            service: Service {
                aws: &aws,
                cluster: data.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER),
                name: &data.service,
            },
            data: &data,
            log: &context.log,
            task_id: &context.task_id,
            fields: Fields::default(),
        };
        let doing = "deploying; the service stays as ECS was told last";
        let ended = allowance.outcome_of(doing, deployment.run(&aws)).await?;
        let fields = deployment.fields;
        let vars = [
            ("task_definition", &fields.task_definition),
            ("previous_task_definition", &fields.previous_task_definition),
            ("deployment", &fields.deployment),
        ];
        let vars = vars
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        Ok(ended.with_vars(vars.collect()).with_fields(&fields))
    }
}

/// A deployment under way, and what is known of it.
struct Deployment<'t> {
    service: Service<'t>,
    data: &'t Data,
    log: &'t LogWriter,
    task_id: &'t str,
    fields: Fields,
}

impl Deployment<'_> {
    async fn run(&mut self, aws: &Aws) -> Result<(), Halt> {
        let before = self.service.look().await?;
        self.look_at(before.as_ref())?;
        let current = before.as_ref().map(|state| &*state.task_definition);
        self.fields.previous_task_definition = current.filter(|arn| !arn.is_empty()).map(str::to_owned);
        let Definition { arn, is_new } = self.data.task_definition.make(aws, current).await?;
        self.fields.registered = is_new;
        let how = if is_new { "registered" } else { "there already" };
        self.say(format!("task definition {arn}, {how}")).await;

        let now = match &before {
            Some(_) => {
                let mut wanted = json!({"taskDefinition": arn, "forceNewDeployment": self.data.force});
                if let Some(count) = self.data.desired_count {
                    wanted["desiredCount"] = json!(count);
                }
                self.service.update(wanted).await?
            }
            None => self.create(&arn).await?,
        };
        self.fields.task_definition = Some(arn.clone());
        self.note(&now);
        let name = self.service.name;
        self.say(format!("service {name} is to run it")).await;
        let told = format!("service {name} was told to run {arn}, ");
        let reason = match self.watch(before.as_ref(), &now).await {
            Ok(None) => return Ok(()),
            Ok(Some(reason)) => reason,
            Err(error) => return Err(Halt::failed(format!("{told}and cannot be watched: {error}"))),
        };
        let failed = format!("{told}and {reason}");
        self.log.line(Level::Error, &failed).await;
        Err(Halt::failed(match before {
            None => format!("{failed}; the service was made, and stays"),
            Some(_) if self.data.on_failure == Some(OnFailure::Keep) => format!("{failed}; it stays so"),
            Some(before) if before.task_definition == arn && before.desired == self.fields.desired => {
                format!("{failed}; there is nothing else to go back to")
            }
            Some(before) => format!("{failed}; {}", self.roll_back(&before).await),
        }))
    }

    fn look_at(&self, before: Option<&State>) -> Result<(), Halt> {
        let Service { cluster, name, .. } = &self.service;
        match before {
            None if self.data.create.is_none() => Err(Halt::failed(format!(
                "there is no service {name} in cluster {cluster}; correct `service`, `cluster` or the region, or let `create` make it"
            ))),
            Some(state) => state.is_ours(name),
            None => Ok(()),
        }
    }

    async fn create(&mut self, arn: &str) -> Result<State, Halt> {
        let mut fields = self.data.create.clone().unwrap_or_default();
        fields.insert("desiredCount".to_owned(), json!(self.data.desired_count));
        // ECS takes 36 characters.
        let token: String = self
            .task_id
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(32)
            .collect();
        let state = self.service.create(&fields, arn, &token).await?;
        self.fields.created = true;
        Ok(state)
    }

    /// Waits until the service is steady; returns why it is not.
    async fn watch(
        &mut self,
        before: Option<&State>,
        now: &State,
    ) -> Result<Option<String>, crate::aws::AwsError> {
        let mut watch = Watch::new(&self.service, self.log, before, now);
        let end = watch.end(self.data.wait.patience()).await;
        let (deployment, events) = (watch.deployment().to_owned(), watch.events);
        self.fields.deployment.get_or_insert(deployment);
        self.fields.events.extend(events);
        match end? {
            End::Steady(state) => {
                self.note(&state);
                Ok(None)
            }
            End::Not(state, reason) => {
                self.note(&state);
                Ok(Some(reason))
            }
        }
    }

    /// Gives the service back what it had; returns how that went.
    async fn roll_back(&mut self, before: &State) -> String {
        let arn = &before.task_definition;
        self.say(format!("going back to {arn}")).await;
        let mut wanted = json!({"taskDefinition": arn});
        // Left alone otherwise: it may be what scales the service that changed it meanwhile.
        if self.data.desired_count.is_some() {
            wanted["desiredCount"] = json!(before.desired);
        }
        let now = match self.service.update(wanted).await {
            Ok(now) => now,
            Err(error) => return format!("it could not be given {arn} back: {error}"),
        };
        match self.watch(Some(before), &now).await {
            Ok(None) => {
                self.fields.rolled_back = true;
                format!("it was given {arn} back, and is steady")
            }
            Ok(Some(reason)) => format!("it was given {arn} back, and {reason}"),
            Err(error) => format!("it was given {arn} back, and cannot be watched: {error}"),
        }
    }

    fn note(&mut self, state: &State) {
        self.fields.desired = state.desired;
        self.fields.running = state.running;
    }

    async fn say(&self, text: String) {
        self.log.line(Level::Info, &text).await;
    }
}
