//! `TERRAFORM`: plans, applies and destroys a configuration by `terraform` or `tofu`.
//!
//! `data` is what is asked for; `cli` runs the program, with its settings, logins and variables in files of the task's own
//! directory; `plan` reads what a plan changes, and `apply` follows what is done of it; `outputs` reads the outputs.
//!
//! Every change is planned first, and then exactly that plan is applied: in one task, or in two with a saved plan
//! between them. The program's own folder (`.terraform`) is in the task's directory and goes with it: no selected
//! workspace, no backend's login stays behind for the next task. The lock file of providers stays beside the
//! configuration.
//!
//! An abort, or the end of the task's time, asks the program to stop by SIGINT, to itself alone: it lets what it is at come to
//! an end, writes the state and releases its lock. Only one that does not come back is ended.

mod apply;
mod cli;
mod data;
mod outputs;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::halt::Halt;
use super::workspace::{self, Place};
use super::{About, Level, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, validate};
use crate::process::Environment;
use apply::Applied;
use cli::Cli;
use data::{Action, Data, PROGRAMS};
use outputs::Outputs;
use plan::Summary;

/// What a plan is called that is saved without a name of its own.
const PLAN: &str = "delegate.tfplan";

/// The kind `TERRAFORM`.
pub struct Terraform;

#[derive(Default, Serialize, JsonSchema)]
struct Fields {
    /// The configuration's folder, as an absolute path.
    directory: String,
    /// The workspace; null where the configuration's own choice holds.
    workspace: Option<String>,
    /// What the plan changes; null where none was made or read.
    plan: Option<Summary>,
    /// Where `plan` saved it, as an absolute path.
    plan_file: Option<String>,
    /// What was done of it; null where nothing was to be applied.
    applied: Option<Applied>,
    /// The outputs that are not sensitive, as JSON.
    outputs: BTreeMap<String, Value>,
    /// The names of the outputs that are sensitive, whose values are not returned.
    sensitive_outputs: Vec<String>,
}

#[async_trait]
impl TaskKind for Terraform {
    fn type_name(&self) -> &'static str {
        "TERRAFORM"
    }

    fn about(&self) -> About {
        About::of::<Data, Fields>(
            "Plans, applies or destroys a configuration by `terraform` or `tofu`, and returns its outputs.",
            "Safe: what is as the configuration says is left alone, and an apply that failed half way goes on where it was. A \
             saved plan is applied once; the program refuses it after that.",
            json!({
                "command": "apply",
                "directory": "team/infrastructure",
                "backend": {"bucket": "team-state", "key": "app.tfstate", "region": "eu-central-1"},
                "variables": {"environment": "prod", "zones": ["a", "b"]},
                "secret_variables": {"database_password": "<+secrets.getValue(\"account.database\")>"},
                "lock_timeout": "1m",
            }),
        )
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        validate::<Data>(data, secrets)
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        match PROGRAMS
            .iter()
            .find_map(|(_, name)| environment.find_program(name))
        {
            Some(_) => Ok(()),
            None => Err("neither terraform nor tofu is in PATH".to_owned()),
        }
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        let data: Data = context.data()?;
        let folder = workspace::read("directory", &data.directory)?;
        let place = Place::of("directory", folder, context.workspace.as_deref())?;
        let mut fields = Fields {
            directory: place.path().to_string_lossy().into_owned(),
            workspace: data.workspace.clone(),
            ..Fields::default()
        };
        let worked = work(&data, &place, &context, &allowance, &mut fields).await;
        let worked = worked.map(|vars| TaskOutput::success().with_vars(vars));
        Ok(Halt::outcome(worked)?.with_fields(&fields))
    }
}

/// Returns the output variables; what came of it is in `fields`, also when it ends early.
async fn work(
    data: &Data,
    place: &Place,
    context: &TaskContext,
    allowance: &Allowance,
    fields: &mut Fields,
) -> Result<BTreeMap<String, String>, Halt> {
    let plan_file = plan_file(data, place, context)?;
    let var_files = var_files(data, context)?;
    place.enter(context.confinement.user.as_ref()).await?;
    let cli = Cli::lay_out(data, place, context, allowance).await?;
    let _alone = allowance
        .within("waiting for another task in the same folder", place.alone())
        .await?;
    cli.write_configuration(&data.files).await?;
    cli.init().await?;
    if let Some(workspace) = &data.workspace {
        cli.select(workspace).await?;
    }
    match data.command {
        Action::Output => {}
        Action::Plan => {
            cli.plan(&var_files, &plan_file).await?;
            let summary = plan::read(&cli, &plan_file).await?;
            context.log.line(Level::Info, &summary.said()).await;
            let vars = summary.vars(&plan_file);
            fields.plan = Some(summary);
            fields.plan_file = Some(plan_file.to_string_lossy().into_owned());
            return Ok(vars);
        }
        Action::Apply | Action::Destroy => {
            if data.plan.is_none() {
                cli.plan(&var_files, &plan_file).await?;
            }
            let summary = plan::read(&cli, &plan_file).await?;
            context.log.line(Level::Info, &summary.said()).await;
            let planned = summary.steps.clone();
            fields.plan = Some(summary);
            apply::apply(&cli, &plan_file, planned, &mut fields.applied).await?;
        }
    }
    let outputs = Outputs::read(&cli).await?;
    let vars = outputs.vars();
    fields.outputs = outputs.plain;
    fields.sensitive_outputs = outputs.sensitive;
    Ok(vars)
}

/// Where the plan is, or is to be: a plan that is applied at once is the task's own.
fn plan_file(data: &Data, place: &Place, context: &TaskContext) -> Result<PathBuf, TaskError> {
    match (&data.plan, data.command) {
        (Some(plan), _) => Ok(Place::of(
            "plan",
            workspace::read("plan", plan)?,
            context.workspace.as_deref(),
        )?
        .path()
        .to_owned()),
        (None, Action::Plan) => Ok(place.path().join(PLAN)),
        (None, _) => Ok(context.work_dir.join(PLAN)),
    }
}

fn var_files(data: &Data, context: &TaskContext) -> Result<Vec<PathBuf>, TaskError> {
    let workspace: Option<&Path> = context.workspace.as_deref();
    data.var_files
        .iter()
        .map(|file| {
            let path = workspace::read("var_files", file)?;
            Ok(Place::of("var_files", path, workspace)?.path().to_owned())
        })
        .collect()
}
