//! Files: what is read from them, and what is told of those that are wrong.

mod faults;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::expression::Value;
use super::*;
use crate::task::Registry;

fn read(file: &str) -> Result<Plan, Faults> {
    Plan::read(file, &Registry::standard())
}

/// A pipeline with most of what there is, for what is wrong in one place.
const FILE: &str = r#"pipeline:
  identifier: release
  name: Release
  tags: {team: a}
  timeout: 1h 30m
  delegateSelectors: [any]
  variables:
    - name: env
      type: String
      value: <+input>.default(dev).allowedValues(dev,prod)
    - name: image
      value: shop-<+pipeline.variables.env>
  stages:
    - stage:
        name: Build it
        type: CI
        variables:
          - {name: tag, value: "<+pipeline.variables.image>:1"}
        spec:
          execution:
            steps:
              - step:
                  identifier: clone
                  type: GIT_CLONE
                  spec:
                    url: https://git.example.com/a.git
                    directory: a
                    ref: {branch: "<+pipeline.variables.env>"}
              - parallel:
                  - step:
                      identifier: unit
                      type: Run
                      strategy: {matrix: {os: [linux, mac]}}
                      spec:
                        shell: Bash
                        command: make test-<+matrix.os> C=<+steps.clone.output.commit>
                        outputVariables: [{name: sum}]
                  - stepGroup:
                      identifier: lint
                      steps:
                        - step: {identifier: style, type: SHELL_SCRIPT, spec: {script: x, output_vars: [OUT]}}
              - step:
                  identifier: go
                  type: HarnessApproval
                  when: {stageStatus: Success, condition: <+pipeline.variables.env> == "prod"}
                  spec: {approvalMessage: "Sure? <+steps.unit_0.output.outputVariables.sum>", approvers: {minimumCount: 2}}
            rollbackSteps:
              - step: {identifier: undo, type: SHELL_SCRIPT, spec: {script: "echo <+steps.style.output.outputVariables.OUT>"}}
    - parallel:
        - stage:
            identifier: a
            spec: {execution: {steps: [{step: {identifier: x, type: Wait, spec: {duration: 5s}}}]}}
        - stage:
            identifier: b
            failureStrategies:
              - onFailure:
                  errors: [AllErrors]
                  action: {type: Retry, spec: {retryCount: 2, retryIntervals: [5s], onRetryFailure: {action: {type: Abort}}}}
            spec:
              execution:
                steps:
                  - step:
                      identifier: x
                      type: Http
                      spec:
                        method: GET
                        url: https://example.com/<+pipeline.stages.Build_it.variables.tag>
                        headers: [{key: a, value: <+secrets.getValue("t")>}]
"#;

#[test]
fn a_file_is_a_plan() {
    let plan = read(FILE).unwrap_or_else(|faults| panic!("{faults}"));
    let shown: Vec<_> = plan
        .elements
        .iter()
        .map(|element| format!("{:?} {} {:?}", element.level, element.identifier, element.parent))
        .collect();
    assert_eq!(
        shown,
        [
            "Pipeline release None",
            "Stage Build_it Some(0)",
            "Step clone Some(1)",
            "Parallel  Some(1)",
            "Step unit Some(3)",
            "Group lint Some(3)",
            "Step style Some(5)",
            "Step go Some(1)",
            "Rollback  Some(1)",
            "Step undo Some(8)",
            "Parallel  Some(0)",
            "Stage a Some(10)",
            "Step x Some(11)",
            "Stage b Some(10)",
            "Step x Some(13)",
        ]
    );
    assert_eq!(plan.elements[0].timeout_ms, Some(90 * 60 * 1000));
    assert_eq!(plan.elements[1].rollback, Some(8));
    let kept = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&kept).unwrap(), plan);
}

#[test]
fn scripts_are_tasks_of_the_kind_that_runs_them() {
    for (shell, kind, field, program) in [
        ("shell: Bash", "SHELL_SCRIPT", "shell", "bash"),
        ("shell: Sh", "SHELL_SCRIPT", "shell", "sh"),
        ("shell: Python", "SHELL_SCRIPT", "interpreter", "python3"),
        ("shell: Pwsh", "POWERSHELL_SCRIPT", "edition", "core"),
        ("shell: Powershell", "POWERSHELL_SCRIPT", "edition", "windows"),
    ] {
        let plan = read(&FILE.replace("shell: Bash", shell)).unwrap_or_else(|faults| panic!("{faults}"));
        let step = plan
            .elements
            .iter()
            .find(|element| element.identifier == "unit")
            .unwrap();
        let Body::Task(task) = &step.body else {
            panic!("{step:?}");
        };
        assert_eq!(task.kind, kind, "{shell}");
        let expression::Template::Map(data) = &task.data else {
            panic!("{task:?}");
        };
        assert_eq!(
            data[field],
            expression::Template::Plain(program.into()),
            "{shell}"
        );
        assert_eq!(
            data["output_vars"],
            expression::Template::Plain(serde_json::json!(["sum"]))
        );
    }
}

/// The guide's own words: its first example, and what it says there is.
#[test]
fn the_guide_says_what_there_is() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/pipelines.md");
    let guide = std::fs::read_to_string(&path).unwrap();
    let example = guide.split("```").nth(1).unwrap().strip_prefix("yaml\n").unwrap();
    read(example).unwrap_or_else(|faults| panic!("{faults}"));
    let words = expression::function_names()
        .map(|name| format!("{name}("))
        .chain(expression::Operator::ALL.map(|operator| operator.as_str().replace('|', "\\|")))
        .chain(["SUCCEEDED", "IGNORE_FAILED", "TIMED_OUT", "REJECTED"].map(ToOwned::to_owned));
    for word in words {
        assert!(guide.contains(&format!("`{word}")), "{word}");
    }
}

fn given(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn inputs_are_what_variables_ask_for() {
    let file = r#"
pipeline:
  name: p
  variables:
    - {name: env, value: "<+input>.default('dev').allowedValues(dev, prod)"}
    - {name: version, required: true, value: '<+input>.regex(\d+(\.\d+)*)'}
    - {name: count, type: Number, value: <+input>, default: "3"}
    - {name: password, type: Secret, value: <+input>.default(db)}
    - {name: note, value: <+input>}
    - {name: fixed, value: x}
  stages:
    - stage:
        identifier: s
        variables: [{name: tag, value: <+input>.default(a)}]
        spec: {execution: {steps: [{step: {identifier: w, type: Wait, spec: {duration: 1s}}}]}}
"#;
    let plan = read(file).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    let inputs = plan
        .inputs(&given(&[("version", "1.2"), ("s.tag", "b"), ("note", "")]))
        .unwrap();
    let expected = [
        ("count", Value::Number(3.0)),
        ("env", text("dev")),
        ("note", text("")),
        (
            "password",
            Value::Secret("<+secrets.getValue(\"db\")>".to_owned()),
        ),
        ("s.tag", text("b")),
        ("version", text("1.2")),
    ];
    assert_eq!(
        inputs,
        expected.map(|(name, value)| (name.to_owned(), value)).into()
    );
    let wrong = [
        ("env", "test"),
        ("version", "x1"),
        ("count", "many"),
        ("password", "a\"b'c"),
        ("note", "see <+secrets.getValue('x')>"),
        ("fixed", "y"),
        ("vers", "1"),
    ];
    let told: Vec<_> = plan
        .inputs(&given(&wrong))
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "the variable `env` takes one of dev, prod",
            r"the variable `version` must match \d+(\.\d+)*",
            "the variable `count` takes a number",
            "the variable `password` takes the name of a secret",
            "the variable `note` takes no reference to a secret; make it a variable of type Secret",
            "the variable `fixed` has its value in the file; write `value: <+input>.default(…)` there to have it asked for",
            "there is no variable `vers`; there are env, version, count, password, note, fixed, s.tag",
        ]
    );
    let missing = plan.inputs(&given(&[("version", "")])).unwrap_err();
    let told: Vec<_> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the variable `version` must not be empty",
            "the variable `note` needs a value: give note=…"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lines of a good file cut, doubled, moved and changed: it is read, or refused at places that it has.
    #[test]
    fn any_file_is_read_or_refused_at_its_places(
        changes in prop::collection::vec((0usize..90, 0u8..5, 0usize..90), 1..4)
    ) {
        let mut lines: Vec<String> = FILE.lines().map(ToOwned::to_owned).collect();
        for (at, how, other) in changes {
            let (at, other) = (at % lines.len(), other % lines.len());
            match how {
                0 => { lines.remove(at); }
                1 => { let line = lines[at].clone(); lines.insert(other, line); }
                2 => lines.swap(at, other),
                3 => { let half = lines[at].chars().take(other).collect(); lines[at] = half; }
                _ => lines[at] = lines[at].replace(": ", ": <+").replace('>', ">>"),
            }
        }
        let file = lines.join("\n");
        if let Err(faults) = read(&file) {
            prop_assert!(!faults.0.is_empty());
            for fault in &faults.0 {
                prop_assert!(fault.at.line >= 1 && fault.at.line as usize <= lines.len() + 1, "{}", fault);
                prop_assert!(fault.at.column >= 1);
            }
        }
    }
}
