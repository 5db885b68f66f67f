//! Failure strategies, rollback, timeouts, aborts.

use super::*;

fn on_failure(action: &str) -> String {
    strategy("AllErrors", action)
}

fn strategy(errors: &str, action: &str) -> String {
    format!("failureStrategies:\n  - onFailure: {{errors: [{errors}], action: {action}}}")
}

#[test]
fn a_failure_is_what_its_strategy_makes_of_it() {
    for (action, step, next, run) in [
        ("{type: Ignore}", "IGNORE_FAILED", "RUNNING", None),
        ("{type: MarkAsSuccess}", "SUCCEEDED", "RUNNING", None),
        (
            "{type: MarkAsFailure}",
            "FAILED",
            "SKIPPED",
            Some(Outcome::Failed),
        ),
        (
            "{type: StageRollback}",
            "FAILED",
            "SKIPPED",
            Some(Outcome::Failed),
        ),
        ("{type: Abort}", "FAILED", "SKIPPED", Some(Outcome::Aborted)),
    ] {
        let mut desk = Desk::steps(&(script("a", "x", &on_failure(action)) + &script("b", "x", "")));
        desk.fails("s.a");
        assert_eq!((desk.status("s.a"), desk.status("s.b")), (step, next), "{action}");
        assert_eq!(desk.finished(), run, "{action}");
        assert!(!desk.message("s.a").is_empty());
    }
}

#[test]
fn a_retry_waits_and_then_something_else_follows() {
    let retry = "{type: Retry, spec: {retryCount: 3, retryIntervals: [10s, 1m], onRetryFailure: {action: {type: Ignore}}}}";
    let mut desk = Desk::steps(&script("a", "x", &on_failure(retry)));
    for (attempt, wait) in [(1, 10_000), (2, 60_000), (3, 60_000)] {
        assert_eq!(desk.task("s.a").attempt, attempt);
        let late = desk.task("s.a");
        desk.fails("s.a");
        assert!(desk.running().is_empty());
        assert_eq!(desk.run.next_deadline(), Some(desk.now + wait));
        desk.pass(wait - 1);
        assert!(desk.running().is_empty());
        desk.pass(1);
        assert_eq!(desk.running(), ["s.a"]);
        let again = TaskEnd {
            delegate: None,
            status: TaskStatus::Succeeded,
            message: None,
            output_vars: BTreeMap::new(),
            fields: serde_json::Map::new(),
        };
        assert_eq!(
            desk.apply(Event::TaskEnded(late, again)),
            Err(Refusal::NotRunning)
        );
    }
    desk.fails("s.a");
    assert_eq!(
        (desk.status("s.a"), desk.finished()),
        ("IGNORE_FAILED", Some(Outcome::Succeeded))
    );
    let submitted = desk
        .commands
        .iter()
        .filter(|command| matches!(command, Command::Submit(_)));
    assert_eq!(submitted.count(), 4);
}

#[test]
fn the_nearest_strategy_for_the_failure_counts() {
    let own = strategy("Timeout", "{type: Ignore}");
    let stage_level = "failureStrategies:\n  - onFailure: {errors: [AllErrors], action: {type: MarkAsSuccess}}\n  - onFailure: {errors: [DelegateProvisioning], action: {type: Abort}}";
    for (end, status) in [
        (TaskStatus::TimedOut, "IGNORE_FAILED"),
        (TaskStatus::Failed, "SUCCEEDED"),
        (TaskStatus::Aborted, "SUCCEEDED"),
        (TaskStatus::Expired, "FAILED"),
    ] {
        let mut desk = Desk::stages(&stage("s", &script("a", "x", &own), stage_level));
        desk.ends("s.a", end, &[]);
        assert_eq!(desk.status("s.a"), status, "{end:?}");
        let aborted = end == TaskStatus::Expired;
        assert_eq!(
            desk.finished(),
            Some(if aborted {
                Outcome::Aborted
            } else {
                Outcome::Succeeded
            })
        );
    }
}

/// A stage with rollback steps, its steps in two parallel branches.
fn with_rollback(more: &str) -> String {
    let branches = script("a", "x", "") + &script("b", "x", "");
    let steps =
        format!("- parallel:\n{}", indented(&branches, 4)) + &script("c", "x", "when: {stageStatus: All}");
    let rollback = script(
        "undo",
        "back to <+steps.b.output.outputVariables.V>, a was <+steps.a.status>",
        "",
    ) + &script("undo2", "x", "");
    stage("s", &steps, more) + "            rollbackSteps:\n" + &indented(&rollback, 14)
}

#[test]
fn a_stage_is_rolled_back_when_what_runs_is_over() {
    let mut desk = Desk::stages(&(with_rollback("") + &stage("t", &script("a", "x", ""), "")));
    desk.fails("s.a");
    assert_eq!(desk.running(), ["s.b"], "a branch goes on to its end");
    assert_eq!(
        desk.status("s.c"),
        "SKIPPED",
        "nothing new begins, whatever its when says"
    );
    desk.ends("s.b", TaskStatus::Succeeded, &[("V", "7")]);
    assert_eq!(desk.script("s.undo"), "back to 7, a was FAILED");
    desk.fails("s.undo");
    assert_eq!(desk.status("s.undo2"), "SKIPPED");
    assert_eq!(desk.finished(), Some(Outcome::Failed));
    assert_eq!((desk.status("s"), desk.status("t")), ("FAILED", "SKIPPED"));
}

#[test]
fn a_stage_that_goes_well_is_not_rolled_back() {
    let mut desk = Desk::stages(&with_rollback(""));
    for step in ["s.a", "s.b", "s.c"] {
        desk.ok(step);
    }
    assert_eq!(desk.finished(), Some(Outcome::Succeeded));
    assert!(!desk.tree().contains("undo"));
}

#[test]
fn a_stage_that_takes_too_long_is_ended_and_rolled_back() {
    let mut desk = Desk::stages(&with_rollback("timeout: 1m"));
    desk.ok("s.a");
    desk.pass(60_000);
    assert_eq!(desk.cancelled(), ["s.b"]);
    assert_eq!(desk.status("s.b"), "RUNNING", "its end is awaited");
    desk.ends("s.b", TaskStatus::Aborted, &[("V", "3")]);
    assert_eq!((desk.status("s.b"), desk.status("s.c")), ("TIMED_OUT", "SKIPPED"));
    assert_eq!(desk.script("s.undo"), "back to 3, a was SUCCEEDED");
    desk.ok("s.undo");
    desk.ok("s.undo2");
    assert_eq!(
        (desk.status("s"), desk.finished()),
        ("TIMED_OUT", Some(Outcome::Failed))
    );
}

#[test]
fn a_task_that_was_quicker_than_its_end_has_succeeded() {
    let mut desk = Desk::stages(&stage("s", &script("a", "x", ""), "timeout: 1m"));
    desk.pass(60_000);
    desk.ends("s.a", TaskStatus::Succeeded, &[("V", "1")]);
    assert_eq!((desk.status("s.a"), desk.status("s")), ("SUCCEEDED", "TIMED_OUT"));
}

#[test]
fn an_abort_ends_everything_and_rolls_nothing_back() {
    let mut desk = Desk::stages(&with_rollback(""));
    desk.apply(Event::Abort { by: "ann".to_owned() }).unwrap();
    assert_eq!(desk.cancelled(), ["s.a", "s.b"]);
    assert_eq!(desk.finished(), None, "tasks that run are awaited");
    desk.apply(Event::Abort { by: "bob".to_owned() }).unwrap();
    desk.ends("s.a", TaskStatus::Aborted, &[]);
    desk.fails("s.b");
    assert_eq!(desk.finished(), Some(Outcome::Aborted));
    for path in ["s", "s.a", "s.b"] {
        assert_eq!(desk.status(path), "ABORTED", "{path}");
    }
    assert_eq!(
        desk.run.state.nodes[0].message.as_deref(),
        Some("Aborted by ann.")
    );
}

#[test]
fn a_rollback_is_ended_by_an_abort() {
    let mut desk = Desk::stages(&with_rollback(""));
    desk.fails("s.a");
    desk.ends("s.b", TaskStatus::Succeeded, &[("V", "1")]);
    assert_eq!(desk.running(), ["s.undo"]);
    desk.apply(Event::Abort { by: "ann".to_owned() }).unwrap();
    desk.ends("s.undo", TaskStatus::Aborted, &[]);
    assert_eq!(
        (desk.status("s.undo2"), desk.finished()),
        ("SKIPPED", Some(Outcome::Aborted))
    );
}

#[test]
fn a_group_and_the_whole_have_their_times() {
    let group = format!(
        "- stepGroup:\n    identifier: g\n    timeout: 30s\n    steps:\n{}",
        indented(&script("a", "x", ""), 6)
    );
    let after = script("b", "x", "when: {stageStatus: Failure}");
    let file = format!(
        "pipeline:\n  name: p\n  timeout: 1m\n  stages:\n{}",
        stage("s", &(group + &after), "")
    );
    let mut desk = Desk::file(&file, &[]);
    desk.pass(30_000);
    desk.ends("s.g.a", TaskStatus::Aborted, &[]);
    assert_eq!(
        (desk.status("s.g"), desk.running()),
        ("TIMED_OUT", vec!["s.b".to_owned()])
    );
    desk.pass(30_000);
    assert_eq!(desk.cancelled(), ["s.g.a", "s.b"]);
    desk.ends("s.b", TaskStatus::Aborted, &[]);
    assert_eq!(desk.finished(), Some(Outcome::TimedOut));
}

#[test]
fn a_retry_that_is_waited_for_ends_with_its_stage() {
    let retry = on_failure("{type: Retry, spec: {retryCount: 1, retryIntervals: [1h]}}");
    let mut desk = Desk::stages(&stage("s", &script("a", "x", &retry), "timeout: 1m"));
    desk.fails("s.a");
    desk.pass(60_000);
    assert_eq!(
        (desk.status("s.a"), desk.status("s"), desk.finished()),
        ("FAILED", "TIMED_OUT", Some(Outcome::Failed))
    );
}
