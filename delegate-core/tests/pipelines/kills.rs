//! `kill -9` of the manager in the middle of a run: the next one goes on where it was.

use crate::site::{Caller, ManagerProgram, agent, lines, node};
use crate::support::{PATIENCE, Watchdog};
use serde_json::json;

/// Steps that run one after the other, and beside them a matrix.
const ROUNDS: usize = 8;

#[tokio::test]
async fn a_run_goes_on_after_kills_and_each_step_runs_once() {
    let _watchdog = Watchdog::start_for("kills in a run", PATIENCE * 2);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("manager");
    let ran = dir.path().join("ran");
    let mut manager = ManagerProgram::start(&data, "127.0.0.1:0");
    let listen = manager.address.to_string();
    let _agents = [
        agent(&manager.url(), "one", &["linux"]),
        agent(&manager.url(), "two", &["linux"]),
    ];
    let step = |name: String, more: &str, command: &str| {
        format!(
            "              - step: {{identifier: {name}, type: Run, {more}spec: {{command: \"{command} >> '{}'\"}}}}\n",
            ran.display()
        )
    };
    let steps: String = (0..ROUNDS)
        .map(|round| {
            if round % 3 == 2 {
                step(
                    format!("s{round}"),
                    "strategy: {parallelism: 3}, ",
                    &format!("echo s{round}_<+strategy.iteration>"),
                )
            } else {
                step(format!("s{round}"), "", &format!("echo s{round}"))
            }
        })
        .collect();
    let wait = "              - step: {identifier: pause, type: Wait, spec: {duration: 300ms}}\n";
    let ask =
        "              - step: {identifier: sure, type: HarnessApproval, spec: {approvalMessage: Sure?}}\n";
    let file = format!(
        "pipeline:\n  identifier: p\n  stages:\n    - stage:\n        identifier: s\n        spec:\n          execution:\n            steps:\n{steps}{wait}{ask}"
    );
    let all = ROUNDS + ROUNDS / 3 * 2;
    let id = Caller::new(&manager.url()).start(&file, json!({})).await;
    // Each kill comes right after a script ran: before its end is told, or kept, or followed by the next step.
    for count in [1, 2, 3, 5, 8] {
        lines(&ran, count).await;
        manager.kill();
        manager = ManagerProgram::start(&data, &listen);
    }
    let caller = Caller::new(&manager.url());
    caller
        .until(&id, |run| node(run, "s.sure")["asked"].is_object())
        .await;
    // What waits for time or for people does so as well.
    manager.kill();
    manager = ManagerProgram::start(&data, &listen);
    let caller = Caller::new(&manager.url());
    let (status, said) = caller.say(&id, "s.sure", "approve", json!({"by": "ann"})).await;
    assert_eq!(status, 200, "{said}");
    let run = caller.ended(&id).await;
    assert_eq!(run["status"], "SUCCEEDED", "{run:#}");
    let mut each: Vec<String> = std::fs::read_to_string(&ran)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(each.len(), all, "{each:?}");
    each.sort();
    each.dedup();
    assert_eq!(each.len(), all, "no step ran twice, and none was lost: {each:?}");
    for round in 0..ROUNDS {
        assert_eq!(node(&run, &format!("s.s{round}"))["status"], "SUCCEEDED");
    }
    // A manager that starts after the end shows the run as it was.
    manager.kill();
    let manager = ManagerProgram::start(&data, &listen);
    let later = Caller::new(&manager.url()).run(&id).await;
    assert_eq!(later["tree"], run["tree"]);
}
