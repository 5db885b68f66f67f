//! `pipeline abort`, `approve`, `reject` and `decide`: what people say to a run.

use std::process::ExitCode;

use super::{Abort, Answer, Decide};
use crate::cli::api::{Api, Failure, say, segment};
use crate::pipeline::api::{self, RunView};
use crate::pipeline::run::{Asked, NodeView};

pub(super) async fn abort(args: Abort) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let path = format!("/pipelines/{}/abort", segment(&args.id));
    let run: RunView = api.post(&path, &api::AbortRun { by: args.by.by }).await?;
    match run.outcome() {
        Some(_) => say(&"The run is aborted."),
        None => say(&"The tasks of the run are told to end."),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn answer(args: Answer, approved: bool) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let step = match args.step {
        Some(step) => step,
        None => the_step(&api, &args.id, |asked| matches!(asked, Asked::Approval { .. })).await?,
    };
    let verb = if approved { "approve" } else { "reject" };
    let body = api::Answer {
        by: args.by.by,
        comment: args.comment,
    };
    let _: RunView = api.post(&path(&args.id, &step, verb), &body).await?;
    let did = if approved { "approved" } else { "rejected" };
    say(&format_args!("{step} is {did}."));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn decide(args: Decide) -> Result<ExitCode, Failure> {
    let api = Api::new(args.access)?;
    let step = match args.step {
        Some(step) => step,
        None => the_step(&api, &args.id, |asked| matches!(asked, Asked::Decision)).await?,
    };
    let body = api::Decide {
        decision: args.decision,
        by: args.by.by,
    };
    let _: RunView = api.post(&path(&args.id, &step, "decide"), &body).await?;
    say(&format_args!("{step} is decided."));
    Ok(ExitCode::SUCCESS)
}

fn path(id: &str, step: &str, verb: &str) -> String {
    format!("/pipelines/{}/steps/{}/{verb}", segment(id), segment(step))
}

/// The one step that asks so.
async fn the_step(api: &Api, id: &str, wanted: impl Fn(&Asked) -> bool) -> Result<String, Failure> {
    let run: RunView = api.get(&format!("/pipelines/{}", segment(id)), &[]).await?;
    let mut asking = Vec::new();
    collect(&run.tree, &wanted, &mut asking);
    match asking.as_slice() {
        [step] => Ok(step.clone()),
        [] => Err(Failure::Usage(format!(
            "no step of the run asks that now; the run is {}",
            run.summary.status
        ))),
        several => Err(Failure::Usage(format!(
            "several steps ask; name one of {}",
            several.join(", ")
        ))),
    }
}

fn collect(node: &NodeView, wanted: &impl Fn(&Asked) -> bool, asking: &mut Vec<String>) {
    if node.asked.as_ref().is_some_and(wanted) {
        asking.push(node.path.clone());
    }
    for child in &node.children {
        collect(child, wanted, asking);
    }
}
