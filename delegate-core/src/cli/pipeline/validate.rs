//! `pipeline validate`. Asks no manager.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{Validate, read};
use crate::cli::api::{Failure, print, print_json, say};
use crate::pipeline::{Faults, InputError, Level, Plan};

pub(super) fn validate(args: Validate) -> Result<ExitCode, Failure> {
    let text = read(&args.file)?;
    let (plan, faults) = match Plan::read(&text, &args.kinds.registry()) {
        Ok(plan) => (Some(plan), Faults::default()),
        Err(faults) => (None, faults),
    };
    let given: BTreeMap<_, _> = args.given.vars.into_iter().collect();
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
