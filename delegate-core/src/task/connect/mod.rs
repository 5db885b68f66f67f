//! `CONNECT`: whether a connection works, and who one is at its other end.
//!
//! Data: `{to: {aws | azure | gcp | kubernetes | git | registry | nexus | database | ssh: {…}}}`. Result: the common fields,
//! `identity`, `found` and `failed`; `identity` and what was found are output variables too.
//!
//! What is asked changes nothing, and is what anybody may ask who is let in. Each target is a file that knows how to ask;
//! `task/refusal` knows how far a connection came that does not work, and what to do then. A target that says no is an
//! outcome, not an error of the delegate.

mod aws;
mod azure;
#[cfg(feature = "sql")]
mod database;
mod gcp;
mod git;
mod kubernetes;
mod nexus;
mod registry;
mod ssh;

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::aws::AwsAccess;
use super::cluster::Cluster;
use super::git_clone::Repository;
use super::halt::Halt;
use super::refusal::{Met, Stage, Stop};
use super::ssh::SshHost;
use super::{About, Level, Secrets, TaskContext, TaskData, TaskError, TaskKind, TaskOutput, validate};
use crate::Secret;
use crate::protocol::wire::CommandStatus;

/// Who one is where nobody logs in.
const ANYBODY: &str = "anonymous";

/// The kind `CONNECT`.
pub struct Connect;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Data {
    /// What to connect to, and as whom.
    to: To,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum To {
    /// Amazon Web Services, asked by STS.
    Aws(Box<AwsAccess>),
    /// Microsoft Azure, by a token that is asked for.
    Azure(azure::Azure),
    /// Google Cloud, by a token that is asked for.
    Gcp(gcp::Gcp),
    /// A cluster, by `kubectl`.
    Kubernetes(Cluster),
    /// A repository that is to be read, by `git`.
    Git(Repository),
    /// A registry of images and charts.
    Registry(registry::ImageRegistry),
    /// Nexus Repository.
    Nexus(nexus::Nexus),
    /// A database of PostgreSQL or SQLite.
    #[cfg(feature = "sql")]
    Database(super::sql::DatabaseAccess),
    /// A host over ssh, with `sh` on it.
    Ssh(SshHost),
}

/// Something to connect to. `field` is its own path in the data.
#[async_trait]
trait Target: Send + Sync {
    fn secrets(&self) -> Vec<Secret>;

    fn check(&self, field: &str) -> Result<(), TaskError>;

    /// Connects, and asks who one is.
    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting>;
}

/// What a connection showed.
struct Meeting {
    identity: String,
    found: Found,
}

/// What was found, by what was connected to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Found {
    /// Who one is in AWS.
    Aws(aws::AwsFound),
    /// Who one is in Azure, by the token that was given.
    Azure(azure::AzureFound),
    /// Who one is in Google Cloud.
    Gcp(gcp::GcpFound),
    /// Who one is in the cluster.
    Kubernetes(kubernetes::KubernetesFound),
    /// The repository.
    Git(git::GitFound),
    /// The registry.
    Registry(registry::RegistryFound),
    /// Nexus, as far as one sees it.
    Nexus(nexus::NexusFound),
    /// The database.
    #[cfg(feature = "sql")]
    Database(database::DatabaseFound),
    /// Who one is on the host, and the host.
    Ssh(ssh::SshFound),
}

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// Who one is there; `anonymous` where one may be nobody. Null when there is no connection.
    identity: Option<String>,
    /// What was found there. Each of its texts and numbers is an output variable of its name.
    found: Option<Found>,
    /// What did not work; null when all did.
    failed: Option<Stage>,
}

impl To {
    fn target(&self) -> (&'static str, &dyn Target) {
        match self {
            Self::Aws(target) => ("to.aws", &**target),
            Self::Azure(target) => ("to.azure", target),
            Self::Gcp(target) => ("to.gcp", target),
            Self::Kubernetes(target) => ("to.kubernetes", target),
            Self::Git(target) => ("to.git", target),
            Self::Registry(target) => ("to.registry", target),
            Self::Nexus(target) => ("to.nexus", target),
            #[cfg(feature = "sql")]
            Self::Database(target) => ("to.database", target),
            Self::Ssh(target) => ("to.ssh", target),
        }
    }
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        self.to.target().1.secrets()
    }

    fn check(&self) -> Result<(), TaskError> {
        let (field, target) = self.to.target();
        target.check(field)
    }
}

#[async_trait]
impl TaskKind for Connect {
    fn type_name(&self) -> &'static str {
        "CONNECT"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Says whether a connection works and who one is at its other end: a cloud, a cluster, a repository, a registry, Nexus, a \
             database or a host.",
            "Safe: it only asks, and changes nothing.",
            json!({"to": {"aws": {
                "region": "eu-central-1",
                "credentials": {"keys": {
                    "access_key_id": "AKIAEXAMPLE",
                    "secret_access_key": "<+secrets.getValue(\"account.aws-key\")>",
                }},
                "role": {"arn": "arn:aws:iam::123456789012:role/deploy"},
            }}}),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let (field, target) = data.to.target();
        let meeting = allowance
            .within("connecting", target.meet(field, &context))
            .await
            .map_err(Stop::from)
            .flatten();
        match meeting {
            Ok(Meeting { identity, found }) => {
                let said = format!("connected as {identity}");
                context.log.line(Level::Info, &said).await;
                let fields = Fields {
                    identity: Some(identity),
                    found: Some(found),
                    failed: None,
                };
                Ok(TaskOutput::success()
                    .with_vars(vars(&fields))
                    .with_fields(&fields))
            }
            Err(Stop::Refused(refusal)) => {
                context.log.line(Level::Error, &refusal.reason).await;
                let fields = Fields {
                    failed: Some(refusal.stage),
                    ..Fields::default()
                };
                let kind = field.trim_start_matches("to.");
                let reason = format!("{kind}: {}", refusal.reason);
                Ok(TaskOutput::not(CommandStatus::Failure, reason).with_fields(&fields))
            }
            Err(Stop::Halt(halt)) => Halt::outcome(Err(halt)),
        }
    }
}

/// The identity, and each text and number of what was found.
fn vars(fields: &Fields) -> BTreeMap<String, String> {
    let found = serde_json::to_value(&fields.found).unwrap_or_default();
    let facts = found.as_object().and_then(|found| found.values().next());
    let facts = facts.and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    facts
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .chain(fields.identity.clone().map(|who| ("identity".to_owned(), who)))
        .collect()
}
