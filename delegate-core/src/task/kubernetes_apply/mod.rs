//! `KUBERNETES_APPLY`: brings objects of a Kubernetes cluster to what manifests say.
//!
//! Data: `{name, manifests: {inline | files | kustomize}, namespace?, cluster?, dry_run?, prune?, force_conflicts?, wait?,
//! on_failure?, step?}`. Result: the common fields, `objects`, `rolled_back`, `dry_run` and `color`.
//!
//! The work is done by the `kubectl` program, by server-side apply with a field manager of ours: what others own of an
//! object stays theirs, and a field that both want is a conflict that is named. Then it is waited until Deployments,
//! StatefulSets and DaemonSets are rolled out; what is not ready, and why, goes to the log.
//!
//! What was applied under a `name` is written down in a Secret of the namespace *before* it is applied: the objects, for
//! `prune`, which removes exactly those that an earlier task of the name applied and this one does not have; and the
//! manifests that were good last, for `on_failure: rollback`, which applies them again. Two tasks with one name at a time
//! are not kept apart.
//!
//! A `step` goes ahead bit by bit instead: a canary, or two colors; see [`steps`]. What it makes is not written down: each step
//! finds it by its name.

mod data;
mod kubectl;
mod object;
mod record;
mod rollout;
mod steps;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::halt::Halt;
use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::process::Environment;
use data::{Data, OnFailure};
use kubectl::Kubectl;
use object::{Objects, Told};
use record::Record;
use steps::Color;

/// The kind `KUBERNETES_APPLY`.
pub struct KubernetesApply;

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// What was done, or with `dry_run` would be, object by object; what was not come to is not there.
    objects: Vec<Told>,
    /// Whether the manifests that were good last were applied again, and are rolled out.
    rolled_back: bool,
    /// Whether nothing was changed, because that was asked for.
    dry_run: bool,
    /// The color that a step deployed, or brought into use; null without. An output variable, too.
    color: Option<Color>,
}

#[async_trait]
impl TaskKind for KubernetesApply {
    fn type_name(&self) -> &'static str {
        "KUBERNETES_APPLY"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Applies manifests to a Kubernetes cluster, waits until they are rolled out, and prunes or rolls back on request.",
            "Safe: objects that are as the manifests say stay as they are. One that was cut off anywhere is completed by the next.",
            json!({
                "name": "shop",
                "manifests": {"files": {"paths": ["team/shop/kubernetes"]}},
                "namespace": "shop",
                "cluster": {"context": "prod"},
                "prune": true,
                "wait": "5m",
                "on_failure": "rollback",
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        match environment.find_program(kubectl::PROGRAM) {
            Some(_) => Ok(()),
            None => Err("the program kubectl is not in PATH".to_owned()),
        }
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let mut fields = Fields {
            dry_run: data.dry_run,
            ..Fields::default()
        };
        let worked = work(&data, &context, &allowance, &mut fields).await;
        let worked = worked.map(|()| {
            let color = fields
                .color
                .map(|color| ("color".to_owned(), color.name().to_owned()));
            TaskOutput::success().with_vars(color.into_iter().collect())
        });
        Ok(Halt::outcome(worked)?.with_fields(&fields))
    }
}

async fn work(
    data: &Data,
    context: &TaskContext,
    allowance: &Allowance,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let cluster = Kubectl::lay_out(data, context, allowance).await?;
    let wanted = cluster.read(&data.manifests).await?;
    if let Some(step) = &data.step {
        return steps::run(step, &cluster, &wanted, data, fields).await;
    }
    let record = Record::read(&cluster, &data.name).await?;
    let leftover = if data.prune {
        record.objects_without(&wanted)
    } else {
        Vec::new()
    };
    if data.dry_run {
        cluster.apply(&wanted, data, true, &mut fields.objects).await?;
        fields.objects.extend(leftover.iter().map(|id| id.told("pruned")));
        return Ok(());
    }
    record.remember(&cluster, &wanted).await?;
    let applied = async {
        cluster.apply(&wanted, data, false, &mut fields.objects).await?;
        rollout::wait(&cluster, &wanted, data.patience()).await
    };
    if let Err(halt) = applied.await {
        return Err(match (halt, data.on_failure) {
            (Halt::Output(output), OnFailure::Rollback) if output.status == FAILURE => {
                let reason = output.error_message.clone().unwrap_or_default();
                roll_back(&cluster, &record, &wanted, data, fields, &reason).await
            }
            (halt, _) => halt,
        });
    }
    for id in &leftover {
        cluster.delete(id).await?;
        fields.objects.push(id.told("pruned"));
    }
    record.set_good(&cluster, &wanted, data.prune).await
}

const FAILURE: crate::protocol::wire::CommandStatus = crate::protocol::wire::CommandStatus::Failure;

/// Applies what was good last, and removes what is new. Returns the outcome of the task, which has failed either way.
async fn roll_back(
    cluster: &Kubectl<'_>,
    record: &Record,
    wanted: &Objects,
    data: &Data,
    fields: &mut Fields,
    reason: &str,
) -> Halt {
    let Some(good) = record.good() else {
        return Halt::failed(format!(
            "{reason}; there is nothing to roll back to: nothing of the name {} was good before; what was applied stays",
            data.name
        ));
    };
    let log = &cluster.context().log;
    log.line(Level::Warn, reason).await;
    log.line(Level::Warn, "rolling back to what was good last").await;
    let mut told = Vec::new();
    let back = async {
        cluster.apply(good, data, false, &mut told).await?;
        rollout::wait(cluster, good, data.patience()).await?;
        for id in wanted.ids_without(good) {
            // What earlier tasks applied, and did not prune, is nothing new.
            if !record.knows(&id) {
                cluster.delete(&id).await?;
            }
        }
        record.write(cluster).await
    };
    match back.await {
        Ok(()) => {
            fields.rolled_back = true;
            Halt::failed(format!(
                "{reason}; what was good last is applied again, and rolled out"
            ))
        }
        Err(Halt::Output(output)) => Halt::failed(format!(
            "{reason}; rolling back failed too: {}; look at the objects, then run the task with manifests that are good",
            output.error_message.unwrap_or_default()
        )),
        Err(error) => error,
    }
}
