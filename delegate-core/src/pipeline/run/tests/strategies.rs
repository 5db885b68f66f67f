//! Matrices and repetitions.

use super::*;

#[test]
fn a_matrix_runs_its_combinations_so_many_at_once() {
    let strategy = "strategy:\n  matrix:\n    os: [linux, mac]\n    v: <+\"1,2\".split(\",\")>\n    exclude: [{os: mac, v: \"1\"}]\n    maxConcurrency: 2";
    let steps = script(
        "a",
        "<+matrix.os>-<+matrix.v> <+strategy.iteration>/<+strategy.iterations>",
        strategy,
    ) + &script(
        "b",
        "<+steps.a_0.output.outputVariables.V> <+steps.a_2.output.outputVariables.V>",
        "",
    );
    let mut desk = Desk::steps(&steps);
    assert_eq!(desk.running(), ["s.a_0", "s.a_1"]);
    assert_eq!(desk.script("s.a_0"), "linux-1 0/3");
    desk.ends("s.a_0", TaskStatus::Succeeded, &[("V", "x")]);
    assert_eq!(desk.running(), ["s.a_1", "s.a_2"]);
    assert_eq!(desk.script("s.a_2"), "mac-2 2/3");
    desk.ends("s.a_2", TaskStatus::Succeeded, &[("V", "y")]);
    desk.ok("s.a_1");
    assert_eq!(desk.script("s.b"), "x y");
    desk.ok("s.b");
    assert_eq!(desk.finished(), Some(Outcome::Succeeded));
}

#[test]
fn iterations_see_their_own_and_one_failure_does_not_end_the_others() {
    let inner = script("a", "<+repeat.item>", "")
        + &script("b", "<+steps.a.output.outputVariables.V> <+stage.identifier>", "");
    let stages = stage("s", &inner, "strategy:\n  repeat: {items: [x, y]}")
        + &stage(
            "after",
            &script(
                "a",
                "<+pipeline.stages.s_1.spec.execution.steps.b.output.outputVariables.V>",
                "",
            ),
            "when: {pipelineStatus: All}",
        );
    let mut desk = Desk::stages(&stages);
    assert_eq!(desk.running(), ["s_0.a", "s_1.a"]);
    assert_eq!(
        (desk.script("s_0.a"), desk.script("s_1.a")),
        ("x".to_owned(), "y".to_owned())
    );
    desk.fails("s_0.a");
    desk.ends("s_1.a", TaskStatus::Succeeded, &[("V", "mine")]);
    assert_eq!(desk.script("s_1.b"), "mine s_1");
    desk.ends("s_1.b", TaskStatus::Succeeded, &[("V", "last")]);
    assert_eq!(
        (desk.status("s"), desk.status("s_0"), desk.status("s_1")),
        ("FAILED", "FAILED", "SUCCEEDED")
    );
    assert_eq!(desk.script("after.a"), "last");
}

#[test]
fn a_strategy_without_values_makes_nothing_and_one_with_too_many_fails() {
    let over = |items: &str| format!("strategy:\n  repeat: {{items: {items}}}");
    let desk = Desk::steps(&script("a", "x", &over("'<+\"\".split(\",\").get(0)>'")));
    assert_eq!(desk.finished(), Some(Outcome::Failed));
    assert!(
        desk.message("s.a").contains("its values are a list, not a text"),
        "{}",
        desk.message("s.a")
    );
    let many = format!("'<+\"{}\".split(\",\")>'", ",".repeat(300));
    let desk = Desk::steps(&script("a", "x", &over(&many)));
    assert!(
        desk.message("s.a").contains("more than 256 iterations"),
        "{}",
        desk.message("s.a")
    );
    let all = "strategy:\n  matrix: {a: [1], exclude: [{a: 1}]}";
    let desk = Desk::steps(&script("a", "x", all));
    assert_eq!(
        (desk.finished(), desk.status("s.a")),
        (Some(Outcome::Succeeded), "SKIPPED")
    );
}
