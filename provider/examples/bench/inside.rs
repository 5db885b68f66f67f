//! What only a program that holds the code can measure: the way of a task that costs nothing, whose kind must be in the
//! same process as the agent, and masking. Examples of delegate-core measure it, and print one line of JSON a figure.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::Outcome;
use crate::report::{Figure, Report, Unit};

/// What a figure of such a program is here.
pub(crate) struct Row {
    figure: &'static str,
    /// Empty where the figure has none.
    transport: &'static str,
    id: &'static str,
    what: &'static str,
    unit: Unit,
    target: Option<f64>,
    beside: &'static str,
}

/// The example `throughput`.
pub(crate) const NOOP: [Row; 4] = [
    Row {
        figure: "queued no-op tasks",
        transport: "stream",
        id: "noop_stream",
        what: "no-op tasks a second from a queue of 2 000, stream",
        unit: Unit::PerSecond,
        target: Some(10_000.0),
        beside: "",
    },
    Row {
        figure: "enqueue to result",
        transport: "stream",
        id: "noop_stream_latency",
        what: "enqueue → result of a no-op task, stream",
        unit: Unit::Milliseconds,
        target: Some(5.0),
        beside: "",
    },
    Row {
        figure: "queued no-op tasks",
        transport: "polling",
        id: "noop_polling",
        what: "no-op tasks a second from a queue of 2 000, long poll",
        unit: Unit::PerSecond,
        target: Some(5_000.0),
        beside: "dlite (Go): 3 848 a second",
    },
    Row {
        figure: "enqueue to result",
        transport: "polling",
        id: "noop_polling_latency",
        what: "enqueue → result of a no-op task, long poll",
        unit: Unit::Milliseconds,
        target: Some(20.0),
        beside: "",
    },
];

/// The example `masking`.
pub(crate) const MASKING: [Row; 2] = [
    Row {
        figure: "masking, 100 secrets",
        transport: "",
        id: "masking",
        what: "masking of clean text, 100 secrets",
        unit: Unit::GigabytesPerSecond,
        target: Some(1.0),
        beside: "",
    },
    Row {
        figure: "copying",
        transport: "",
        id: "masking_floor",
        what: "  copying the same text",
        unit: Unit::GigabytesPerSecond,
        target: None,
        beside: "",
    },
];

/// Runs the program, and reports what it says of these rows.
pub(crate) async fn measure(program: &Path, rows: &[Row], runs: usize, report: &mut Report) -> Outcome<()> {
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
    for row in rows {
        let figure = figures
            .iter()
            .find(|figure| {
                figure["figure"] == row.figure
                    && figure["transport"].as_str().unwrap_or_default() == row.transport
            })
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
            target: row.target,
            beside: row.beside,
        });
    }
    Ok(())
}
