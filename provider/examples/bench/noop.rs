//! The way of a task that costs nothing, measured by a program of its own: a kind that does nothing must be in the same
//! process as the agent.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::Outcome;
use crate::report::{Figure, Report, Unit};

/// What a figure of that program is here.
struct Row {
    figure: &'static str,
    transport: &'static str,
    id: &'static str,
    what: &'static str,
    unit: Unit,
    target: f64,
    beside: &'static str,
}

const ROWS: [Row; 4] = [
    Row {
        figure: "queued no-op tasks",
        transport: "stream",
        id: "noop_stream",
        what: "no-op tasks a second from a queue of 2 000, stream",
        unit: Unit::PerSecond,
        target: 10_000.0,
        beside: "",
    },
    Row {
        figure: "enqueue to result",
        transport: "stream",
        id: "noop_stream_latency",
        what: "enqueue → result of a no-op task, stream",
        unit: Unit::Milliseconds,
        target: 5.0,
        beside: "",
    },
    Row {
        figure: "queued no-op tasks",
        transport: "polling",
        id: "noop_polling",
        what: "no-op tasks a second from a queue of 2 000, long poll",
        unit: Unit::PerSecond,
        target: 5_000.0,
        beside: "dlite (Go): 3 848 a second",
    },
    Row {
        figure: "enqueue to result",
        transport: "polling",
        id: "noop_polling_latency",
        what: "enqueue → result of a no-op task, long poll",
        unit: Unit::Milliseconds,
        target: 20.0,
        beside: "",
    },
];

pub(crate) async fn measure(program: &Path, runs: usize, report: &mut Report) -> Outcome<()> {
    let output = Command::new(program)
        .arg("--runs")
        .arg(runs.to_string())
        .output()
        .await?;
    if !output.status.success() {
        return Err(format!(
            "{}: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let lines = String::from_utf8(output.stdout)?;
    let figures: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    for row in ROWS {
        let figure = figures
            .iter()
            .find(|figure| figure["figure"] == row.figure && figure["transport"] == row.transport)
            .ok_or_else(|| format!("{} did not measure {}", program.display(), row.what))?;
        let samples = figure["samples"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64);
        report.add(Figure {
            id: row.id,
            what: row.what.to_owned(),
            unit: row.unit,
            samples: samples.collect(),
            target: Some(row.target),
            beside: row.beside,
        });
    }
    Ok(())
}
