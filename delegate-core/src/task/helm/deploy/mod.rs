//! `HELM_DEPLOY`: brings a release to a chart and values, and says how it stands.
//!
//! Before, a release is put in order that a crash left in the middle of an operation, or whose first installation failed:
//! helm itself refuses both. After a failure the release goes back to its last good revision, or away when there was none,
//! unless the data says otherwise. What is not ready is looked at before that, so that the reason is told.
//!
//! Secrets in values come in a file of mode 0600. Helm keeps them in the cluster, in the Secret of the release.

mod data;
mod release;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::program::{Helm, said};
use crate::process::Environment;
use crate::protocol::wire::CommandStatus;
use crate::task::allowance::Allowance;
use crate::task::files::write_private;
use crate::task::halt::Halt;
use crate::task::workspace::{self, Place};
use crate::task::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use data::{Action, Data, OnFailure};
use release::Release;
use report::{Report, Workload};

/// The kind `HELM_DEPLOY`.
pub struct HelmDeploy;

#[derive(Debug, Default, Serialize, JsonSchema)]
struct Fields {
    /// Name of the release.
    release: String,
    /// Its namespace.
    namespace: String,
    /// The revision that it is at; null where there is none.
    revision: Option<u32>,
    /// What helm says of it, such as `deployed`; null where there is no release.
    status: Option<String>,
    /// Name of the chart.
    chart: Option<String>,
    /// Version of the chart.
    chart_version: Option<String>,
    /// Version of what the chart deploys.
    app_version: Option<String>,
    /// The chart's notes.
    notes: Option<String>,
    /// How the release's workloads stand; after a failure, as they stood then.
    workloads: Vec<Workload>,
    /// Why pods do not run, one line each.
    problems: Vec<String>,
    /// The revision that it was brought back to after a failure, or by `rollback`.
    rolled_back_to: Option<u32>,
    /// Whether the release was removed: by `uninstall`, or because its first installation failed.
    uninstalled: bool,
    /// What an earlier operation had left and was put in order first.
    recovered: Option<String>,
}

#[async_trait]
impl TaskKind for HelmDeploy {
    fn type_name(&self) -> &'static str {
        "HELM_DEPLOY"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Installs or upgrades a release of a Helm chart, waits until it is ready, and takes it back when that fails.",
            "Safe: the same chart and values make a new revision with nothing changed, and what a crash left is put in order \
             first. `uninstall` of what is not there does nothing. `rollback` without a revision goes back further each time.",
            json!({
                "release": "shop",
                "namespace": "shop",
                "create_namespace": true,
                "chart": {"oci": {
                    "url": "oci://registry.example.com/charts/shop",
                    "version": "1.4.2",
                    "login": {"user": "robot", "password": "<+secrets.getValue(\"account.registry\")>"},
                }},
                "values": {"replicas": 2},
                "secret_values": {"database.password": "<+secrets.getValue(\"account.database\")>"},
                "timeout": "5m",
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        super::check(environment)
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let mut fields = Fields {
            release: data.release.clone(),
            namespace: data.namespace().to_owned(),
            ..Fields::default()
        };
        match work(&data, &context, &allowance, &mut fields).await {
            Ok(()) => Ok(TaskOutput::success()
                .with_vars(vars(&fields))
                .with_fields(&fields)),
            Err(Halt::Output(mut output)) => {
                if matches!(output.status, CommandStatus::Aborted | CommandStatus::Timeout)
                    && let Some(reason) = &mut output.error_message
                {
                    reason.push_str(
                        "; the release stays as it is now, and the next task puts it in order where that is needed",
                    );
                }
                Ok(output.with_fields(&fields))
            }
            Err(Halt::Error(error)) => Err(error),
        }
    }
}

async fn work(
    data: &Data,
    context: &TaskContext,
    allowance: &Allowance,
    fields: &mut Fields,
) -> Result<(), Halt> {
    let mut helm = Helm::find(context, allowance).await?;
    helm.kubeconfig = data.cluster.lay_out(context).await?;
    helm.options = vec!["--namespace".to_owned(), data.namespace().to_owned()];
    if let Some(context) = &data.cluster.context {
        helm.options
            .extend(["--kube-context".to_owned(), context.clone()]);
    }
    let key = format!(
        "helm release {}/{} in {:?}",
        data.namespace(),
        data.release,
        data.cluster.context
    );
    let _alone = allowance
        .within(
            "waiting for another task on this release",
            workspace::alone(PathBuf::from(key)),
        )
        .await?;
    let release = Release::new(&helm, data);
    match data.command {
        Action::Deploy => deploy(&release, data, fields).await?,
        Action::Rollback => {
            let to = release.roll_back_on_request(data.revision).await?;
            fields.rolled_back_to = Some(to);
        }
        Action::Uninstall => {
            fields.uninstalled = release.uninstall_if_there().await?;
            return Ok(());
        }
    }
    look(&release, fields).await
}

/// The release as it is.
async fn look(release: &Release<'_>, fields: &mut Fields) -> Result<(), Halt> {
    let report = release.report().await?;
    take(report, fields);
    let metadata = release.metadata().await?;
    fields.chart = Some(metadata.chart);
    fields.chart_version = Some(metadata.version);
    fields.app_version = Some(metadata.app_version);
    let said = format!(
        "{} is at revision {} of chart {} {}: {}",
        fields.release,
        fields.revision.unwrap_or_default(),
        fields.chart.as_deref().unwrap_or_default(),
        fields.chart_version.as_deref().unwrap_or_default(),
        Workload::said(&fields.workloads),
    );
    release.context().log.line(Level::Info, &said).await;
    Ok(())
}

fn take(report: Report, fields: &mut Fields) {
    fields.revision = Some(report.revision);
    fields.status = Some(report.status);
    fields.notes = report.notes;
    fields.workloads = report.workloads;
    fields.problems = report.problems;
}

fn vars(fields: &Fields) -> BTreeMap<String, String> {
    [
        ("release", Some(fields.release.clone())),
        ("revision", fields.revision.map(|revision| revision.to_string())),
        ("chart_version", fields.chart_version.clone()),
        ("app_version", fields.app_version.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

async fn deploy(release: &Release<'_>, data: &Data, fields: &mut Fields) -> Result<(), Halt> {
    let helm = release.helm;
    let context = helm.context();
    let Some(source) = &data.chart else {
        return Err(TaskError::data("chart", "is missing").into());
    };
    let mut args = vec!["upgrade".to_owned(), "--install".to_owned(), data.release.clone()];
    args.extend(source.lay_out(helm).await?);
    args.extend(release.waiting());
    args.extend(["--history-max".to_owned(), data.max_history().to_string()]);
    args.extend(data.create_namespace.then(|| "--create-namespace".to_owned()));
    for file in value_files(data, context).await? {
        args.extend(["--values".to_owned(), file.to_string_lossy().into_owned()]);
    }
    let before = release.history().await?;
    fields.recovered = release.recover(&before).await?;
    let doing = "deploying the release";
    let Err(complaint) = helm.run(helm.command(&args), doing).await? else {
        return Ok(());
    };
    let mut reason = said(doing, &complaint);
    let after = release.history().await?;
    let newest = |history: &[release::Revision]| history.last().map(|newest| newest.number);
    if after.is_empty() || (newest(&after) == newest(&before) && fields.recovered.is_none()) {
        reason.push_str("; nothing was changed");
        return Err(Halt::failed(reason));
    }
    take(release.report().await?, fields);
    for problem in &fields.problems {
        context.log.line(Level::Error, problem).await;
    }
    if let Some(problem) = fields.problems.first() {
        reason.push_str("; ");
        reason.push_str(problem);
    }
    reason.push_str("; ");
    reason.push_str(&match data.on_failure() {
        OnFailure::Keep => "the release stays as it is".to_owned(),
        OnFailure::Rollback => take_back(release, &after, fields).await?,
    });
    Err(Halt::failed(reason))
}

/// Says what was done about a release that failed.
async fn take_back(
    release: &Release<'_>,
    after: &[release::Revision],
    fields: &mut Fields,
) -> Result<String, Halt> {
    let Some(good) = release::last_good(after) else {
        return Ok(match release.uninstall().await? {
            Ok(()) => {
                fields.uninstalled = true;
                "as there was no good revision before, the release was uninstalled".to_owned()
            }
            Err(complaint) => said(
                "uninstalling it, as there was no good revision before,",
                &complaint,
            ),
        });
    };
    Ok(match release.roll_back(good).await? {
        Ok(()) => {
            fields.rolled_back_to = Some(good);
            fields.revision = release
                .history()
                .await?
                .last()
                .map(|newest| newest.number)
                .or(fields.revision);
            fields.status = Some("deployed".to_owned());
            format!("the release was rolled back to revision {good}")
        }
        Err(complaint) => said(&format!("rolling back to revision {good}"), &complaint),
    })
}

/// The files of values, in the order in which later ones count.
async fn value_files(data: &Data, context: &TaskContext) -> Result<Vec<PathBuf>, TaskError> {
    let field = "value_files";
    let mut files = Vec::new();
    for file in &data.value_files {
        let place = Place::of(field, workspace::read(field, file)?, context.workspace.as_deref())?;
        files.push(place.path().to_owned());
    }
    for (name, values) in [
        ("values.json", Value::Object(data.values.clone())),
        ("secret-values.json", data.secret_tree()),
    ] {
        if values.as_object().is_some_and(|values| !values.is_empty()) {
            let file = context.work_dir.join(name);
            let text = values.to_string();
            write_private(&file, &text, context.confinement.user.as_ref()).await?;
            files.push(file);
        }
    }
    Ok(files)
}
