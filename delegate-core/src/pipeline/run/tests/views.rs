//! What people see of a run, and what programs read of it.

use super::*;
use crate::pipeline::report::junit;

#[test]
fn a_run_is_seen_as_a_tree_and_reported_by_step() {
    let branches = script("a", "x", "strategy: {parallelism: 2}") + &script("b", "x", "name: The <B>");
    let ask = "- step: {identifier: ok, type: HarnessApproval, when: {stageStatus: All}, spec: {approvalMessage: Sure?}}\n";
    let steps = format!("- parallel:\n{}", indented(&branches, 4)) + &script("c", "x", "") + ask;
    let mut desk = Desk::stages(&(stage("one", &steps, "") + &stage("two", &script("a", "x", ""), "")));
    desk.pass(1500);
    desk.ends("one.a_0", TaskStatus::Succeeded, &[("V", "1")]);
    desk.ends("one.a_1", TaskStatus::TimedOut, &[]);
    desk.ok("one.b");
    let view = desk.run.view(&|task| format!("{}/{}", task.node, task.attempt));
    let one = &view.children[0];
    let seen: Vec<_> = one
        .children
        .iter()
        .map(|node| (node.path.as_str(), node.status.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("one.a", "FAILED"),
            ("one.b", "SUCCEEDED"),
            ("one.c", "SKIPPED"),
            ("one.ok", "RUNNING")
        ]
    );
    assert_eq!((view.status.as_str(), view.children.len()), ("RUNNING", 2));
    assert_eq!(
        (view.children[1].status.as_str(), view.children[1].children.len()),
        ("PENDING", 0)
    );
    let first = &one.children[0].children[0];
    assert_eq!(first.outputs["V"], "1");
    assert_eq!(first.task_id, Some(format!("{}/1", first.node)));
    assert_eq!(one.children[2].task_id, None, "it did not begin");
    assert_eq!(
        one.children[3].asked,
        Some(Asked::Approval {
            question: "Sure?".to_owned(),
            needed: 1,
            given: Vec::new()
        })
    );
    let answer = Event::Answered {
        node: one.children[3].node,
        by: "ann & bob".to_owned(),
        approved: true,
        comment: None,
    };
    desk.apply(answer).unwrap();
    let view = desk.run.view(&|task| format!("{}/{}", task.node, task.attempt));
    assert_eq!(
        serde_json::from_str::<NodeView>(&serde_json::to_string(&view).unwrap()).unwrap(),
        view
    );
    assert_eq!(
        junit(&view, desk.now),
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="p" tests="6" failures="1" skipped="2" time="1.500">
  <testsuite name="one" tests="5" failures="1" skipped="1" time="1.500">
    <testcase classname="p.one" name="a_0" time="1.500"/>
    <testcase classname="p.one" name="a_1" time="1.500"><failure type="TIMED_OUT" message="The task ran out of time."/></testcase>
    <testcase classname="p.one" name="b" time="1.500"/>
    <testcase classname="p.one" name="c" time="0.000"><skipped message="Not begun: something failed before."/></testcase>
    <testcase classname="p.one" name="ok" time="0.000"><system-out>Approved by ann &amp; bob</system-out></testcase>
  </testsuite>
  <testsuite name="two" tests="1" failures="0" skipped="1" time="0.000">
    <testcase classname="p.two" name="two" time="0.000"><skipped message="Not begun: something failed before."/></testcase>
  </testsuite>
</testsuites>
"#
    );
}
