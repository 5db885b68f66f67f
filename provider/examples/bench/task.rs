//! The way of a task: from the request that submits it to its result in hand.

use std::process::Stdio;
use std::time::Instant;

use serde_json::json;
use tokio::process::Command;

use crate::Outcome;
use crate::report::{Figure, Report, Unit};
use crate::site::{Site, terminate};

/// What the script's shell alone costs: the part of the figure that is not ours.
const SCRIPT: &str = "true";

/// The first tasks warm the connections; they are not counted.
const WARM_UP: usize = 5;

pub(crate) async fn measure(site: &Site, runs: usize, report: &mut Report) -> Outcome<()> {
    let name = "worker".to_owned();
    let mut agent = site.agent(&name, &site.url)?.spawn()?;
    site.connected(std::slice::from_ref(&name)).await?;
    let mut samples = Vec::new();
    for run in 0..runs + WARM_UP {
        let body = json!({ "type": "SHELL_SCRIPT", "data": { "script": SCRIPT }, "selectors": [name] });
        let started = Instant::now();
        let submitted = site.post("/tasks", &body).await?;
        let id = submitted["id"].as_str().ok_or("the manager gave no id")?;
        // The log ends with the task, so nothing has to be asked again and again.
        site.follow(&format!("/tasks/{id}/logs?follow=true")).await?;
        let task = site.get(&format!("/tasks/{id}")).await?;
        let took = started.elapsed();
        if task["status"] != "SUCCEEDED" {
            return Err(format!("the task did not succeed: {task}").into());
        }
        if run >= WARM_UP {
            samples.push(Unit::Milliseconds.of(took));
        }
    }
    terminate(&mut agent).await?;
    report.add(Figure {
        id: "task_round_trip",
        what: "enqueue → result of a `true` script, long poll".to_owned(),
        unit: Unit::Milliseconds,
        samples,
        target: Some(20.0),
        beside: "dlite: 1 821 ms, as it polls every 3 s",
    });
    report.add(Figure {
        id: "floor_shell",
        what: "  floor: fork, exec and end of `bash -c true`".to_owned(),
        unit: Unit::Milliseconds,
        samples: shells(runs).await?,
        target: None,
        beside: "what the script itself costs",
    });
    Ok(())
}

async fn shells(runs: usize) -> Outcome<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        Command::new("bash")
            .args(["-c", SCRIPT])
            .stdin(Stdio::null())
            .spawn()?
            .wait()
            .await?;
        samples.push(Unit::Milliseconds.of(started.elapsed()));
    }
    Ok(samples)
}
