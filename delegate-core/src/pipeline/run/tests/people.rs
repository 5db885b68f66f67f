//! Approvals, decisions, and waits.

use super::*;

fn approval(more: &str) -> String {
    format!(
        "- step:\n    identifier: ok\n    type: HarnessApproval\n    timeout: 1h\n{more}    spec:\n      approvalMessage: Ship <+steps.a.output.outputVariables.V>?\n      approvers: {{minimumCount: 2}}\n"
    )
}

fn asked(desk: &Desk) -> Vec<(String, String, Option<u32>)> {
    let asked = desk
        .run
        .outstanding()
        .into_iter()
        .filter_map(|command| match command {
            Command::Ask(question) => {
                Some((desk.run.path(question.node), question.message, question.approvers))
            }
            _ => None,
        });
    asked.collect()
}

fn withdrawn(desk: &Desk) -> usize {
    desk.commands
        .iter()
        .filter(|command| matches!(command, Command::Withdraw(_)))
        .count()
}

fn answer(desk: &mut Desk, by: &str, approved: bool) -> Result<(), Refusal> {
    let event = Event::Answered {
        node: desk.node("s.ok"),
        by: by.to_owned(),
        approved,
        comment: (!approved).then(|| "not today".to_owned()),
    };
    desk.apply(event)
}

fn at_approval(more: &str) -> Desk {
    let mut desk = Desk::steps(&(script("a", "x", "") + &approval(more) + &script("b", "x", "")));
    desk.ends("s.a", TaskStatus::Succeeded, &[("V", "1.2")]);
    assert_eq!(
        asked(&desk),
        [("s.ok".to_owned(), "Ship 1.2?".to_owned(), Some(2))]
    );
    desk
}

#[test]
fn an_approval_wants_as_many_people_as_it_says() {
    let mut desk = at_approval("");
    answer(&mut desk, "ann", true).unwrap();
    assert_eq!(answer(&mut desk, "ann", true), Err(Refusal::AnsweredBefore));
    assert_eq!(desk.status("s.ok"), "RUNNING");
    answer(&mut desk, "bob", true).unwrap();
    assert_eq!(
        (desk.status("s.ok"), desk.message("s.ok")),
        ("SUCCEEDED", "Approved by ann, bob")
    );
    assert_eq!((withdrawn(&desk), desk.running()), (1, vec!["s.b".to_owned()]));
    assert_eq!(answer(&mut desk, "eve", true), Err(Refusal::NotAsked));
}

#[test]
fn one_no_is_a_no() {
    let mut desk = at_approval("");
    answer(&mut desk, "ann", true).unwrap();
    answer(&mut desk, "bob", false).unwrap();
    assert_eq!(
        (desk.status("s.ok"), desk.message("s.ok")),
        ("REJECTED", "Rejected by bob: not today")
    );
    assert_eq!((withdrawn(&desk), desk.finished()), (1, Some(Outcome::Failed)));
}

#[test]
fn an_approval_that_nobody_gives_is_over_at_its_time() {
    let mut desk = at_approval(
        "    failureStrategies:\n      - onFailure: {errors: [Timeout], action: {type: Ignore}}\n",
    );
    desk.pass(3_600_000);
    assert_eq!(
        (desk.status("s.ok"), desk.running()),
        ("IGNORE_FAILED", vec!["s.b".to_owned()])
    );
    assert_eq!(withdrawn(&desk), 1);
}

#[test]
fn nobody_is_asked_any_more_after_an_abort() {
    let mut desk = at_approval("");
    desk.apply(Event::Abort { by: "ann".to_owned() }).unwrap();
    assert_eq!(
        (desk.status("s.ok"), withdrawn(&desk), desk.finished()),
        ("ABORTED", 1, Some(Outcome::Aborted))
    );
}

fn at_intervention() -> Desk {
    let strategy = "failureStrategies:\n  - onFailure:\n      errors: [AllErrors]\n      action:\n        type: Retry\n        spec:\n          retryCount: 1\n          onRetryFailure: {action: {type: ManualIntervention, spec: {timeout: 1h, onTimeout: {action: {type: MarkAsSuccess}}}}}";
    let mut desk = Desk::steps(&(script("a", "x", strategy) + &script("b", "x", "")));
    desk.fails("s.a");
    assert_eq!(desk.running(), ["s.a"], "a retry without interval is at once");
    desk.fails("s.a");
    assert_eq!(
        asked(&desk),
        [("s.a".to_owned(), "The task failed.".to_owned(), None)]
    );
    desk
}

fn decide(desk: &mut Desk, decision: Decision) -> Result<(), Refusal> {
    let event = Event::Decided {
        node: desk.node("s.a"),
        by: "ann".to_owned(),
        decision,
    };
    desk.apply(event)
}

#[test]
fn somebody_decides_what_follows() {
    for (decision, status, run) in [
        (Decision::Ignore, "IGNORE_FAILED", None),
        (Decision::MarkAsSuccess, "SUCCEEDED", None),
        (Decision::MarkAsFailure, "FAILED", Some(Outcome::Failed)),
        (Decision::StageRollback, "FAILED", Some(Outcome::Failed)),
        (Decision::Abort, "FAILED", Some(Outcome::Aborted)),
        (Decision::Retry, "RUNNING", None),
    ] {
        let mut desk = at_intervention();
        decide(&mut desk, decision).unwrap();
        assert_eq!(
            (desk.status("s.a"), desk.finished()),
            (status, run),
            "{decision:?}"
        );
        assert_eq!(withdrawn(&desk), 1);
        assert!(decision == Decision::Retry || desk.message("s.a").ends_with("Decided by ann."));
        if run.is_none() {
            assert_eq!(decide(&mut desk, Decision::Abort), Err(Refusal::NotAsked));
        }
    }
}

#[test]
fn a_decision_for_another_try_may_be_needed_again() {
    let mut desk = at_intervention();
    decide(&mut desk, Decision::Retry).unwrap();
    desk.fails("s.a");
    assert_eq!(asked(&desk).len(), 1);
    decide(&mut desk, Decision::Retry).unwrap();
    desk.ok("s.a");
    assert_eq!(
        (
            desk.status("s.a"),
            desk.run.state.nodes[desk.node("s.a")].attempts
        ),
        ("SUCCEEDED", 4)
    );
}

#[test]
fn without_a_decision_the_time_decides() {
    let mut desk = at_intervention();
    desk.pass(3_600_000);
    assert_eq!(
        (desk.status("s.a"), withdrawn(&desk), desk.running()),
        ("SUCCEEDED", 1, vec!["s.b".to_owned()])
    );
}

#[test]
fn a_wait_is_over_at_its_time() {
    let mut desk = Desk::steps("- step: {identifier: w, type: Wait, spec: {duration: 1m 30s}}\n");
    assert_eq!(desk.run.next_deadline(), Some(NOW + 90_000));
    desk.pass(89_999);
    assert_eq!(desk.finished(), None);
    desk.pass(1);
    assert_eq!(
        (desk.status("s.w"), desk.finished()),
        ("SUCCEEDED", Some(Outcome::Succeeded))
    );
}

#[test]
fn events_that_fit_nothing_are_refused() {
    let mut desk = at_approval("");
    let before = desk.run.state().clone();
    assert_eq!(decide(&mut desk, Decision::Retry), Err(Refusal::NotAsked));
    let nobody = Event::Answered {
        node: 9999,
        by: "ann".to_owned(),
        approved: true,
        comment: None,
    };
    assert_eq!(desk.apply(nobody), Err(Refusal::Unknown));
    assert_eq!(desk.run.state(), &before);
}
