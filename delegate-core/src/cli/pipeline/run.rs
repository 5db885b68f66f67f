//! `pipeline run`.

use std::process::ExitCode;

use super::follow::follow;
use super::{Run, read};
use crate::cli::api::{Api, Failure, say};
use crate::pipeline::api::{RunView, StartRun};

/// Starts a run and follows it.
pub(super) async fn run(args: Run) -> Result<ExitCode, Failure> {
    let file = args.file.display().to_string();
    let asked = StartRun {
        file: read(&args.file)?,
        variables: args.given.vars.into_iter().collect(),
        key: None,
    };
    let api = Api::new(args.access)?;
    let run: RunView = match api.post("/pipelines", &asked).await {
        Ok(run) => run,
        Err(Failure::Refused { faults, .. }) if !faults.is_empty() => {
            for fault in faults {
                match (fault.line, fault.column) {
                    (Some(line), Some(column)) => {
                        say(&format_args!("{file}:{line}:{column}: {}", fault.problem));
                    }
                    _ => say(&format_args!("--var: {}", fault.problem)),
                }
            }
            return Ok(ExitCode::FAILURE);
        }
        Err(failure) => return Err(failure),
    };
    say(&format_args!("Run {} has started.", run.summary.id));
    follow(&api, run, &args.shown, args.abort_on_interrupt).await
}
