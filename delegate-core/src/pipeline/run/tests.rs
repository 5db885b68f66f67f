//! What a run does, event by event.

mod conservation;
mod failures;
mod people;
mod strategies;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::pipeline::plan::Level;
use crate::task::Registry;

const NOW: Millis = 1_000_000;

/// A run, and what was asked of whoever runs tasks.
struct Desk {
    run: Run,
    now: Millis,
    commands: Vec<Command>,
}

impl Desk {
    /// A run of one stage `s` with these steps.
    fn steps(steps: &str) -> Self {
        Self::stages(&stage("s", steps, ""))
    }

    fn stages(stages: &str) -> Self {
        Self::file(&format!("pipeline:\n  name: p\n  stages:\n{stages}"), &[])
    }

    fn file(file: &str, given: &[(&str, &str)]) -> Self {
        let plan =
            Plan::read(file, &Registry::standard()).unwrap_or_else(|faults| panic!("{faults}\n{file}"));
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let inputs = plan.inputs(&given).unwrap();
        let (run, effects) = Run::start(Arc::new(plan), "run-1".to_owned(), inputs, NOW);
        Self {
            run,
            now: NOW,
            commands: effects.commands,
        }
    }

    fn apply(&mut self, event: Event) -> Result<(), Refusal> {
        // Whatever happens happens to what was kept and taken back.
        let kept = serde_json::to_string(self.run.state()).unwrap();
        let plan = serde_json::to_string(self.run.plan()).unwrap();
        let plan = Arc::new(serde_json::from_str(&plan).unwrap());
        self.run = Run::restore(plan, serde_json::from_str(&kept).unwrap()).unwrap();
        let effects = self.run.apply(self.now, event)?;
        self.commands.extend(effects.commands);
        Ok(())
    }

    fn node(&self, path: &str) -> NodeId {
        let named = |id: &NodeId| {
            matches!(
                self.run.element(*id).level,
                Level::Stage | Level::Group | Level::Step
            ) && self.run.path(*id) == path
        };
        let found: Vec<_> = (0..self.run.state.nodes.len()).filter(named).collect();
        assert_eq!(found.len(), 1, "nodes at {path}: {}", self.tree());
        found[0]
    }

    fn status(&self, path: &str) -> &'static str {
        self.run.state.nodes[self.node(path)].status_name()
    }

    fn message(&self, path: &str) -> &str {
        self.run.state.nodes[self.node(path)]
            .message
            .as_deref()
            .unwrap_or_default()
    }

    fn task(&self, path: &str) -> TaskRef {
        let node = self.node(path);
        TaskRef {
            node,
            attempt: self.run.state.nodes[node].attempts,
        }
    }

    fn ends(&mut self, path: &str, status: TaskStatus, output_vars: &[(&str, &str)]) {
        let end = TaskEnd {
            delegate: None,
            status,
            message: None,
            output_vars: output_vars
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            fields: json!({"exit_code": 0, "nested": {"list": [1, "x"]}})
                .as_object()
                .unwrap()
                .clone(),
        };
        self.apply(Event::TaskEnded(self.task(path), end)).unwrap();
    }

    fn ok(&mut self, path: &str) {
        self.ends(path, TaskStatus::Succeeded, &[]);
    }

    fn fails(&mut self, path: &str) {
        self.ends(path, TaskStatus::Failed, &[]);
    }

    fn pass(&mut self, ms: Millis) {
        self.now += ms;
        self.apply(Event::Tick).unwrap();
    }

    /// Steps whose tasks run, and are not told to end.
    fn running(&self) -> Vec<String> {
        let submitted = self
            .run
            .outstanding()
            .into_iter()
            .filter_map(|command| match command {
                Command::Submit(submission) => Some(self.run.path(submission.task.node)),
                _ => None,
            });
        submitted.collect()
    }

    fn submission(&self, path: &str) -> Submission {
        let task = self.task(path);
        let found = self.commands.iter().find_map(|command| match command {
            Command::Submit(submission) if submission.task == task => Some(submission.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{path} was not submitted: {}", self.tree()))
    }

    fn script(&self, path: &str) -> String {
        self.submission(path).data["script"].as_str().unwrap().to_owned()
    }

    fn cancelled(&self) -> Vec<String> {
        let cancelled = self.commands.iter().filter_map(|command| match command {
            Command::Cancel(task) => Some(self.run.path(task.node)),
            _ => None,
        });
        cancelled.collect()
    }

    /// How the run ended; which it says once, and at the end.
    fn finished(&self) -> Option<Outcome> {
        let finished: Vec<_> = self
            .commands
            .iter()
            .filter_map(|command| match command {
                Command::Finished(outcome) => Some(*outcome),
                _ => None,
            })
            .collect();
        assert!(finished.len() <= 1);
        assert_eq!(finished.first().copied(), self.run.outcome());
        finished.first().copied()
    }

    fn tree(&self) -> String {
        (0..self.run.state.nodes.len())
            .map(|id| {
                format!(
                    "\n{} {} {:?}",
                    self.run.path(id),
                    self.run.state.nodes[id].status_name(),
                    self.run.element(id).level
                )
            })
            .collect()
    }
}

/// A stage of a file. `more` are lines of its own, indented by six blanks.
fn stage(identifier: &str, steps: &str, more: &str) -> String {
    let steps = indented(steps, 14);
    let more = indented(more, 8);
    format!(
        "    - stage:\n        identifier: {identifier}\n{more}        spec:\n          execution:\n            steps:\n{steps}"
    )
}

fn indented(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| format!("{}{line}\n", " ".repeat(by)))
        .collect()
}

/// A step that runs a script.
fn script(identifier: &str, script: &str, more: &str) -> String {
    let more = indented(more, 4);
    format!(
        "- step:\n    identifier: {identifier}\n    type: Run\n{more}    spec:\n      command: '{script}'\n      outputVariables: [V]\n"
    )
}

#[test]
fn steps_follow_each_other_and_see_what_came_before() {
    let file = r#"
pipeline:
  name: My Release
  delegateSelectors: [any]
  variables:
    - {name: env, type: String, value: prod}
    - {name: tag, type: String, value: "v-<+pipeline.variables.env>"}
    - {name: number, type: Number, value: <+input>.default(3)}
    - {name: password, type: Secret, value: db}
  stages:
    - stage:
        name: build
        variables: [{name: image, value: "shop:<+pipeline.variables.tag>"}]
        spec:
          execution:
            steps:
              - step:
                  identifier: a
                  type: ShellScript
                  timeout: 5m
                  spec:
                    shell: Bash
                    source: {type: Inline, spec: {script: "echo <+stage.variables.image>"}}
                    environmentVariables:
                      - {name: P, type: Secret, value: <+pipeline.variables.password>}
                      - {name: N, type: String, value: <+pipeline.variables.number>}
                    outputVariables: [{name: sha, type: String, value: COMMIT}]
              - step:
                  identifier: b
                  type: HTTP
                  delegateSelectors: ["<+pipeline.variables.env>", linux]
                  spec:
                    url: http://x/<+steps.a.output.outputVariables.sha>
                    json: {count: <+pipeline.variables.number>, code: "<+steps.a.output.exit_code>", item: <+steps.a.output.nested.list>}
    - stage:
        name: deploy
        spec:
          execution:
            steps:
              - step:
                  identifier: a
                  type: Run
                  spec:
                    command: |
                      <+pipeline.stages.build.spec.execution.steps.a.output.outputVariables.sha.toUpperCase()>
                      <+pipeline.stages.build.variables.image> <+pipeline.stages.build.status> <+pipeline.name>
                      <+pipeline.executionId> <+pipeline.startTs> <+stage.name> <+step.identifier> <+steps.a.name>
"#;
    let file = file.replace(" <+steps.a.name>", "").replace(
        "json: {",
        "body: x\n                    output_vars: {A: /a}\n                    headers: {",
    );
    let file = file
        .replace("count: <+pipeline.variables.number>, ", "")
        .replace(", item: <+steps.a.output.nested.list>", "");
    let mut desk = Desk::file(&file, &[]);
    let first = desk.submission("build.a");
    assert_eq!(first.kind, "SHELL_SCRIPT");
    assert_eq!(first.timeout_ms, 300_000);
    assert_eq!(first.selectors, ["any"]);
    assert_eq!(
        first.data,
        json!({
            "shell": "bash",
            "env": {"N": "3"},
            "secrets": {"P": "<+secrets.getValue(\"db\")>"},
            "script": "echo shop:v-prod",
            "output_vars": ["COMMIT"],
        })
    );
    desk.ends(
        "build.a",
        TaskStatus::Succeeded,
        &[("COMMIT", "abc"), ("OTHER", "x")],
    );
    let second = desk.submission("build.b");
    assert_eq!(
        (second.kind.as_str(), second.selectors),
        ("HTTP", vec!["prod".to_owned(), "linux".to_owned()])
    );
    assert_eq!(second.data["url"], "http://x/abc");
    assert_eq!(second.data["headers"]["code"], 0);
    desk.ok("build.b");
    assert_eq!(
        desk.script("deploy.a"),
        format!("ABC\nshop:v-prod SUCCEEDED My Release\nrun-1 {NOW} deploy a\n")
    );
    assert_eq!(desk.finished(), None);
    desk.ok("deploy.a");
    assert_eq!(desk.finished(), Some(Outcome::Succeeded));
    assert_eq!(desk.apply(Event::Tick), Err(Refusal::Over));
}

#[test]
fn what_runs_after_a_failure_is_what_asks_for_it() {
    let steps = [
        script("a", "x", ""),
        script("b", "x", ""),
        script("c", "x", "when: {stageStatus: Failure}"),
        script(
            "d",
            "x",
            "when: {stageStatus: All, condition: \"<+steps.a.status> == 'FAILED'\"}",
        ),
        script(
            "e",
            "x",
            "when: {stageStatus: All, condition: \"<+steps.b.status> != 'SKIPPED'\"}",
        ),
    ];
    let stages = [
        stage("one", &steps.concat(), ""),
        stage("two", &script("a", "x", ""), ""),
        stage("three", &script("a", "x", ""), "when: {pipelineStatus: All}"),
        stage(
            "four",
            &script("a", "x", ""),
            "when: {pipelineStatus: Failure, condition: <+pipeline.stages.one.status> == \"FAILED\"}",
        ),
    ];
    let mut desk = Desk::stages(&stages.concat());
    desk.fails("one.a");
    assert_eq!(desk.running(), ["one.c"]);
    desk.ok("one.c");
    assert_eq!(desk.running(), ["one.d"]);
    desk.ok("one.d");
    assert_eq!(desk.running(), ["three.a"]);
    desk.ok("three.a");
    desk.ok("four.a");
    assert_eq!(desk.finished(), Some(Outcome::Failed));
    for (path, status) in [
        ("one", "FAILED"),
        ("one.b", "SKIPPED"),
        ("one.e", "SKIPPED"),
        ("two", "SKIPPED"),
        ("three", "SUCCEEDED"),
        ("four", "SUCCEEDED"),
    ] {
        assert_eq!(desk.status(path), status, "{path}");
    }
    assert_eq!(desk.message("one.b"), "Not begun: something failed before.");
}

#[test]
fn branches_run_at_once_and_groups_in_order() {
    let group = |name: &str, steps: &str| {
        format!(
            "- stepGroup:\n    identifier: {name}\n    steps:\n{}",
            indented(steps, 6)
        )
    };
    let branches = script("a", "x", "")
        + &group(
            "g",
            &(script("b", "x", "") + &script("c", "<+steps.b.output.outputVariables.V>", "")),
        );
    let steps = format!("- parallel:\n{}", indented(&branches, 4))
        + &script(
            "d",
            "<+steps.g.steps.c.output.outputVariables.V>-<+execution.steps.a.output.outputVariables.V>",
            "",
        );
    let mut desk = Desk::steps(&steps);
    assert_eq!(desk.running(), ["s.a", "s.g.b"]);
    desk.ends("s.g.b", TaskStatus::Succeeded, &[("V", "1")]);
    assert_eq!(desk.script("s.g.c"), "1");
    desk.ends("s.g.c", TaskStatus::Succeeded, &[("V", "2")]);
    assert_eq!(desk.status("s.g"), "SUCCEEDED");
    assert_eq!(desk.running(), ["s.a"]);
    desk.ends("s.a", TaskStatus::Succeeded, &[("V", "3")]);
    assert_eq!(desk.script("s.d"), "2-3");
    desk.ok("s.d");
    assert_eq!(desk.finished(), Some(Outcome::Succeeded));
}

#[test]
fn a_stage_is_not_taken_for_a_step_of_its_name() {
    let read = "<+pipeline.stages.two.spec.execution.steps.one.output.outputVariables.V>";
    let stages = stage("one", &script("two", "x", ""), "")
        + &stage("two", &script("one", "x", ""), "")
        + &stage("three", &script("two", read, ""), "");
    let mut desk = Desk::stages(&stages);
    desk.ends("one.two", TaskStatus::Succeeded, &[("V", "a")]);
    desk.ends("two.one", TaskStatus::Succeeded, &[("V", "b")]);
    assert_eq!(desk.script("three.two"), "b");
}

#[test]
fn a_value_that_is_missing_fails_the_step_that_wants_it() {
    let steps = script("a", "x", "") + &script("b", "<+steps.a.output.outputVariables.V>", "");
    let mut desk = Desk::steps(&steps);
    desk.ok("s.a");
    assert_eq!(desk.finished(), Some(Outcome::Failed));
    let told = desk.message("s.b");
    assert!(
        told.contains("line 19, column 30")
            && told.contains("the step `a` (SUCCEEDED) returned no output variable `V`"),
        "{told}"
    );
}

#[test]
fn an_output_cannot_bring_a_reference_to_a_secret() {
    let steps = script("a", "x", "") + &script("b", "<+steps.a.output.outputVariables.V>", "");
    let mut desk = Desk::steps(&steps);
    desk.ends(
        "s.a",
        TaskStatus::Succeeded,
        &[("V", "<+secrets.getValue(\"root\")>")],
    );
    assert_eq!(desk.status("s.b"), "FAILED");
    assert!(
        desk.message("s.b")
            .contains("references are written in the pipeline file"),
        "{}",
        desk.message("s.b")
    );
}

#[test]
fn results_are_kept_within_bounds() {
    let mut desk = Desk::steps(
        &(script("a", "x", "") + "- step: {identifier: b, type: HTTP, spec: {url: 'http://x'}}\n"),
    );
    desk.ends("s.a", TaskStatus::Succeeded, &[("V", "1"), ("UNDECLARED", "2")]);
    let node = &desk.run.state.nodes[desk.node("s.a")];
    assert_eq!(node.outputs, BTreeMap::from([("V".to_owned(), "1".to_owned())]));
    let long = "x".repeat(MAX_KEPT_BYTES);
    desk.ends(
        "s.b",
        TaskStatus::Succeeded,
        &[("A", "1"), ("B", &long), ("C", "3")],
    );
    let node = &desk.run.state.nodes[desk.node("s.b")];
    assert_eq!(node.outputs.keys().collect::<Vec<_>>(), ["A", "C"]);
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let mut desk = Desk::steps(&(script("a", "x", "") + &script("b", "x", "")));
    let end = TaskEnd {
        delegate: None,
        status: TaskStatus::Succeeded,
        message: None,
        output_vars: BTreeMap::new(),
        fields: json!({"deep": deep, "flat": [[1]]}).as_object().unwrap().clone(),
    };
    desk.apply(Event::TaskEnded(desk.task("s.a"), end)).unwrap();
    let node = &desk.run.state.nodes[desk.node("s.a")];
    assert_eq!(node.fields.keys().collect::<Vec<_>>(), ["flat"]);
    desk.ok("s.b");
}

#[test]
fn a_run_that_is_taken_up_says_again_what_is_to_be_done() {
    let approval = "- step: {identifier: ok, type: HarnessApproval, spec: {approvalMessage: Sure?}}\n";
    let steps = format!("- parallel:\n{}", indented(&(script("a", "x", "") + approval), 4));
    let desk = Desk::steps(&steps);
    assert_eq!(desk.run.outstanding(), desk.commands);
    let mut state = desk.run.state().clone();
    state.nodes[1].element = 99;
    let plan = Arc::new(desk.run.plan().clone());
    assert!(matches!(Run::restore(plan, state), Err(Mismatch)));
}
