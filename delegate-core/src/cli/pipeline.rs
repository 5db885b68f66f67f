//! `harness-delegate pipeline`: pipeline files. Asks no manager.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::api::{Failure, print, print_json, run_verb, say};
use crate::pipeline::{Faults, InputError, Level, Plan};
use crate::task::Registry;

/// Pipeline files.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Say everything that is wrong with a pipeline file, with line and column. Asks no manager, runs nothing.
    Validate(Validate),
}

#[derive(clap::Args)]
pub(super) struct Validate {
    /// The file.
    file: PathBuf,
    /// A value that the pipeline asks for, NAME=VALUE, or STAGE.NAME=VALUE for a variable of a stage. Looked at as well.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = assignment)]
    vars: Vec<(String, String)>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(command: Command) -> ExitCode {
    match command {
        Command::Validate(args) => run_verb(async { validate(args) }),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is written NAME=VALUE".to_owned()),
    }
}

fn validate(args: Validate) -> Result<ExitCode, Failure> {
    let text = read(&args.file)?;
    let (plan, faults) = match Plan::read(&text, &Registry::standard()) {
        Ok(plan) => (Some(plan), Faults::default()),
        Err(faults) => (None, faults),
    };
    let given: BTreeMap<_, _> = args.vars.into_iter().collect();
    let refused = plan.as_ref().and_then(|plan| plan.inputs(&given).err());
    // What is missing is for the run to be given; what is given is looked at.
    let inputs: Vec<String> = refused
        .into_iter()
        .flatten()
        .filter(|error| !matches!(error, InputError::Missing { .. }))
        .map(|error| error.to_string())
        .collect();
    if args.json {
        let faults: Vec<_> = faults
            .0
            .iter()
            .map(|fault| json!({"line": fault.at.line, "column": fault.at.column, "problem": fault.problem}))
            .collect();
        print_json(
            &json!({"valid": faults.is_empty() && inputs.is_empty(), "faults": faults, "inputs": inputs}),
        )?;
    } else {
        for fault in &faults.0 {
            let (file, at) = (args.file.display(), fault.at);
            say(&format_args!(
                "{file}:{}:{}: {}",
                at.line, at.column, fault.problem
            ));
        }
        for problem in &inputs {
            say(&format_args!("--var: {problem}"));
        }
        if let Some(plan) = plan.filter(|_| inputs.is_empty()) {
            print(&summary(&args.file, &plan))?;
        }
    }
    let valid = faults.0.is_empty() && inputs.is_empty();
    Ok(if valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!(
            "cannot read {}: {error}; name a pipeline file",
            file.display()
        ))
    })
}

fn summary(file: &Path, plan: &Plan) -> String {
    let count = |level| {
        plan.elements
            .iter()
            .filter(|element| element.level == level)
            .count()
    };
    let name = plan.pipeline().map_or("", |pipeline| pipeline.name.as_str());
    format!(
        "{}: the pipeline {name:?} is valid: {} stages, {} steps\n",
        file.display(),
        count(Level::Stage),
        count(Level::Step)
    )
}
