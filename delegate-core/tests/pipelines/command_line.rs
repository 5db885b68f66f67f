//! `harness-delegate pipeline`, as people and CI use it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::site::{Site, node};
use crate::support::Watchdog;
use crate::support::program::{Running, output, program};
use crate::support::real_manager::API_KEY;

fn pipeline(site: &Site, arguments: &[&str]) -> std::process::Command {
    let mut command = program(&[
        ("HARNESS_ENDPOINT", &site.caller.url),
        ("HARNESS_PLATFORM_API_KEY", API_KEY),
        ("USER", "ann"),
    ]);
    command.arg("pipeline").args(arguments);
    command
}

async fn told(command: std::process::Command) -> (Option<i32>, String, String) {
    let ran = output(command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

/// A text without what differs from run to run: times, durations, ids.
fn steady(text: &str) -> String {
    let patterns = [
        (r"\d\d:\d\d:\d\dZ ", ""),
        (r"\d+\.\d{3}", "T"),
        (r"\b(\d+h \d\dm|\d+m \d\ds|\d+\.\ds|\d+s)", "T"),
        (r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID"),
    ];
    patterns.iter().fold(text.to_owned(), |text, (pattern, by)| {
        regex::Regex::new(pattern)
            .unwrap()
            .replace_all(&text, *by)
            .into_owned()
    })
}

const FILE: &str = r#"
pipeline:
  identifier: release
  name: Release
  delegateSelectors: [one]
  variables: [{name: code, type: Number, value: "<+input>.default(0)"}]
  stages:
    - stage:
        identifier: build
        spec:
          execution:
            steps:
              - step: {identifier: ok, type: Run, spec: {command: "true"}}
              - step: {identifier: maybe, type: Run, spec: {command: exit <+pipeline.variables.code>}}
              - step: {identifier: after, type: Run, spec: {command: "true"}}
"#;

fn write(dir: &Path, text: &str) -> String {
    let file = dir.join("pipeline.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_run_is_shown_line_by_line_reported_and_told_by_the_exit_code() {
    let _watchdog = Watchdog::start("pipeline run");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = write(dir.path(), FILE);
    let (junit, report) = (dir.path().join("junit.xml"), dir.path().join("run.json"));
    let (code, out, said) = told(pipeline(
        &site,
        &[
            "run",
            &file,
            "--var",
            "code=3",
            "--junit",
            junit.to_str().unwrap(),
            "--json",
            report.to_str().unwrap(),
        ],
    ))
    .await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    // Whether a step is seen while it runs depends on how quick it is; how it ended is always told, once and in order.
    let ends: Vec<String> = steady(&said)
        .lines()
        .filter(|line| !line.contains("RUNNING"))
        .map(str::to_owned)
        .collect();
    let run: Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    let message = node(&run, "build.maybe")["message"].as_str().unwrap();
    assert_eq!(
        ends,
        [
            "Run ID has started.".to_owned(),
            "build.ok: SUCCEEDED, on one (T)".to_owned(),
            format!("build.maybe: FAILED, on one, {message} (T)"),
            "build.after: SKIPPED, Not begun: something failed before.".to_owned(),
            "build: FAILED (T)".to_owned(),
            "Release: FAILED (T)".to_owned(),
            "build.maybe is FAILED; `task logs ID` shows its log.".to_owned(),
        ],
        "{said}"
    );
    assert_eq!(
        steady(&std::fs::read_to_string(&junit).unwrap()),
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="Release" tests="3" failures="1" skipped="1" time="T">
  <testsuite name="build" tests="3" failures="1" skipped="1" time="T">
    <testcase classname="Release.build" name="ok" time="T"/>
    <testcase classname="Release.build" name="maybe" time="T"><failure type="FAILED" message="{message}"/></testcase>
    <testcase classname="Release.build" name="after" time="T"><skipped message="Not begun: something failed before."/></testcase>
  </testsuite>
</testsuites>
"#
        )
    );
    let id = run["id"].as_str().unwrap();

    let (code, out, said) = told(pipeline(&site, &["run", &file, "--json", "-"])).await;
    assert_eq!(code, Some(0), "{said}");
    let run: Value = serde_json::from_str(&out).expect("stdout is the run and nothing else");
    assert_eq!(run["status"], "SUCCEEDED");

    let (_, out, _) = told(pipeline(&site, &["list", "--status", "FAILED"])).await;
    assert!(out.contains(id) && out.lines().count() == 2, "{out}");
    let (_, out, _) = told(pipeline(&site, &["show", id])).await;
    assert_eq!(
        steady(&out),
        format!(
            "✗ Release  T  FAILED\n  ✗ build  T  FAILED\n    ✓ ok  T  on one\n    ✗ maybe  T  FAILED, on one, {message}\n    \
             - after  SKIPPED, Not begun: something failed before.\n"
        )
    );
    let (code, _, _) = told(pipeline(&site, &["show", "--follow", id])).await;
    assert_eq!(code, Some(1), "as it ended");
    let (code, _, said) = told(pipeline(&site, &["show", "nothing"])).await;
    assert!(code == Some(1) && said.contains("no such run"), "{said}");
    let (code, _, said) = told(pipeline(&site, &["run", "/no/such.yaml"])).await;
    assert!(code == Some(2) && said.contains("/no/such.yaml"), "{said}");
}

const ASKS: &str = r"
pipeline:
  identifier: asks
  stages:
    - stage:
        identifier: s
        spec: {execution: {steps: [{step: {identifier: sure, type: HarnessApproval, spec: {approvalMessage: Sure?}}}]}}
";

/// A `pipeline run` that waits for approval: the program, the rest of what it says, and the run's id.
fn waiting(site: &Site, file: &str, more: &[&str]) -> (Running, impl Iterator<Item = String>, String) {
    let mut command = pipeline(site, &["run", file]);
    command.args(more).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let mut lines = BufReader::new(running.stderr().unwrap())
        .lines()
        .map(Result::unwrap);
    let started = lines.next().unwrap();
    let id = started
        .strip_prefix("Run ")
        .and_then(|rest| rest.strip_suffix(" has started."))
        .unwrap_or_else(|| panic!("{started}"))
        .to_owned();
    let asks = lines.by_ref().find(|line| line.contains("waits for approval"));
    assert!(asks.unwrap().contains("Sure?"));
    (running, lines, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_answer_at_the_command_line_while_another_one_follows() {
    let _watchdog = Watchdog::start("pipeline approve");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = write(dir.path(), ASKS);
    let (running, lines, id) = waiting(&site, &file, &[]);
    let (code, _, said) = told(pipeline(&site, &["approve", &id, "--comment", "fine"])).await;
    assert!(code == Some(0) && said.contains("s.sure is approved"), "{said}");
    let rest: Vec<String> = lines.collect();
    assert!(
        rest.iter().any(|line| line.contains("Approved by ann: fine")),
        "{rest:?}"
    );
    assert_eq!(running.end().await.code(), Some(0));
    let (code, _, said) = told(pipeline(&site, &["reject", &id])).await;
    assert!(code == Some(2) && said.contains("SUCCEEDED"), "{said}");

    let (running, lines, id) = waiting(&site, &file, &[]);
    let (code, _, said) = told(pipeline(&site, &["abort", &id])).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(lines.collect::<Vec<_>>().concat().contains("Aborted by ann."));
    assert_eq!(running.end().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_leaves_the_run_or_aborts_it_as_one_says() {
    let _watchdog = Watchdog::start("pipeline interrupt");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = write(dir.path(), ASKS);
    let (running, lines, id) = waiting(&site, &file, &[]);
    running.signal(Signal::SIGINT);
    let rest: Vec<String> = lines.collect();
    assert!(
        rest.concat().contains(&format!("pipeline show --follow {id}")),
        "{rest:?}"
    );
    assert_eq!(running.end().await.code(), Some(130));
    assert_eq!(site.caller.run(&id).await["status"], "RUNNING");

    let (running, lines, id) = waiting(&site, &file, &["--abort-on-interrupt"]);
    running.signal(Signal::SIGTERM);
    let rest: Vec<String> = lines.collect();
    assert_eq!(running.end().await.code(), Some(1), "{rest:?}");
    assert_eq!(site.caller.run(&id).await["status"], json!("ABORTED"));
}
