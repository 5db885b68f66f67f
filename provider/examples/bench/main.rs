//! Measures what the project promises to be fast and small at, and what that is compared with. Run by `scripts/bench`.
//!
//! `bench PROGRAMS [--inside FOLDER] [--only SUBJECT]... [--runs N] [--json FILE]`: PROGRAMS is the folder of the two
//! release programs, FOLDER that of delegate-core's examples, without which their figures are left out. Everything else is
//! measured from outside: real processes, the real Terraform, a manager of our own on the loopback. Nothing is asserted of a
//! time: a miss is marked, and that is all. A figure that cannot be had (a program fails) ends the run with what it said.
//!
//! One file a subject: `plugin` (start of the provider), `plan` (Terraform), `cluster` (Terraform and
//! Kubernetes), `agent` (start and size), `task` (the way of a task), `load` (many of them), `inside` (one
//! that costs nothing, and masking); `site`, `watch` and `requests` have what they share. [`SUBJECTS`] names them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "the client of the tests is used here: a failure ends the run"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is printed")]

mod agent;
mod cluster;
mod inside;
mod load;
mod plan;
mod plugin;
#[path = "../../tests/support/plugin_client.rs"]
mod plugin_client;
mod report;
mod requests;
mod site;
mod task;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use report::Report;

/// Whatever goes wrong, as a sentence.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How often a figure is measured; the cheap ones ten times as often.
const DEFAULT_RUNS: usize = 10;

/// What can be measured alone, in the order of the table.
const SUBJECTS: [&str; 8] = [
    "plugin", "agent", "task", "inside", "load", "idle", "plan", "cluster",
];

/// The two programs.
struct Programs {
    provider: PathBuf,
    delegate: PathBuf,
}

struct Arguments {
    programs: Programs,
    inside: Option<PathBuf>,
    /// Subjects; all of them where there is none.
    only: Vec<String>,
    runs: usize,
    json: Option<PathBuf>,
}

impl Arguments {
    /// Whether a subject is to be measured, which is said.
    fn wants(&self, subject: &str, what: &str) -> bool {
        let wanted = self.only.is_empty() || self.only.iter().any(|only| only == subject);
        if wanted {
            eprintln!("bench: {what} …");
        }
        wanted
    }
}

fn arguments() -> Outcome<Arguments> {
    let mut words = std::env::args().skip(1);
    let (mut folder, mut inside, mut runs, mut json) = (None, None, DEFAULT_RUNS, None);
    let mut only = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--runs" => {
                runs = words
                    .next()
                    .and_then(|text| text.parse().ok())
                    .filter(|runs| *runs > 0)
                    .ok_or("--runs needs a number above zero")?;
            }
            "--only" => only.push(
                words
                    .next()
                    .filter(|subject| SUBJECTS.contains(&subject.as_str()))
                    .ok_or_else(|| format!("--only needs one of {}", SUBJECTS.join(", ")))?,
            ),
            "--inside" => inside = Some(PathBuf::from(words.next().ok_or("--inside needs a folder")?)),
            "--json" => json = Some(PathBuf::from(words.next().ok_or("--json needs a file")?)),
            // `cargo` says this to whatever it benches.
            "--bench" => {}
            _ if folder.is_none() && !word.starts_with('-') => folder = Some(PathBuf::from(word)),
            _ => return Err(format!("unknown argument {word:?}").into()),
        }
    }
    let folder = folder
        .ok_or("usage: bench PROGRAMS [--inside FOLDER] [--only SUBJECT]... [--runs N] [--json FILE]")?;
    let program = |name: &str| {
        let path = folder.join(name);
        path.canonicalize()
            .map_err(|error| format!("{}: {error}; build it with scripts/build", path.display()))
    };
    Ok(Arguments {
        programs: Programs {
            provider: program("terraform-provider-harness")?,
            delegate: program("harness-delegate")?,
        },
        inside,
        only,
        runs,
        json,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome<()> {
    let arguments = arguments()?;
    let Arguments { programs, runs, .. } = &arguments;
    let mut report = Report::default();
    let site = site::Site::start(programs).await?;
    // Its minute of idling passes while the rest is measured.
    let idle = if arguments.wants("idle", "some agents begin to idle") {
        Some(agent::Idle::start(&site, *runs).await?)
    } else {
        None
    };

    if arguments.wants("plugin", "the provider's start") {
        plugin::measure(programs, runs * 10, &mut report).await?;
    }
    if arguments.wants("agent", "the agent's start") {
        agent::measure_start(&site, runs * 10, &mut report).await?;
        report.add(agent::size(programs)?);
    }
    if arguments.wants("task", "the way of a task") {
        task::measure(&site, runs * 10, &mut report).await?;
    }
    if let Some(folder) = &arguments.inside
        && arguments.wants("inside", "tasks that cost nothing, and masking")
    {
        inside::measure(&folder.join("throughput"), &inside::NOOP, *runs, &mut report).await?;
        inside::measure(&folder.join("masking"), &inside::MASKING, *runs, &mut report).await?;
    }
    if arguments.wants("load", "the agent under load") {
        load::measure(&site, *runs, &mut report).await?;
    }
    if let Some(idle) = idle {
        eprintln!("bench: the idle agents …");
        idle.measure(&mut report).await?;
    }
    if arguments.wants("plan", "terraform plan") {
        plan::measure(&site, *runs, &mut report).await?;
    }
    if arguments.wants("cluster", "delegates in a cluster") {
        cluster::measure(&site, *runs, &mut report).await?;
    }
    site.stop().await?;

    print!("{report}");
    if let Some(file) = &arguments.json {
        write(file, &report)?;
        eprintln!("bench: the figures are in {}", file.display());
    }
    Ok(())
}

fn write(file: &Path, report: &Report) -> Outcome<()> {
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(file, serde_json::to_string_pretty(&report.to_json())? + "\n")?;
    Ok(())
}
