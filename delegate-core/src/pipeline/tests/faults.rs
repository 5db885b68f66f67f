//! What is told of files that are wrong, and where.

use super::*;

/// Replaces a text that is there once, and reads what becomes of the file.
fn with(from: &str, to: &str) -> String {
    assert_eq!(FILE.matches(from).count(), 1, "{from}");
    match read(&FILE.replace(from, to)) {
        Ok(_) => "nothing".to_owned(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn what_a_file_says_wrong_is_told_with_its_place() {
    let mut wrong = Vec::new();
    for (from, to, told) in [
        (
            "  name: Release\n",
            "  nam: Release\n",
            "line 3, column 3: the pipeline has no field `nam`; did you mean `name`?",
        ),
        (
            "  identifier: release\n  name: Release\n",
            "",
            "line 2, column 3: an `identifier` or a `name` is missing",
        ),
        (
            "identifier: release",
            "identifier: re-lease",
            "line 2, column 15: an identifier has letters, digits, _ and $",
        ),
        (
            "timeout: 1h 30m",
            "timeout: soon",
            "line 5, column 12: not a time: give a number and a unit",
        ),
        (
            "timeout: 1h 30m",
            "timeout: <+x>",
            "line 5, column 12: a time is written out; expressions are not evaluated here",
        ),
        (
            "timeout: 1h 30m",
            "timeout: 8d",
            "line 5, column 12: a time is more than nothing, and at most 7d",
        ),
        (
            "type: String",
            "type: string",
            "line 9, column 13: the type of a variable is String, Number, Secret, not what is written; did you mean String?",
        ),
        (
            "- name: image",
            "- name: env",
            "line 11, column 7: the variable `env` is there a second time",
        ),
        (
            ".default(dev)",
            ".executionInput()",
            "line 10, column 14: after <+input> there may be .default(…)",
        ),
        (
            "shop-<+pipeline.variables.env>",
            "shop-<+pipeline.variables.>",
            "line 12, column 40: in the expression: expected a name after `.`, found `>`",
        ),
        (
            "type: CI",
            "type: Build",
            "line 16, column 15: the type of a stage is Custom, Deployment, CI, Approval",
        ),
        (
            "type: GIT_CLONE",
            "typ: GIT_CLONE",
            "line 23, column 19: the step needs `type`",
        ),
        (
            "type: GIT_CLONE",
            "typ: GIT_CLONE",
            "line 24, column 19: the step has no field `typ`; did you mean `type`?",
        ),
        (
            "shell: Bash",
            "image: alpine",
            "`image` is not supported; the command runs on the delegate itself",
        ),
        (
            "shell: Bash",
            "shell: Perl",
            "line 35, column 32: shell is Bash, Sh, Pwsh, Powershell, Python, not what is written",
        ),
        (
            "{matrix: {os: [linux, mac]}}",
            "{matrix: {os: linux}}",
            "expected a list, or an expression that makes one",
        ),
        (
            "{matrix: {os: [linux, mac]}}",
            "{matrix: {}}",
            "a matrix has at least one axis",
        ),
        (
            "{matrix: {os: [linux, mac]}}",
            "{parallelism: 0}",
            "parallelism is a whole number from 1 to 256",
        ),
        (
            "stageStatus: Success",
            "pipelineStatus: Success",
            "`when` has no field `pipelineStatus`; it has stageStatus, condition",
        ),
        (
            "== \"prod\"",
            "= \"prod\"",
            "line 45, column 85: in the expression: `=` has no meaning here; equality is written ==",
        ),
        (
            "                      strategy: {matrix: {os: [linux, mac]}}",
            "                      outputVariables: [X]",
            "outputVariables of a Run stand in its spec; write them there",
        ),
        (
            "minimumCount: 2",
            "userGroups: [x]",
            "`userGroups` is not supported; whoever has an API key",
        ),
        (
            "approvalMessage",
            "message",
            "the spec of the step needs `approvalMessage`",
        ),
        (
            "            rollbackSteps:",
            "            rollbackStep:",
            "the execution of the stage has no field `rollbackStep`; did you mean `rollbackSteps`?",
        ),
        ("duration: 5s", "duration: 0s", "a time is more than nothing"),
        (
            "errors: [AllErrors]",
            "errors: []",
            "errors names at least one, such as AllErrors",
        ),
        (
            "errors: [AllErrors]",
            "errors: [Everything]",
            "an error is AllErrors, Timeout, DelegateProvisioning, ApprovalRejection, Unknown",
        ),
        (
            "{type: Retry,",
            "{type: PipelineRollback,",
            "an action is MarkAsFailure, Ignore, MarkAsSuccess, Abort, StageRollback, ManualIntervention, Retry",
        ),
        (
            "{action: {type: Abort}}",
            "{action: {type: Retry}}",
            "an action is MarkAsFailure, Ignore, MarkAsSuccess, Abort, StageRollback, ManualIntervention, not",
        ),
        (
            "retryCount: 2",
            "retryCount: many",
            "retryCount is a whole number from 1 to 100",
        ),
        (
            "method: GET",
            "assertion: x",
            "`assertion` is not supported; write the step with `type: HTTP`",
        ),
        (
            "    - parallel:\n        - stage:\n            identifier: a",
            "    - paralel:\n        - stage:\n            identifier: a",
            "an item of stages has no field `paralel`",
        ),
    ] {
        let faults = with(from, to);
        if !faults.contains(told) {
            wrong.push(format!("{from} -> {to}: {told}\n{faults}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn what_cannot_be_right_is_told_before_a_run() {
    let mut wrong = Vec::new();
    for (from, to, told) in [
        // Names.
        (
            "identifier: style",
            "identifier: clone",
            "the identifier `clone` is taken by line 23; identifiers are unique in a stage",
        ),
        (
            "identifier: style",
            "identifier: unit_1",
            "`unit` runs several times, and one of them is called `unit_1`, which is taken",
        ),
        (
            "            identifier: b\n",
            "            identifier: a\n",
            "the identifier `a` is taken by line 51; identifiers are unique among stages",
        ),
        // What expressions refer to.
        (
            "shop-<+pipeline.variables.env>",
            "<+pipeline.variables.image>",
            "line 12, column 16: the variable `image` has no value yet; a variable uses those above it",
        ),
        (
            "shop-<+pipeline.variables.env>",
            "<+pipeline.variables.evn>",
            "line 12, column 16: the pipeline has no variable `evn`; did you mean `env`?",
        ),
        (
            "shop-<+pipeline.variables.env>",
            "<+stage.name>",
            "`stage` stands for the stage that one is in, and this is in none",
        ),
        (
            "shop-<+pipeline.variables.env>",
            "<+input.x>",
            "line 12, column 16: `input.x` is not known; write a path that begins with pipeline",
        ),
        (
            "<+matrix.os>",
            "<+matrix.so>",
            "there is no matrix with an axis `so` around this",
        ),
        (
            "<+matrix.os>",
            "<+repeat.item>",
            "there is no `repeat` with items around this",
        ),
        (
            "[linux, mac]",
            "[<+matrix.os>]",
            "there is no matrix with an axis `os` around this",
        ),
        (
            "<+steps.clone.output.commit>",
            "<+steps.clone.output.outputVariables.a.b>",
            "of a step there are output.outputVariables.NAME",
        ),
        (
            "<+steps.clone.output.commit>",
            "<+steps.clonr.output.commit>",
            "line 36, column 61: there is no step `clonr` in the stage; did you mean `clone`?",
        ),
        (
            "<+steps.clone.output.commit>",
            "<+steps.style.output.outputVariables.OUT>",
            "the step `style` is not over by then; refer to steps that come before",
        ),
        (
            "<+steps.clone.output.commit>",
            "<+steps.unit.output.outputVariables.sum>",
            "the step `unit` is not over by then",
        ),
        (
            "<+steps.clone.output.commit>",
            "<+steps.undo.status>",
            "the step `undo` is not over by then",
        ),
        (
            "<+steps.clone.output.commit>",
            "<+steps.clone.output.commit.toUpper()>",
            "there is no function `toUpper`",
        ),
        (
            "<+steps.unit_0.output",
            "<+steps.unit.output",
            "the step `unit` runs several times; write which, `unit_0`",
        ),
        (
            "unit_0.output.outputVariables.sum",
            "unit_0.output.outputVariables.suum",
            "the step `unit` declares no output variable `suum`; did you mean `sum`?",
        ),
        (
            "steps.style.output.outputVariables.OUT",
            "steps.style.output.outputVariables.IN",
            "the step `style` declares no output variable `IN`",
        ),
        (
            "steps.style.output.outputVariables.OUT",
            "steps.go.output.x",
            "`go` is no task, and has no output",
        ),
        (
            "steps.style.output.outputVariables.OUT",
            "steps.lint.steps.styl.status",
            "there is no step `styl` in the group; did you mean `style`?",
        ),
        (
            "steps.style.output.outputVariables.OUT",
            "secrets.get(\\\"x\\\")",
            "`secrets` is not known; write secrets.getValue",
        ),
        (
            "stages.Build_it.variables.tag",
            "stages.Build_it.variables.tga",
            "that stage has no variable `tga`; did you mean `tag`?",
        ),
        (
            "stages.Build_it.variables.tag",
            "stages.a.spec.execution.steps.x.status",
            "the stage `a` is not over by then; refer to stages that come before",
        ),
        (
            "stages.Build_it.variables.tag",
            "stages.Bild_it.status",
            "there is no stage `Bild_it`; did you mean `Build_it`?",
        ),
        // Task kinds and their data.
        (
            "type: GIT_CLONE",
            "type: GitClone",
            "line 23, column 19: there is no step type `GitClone`; did you mean GIT_CLONE?",
        ),
        (
            "type: GIT_CLONE",
            "type: Magic",
            "there is no step type `Magic`; there are ",
        ),
        ("url: https://git", "uri: https://git", "unknown field `uri`"),
        (
            "script: x,",
            "script: x, env: {N: 1},",
            "data of SHELL_SCRIPT: `env.N`: invalid type: integer, expected a string",
        ),
        (
            "{script: x, output_vars: [OUT]}",
            "{output_vars: [OUT]}",
            "data of SHELL_SCRIPT: `data`: missing field `script`",
        ),
    ] {
        let faults = with(from, to);
        if !faults.contains(told) {
            wrong.push(format!("{from} -> {to}: {told}\n{faults}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn what_may_be_right_is_not_refused() {
    for (from, to) in [
        // A secret or an expression may be the right value.
        (
            "url: https://example.com/<+pipeline.stages.Build_it.variables.tag>",
            "url: <+secrets.getValue(\"url\")>",
        ),
        (
            "url: https://example.com/<+pipeline.stages.Build_it.variables.tag>",
            "url: <+pipeline.variables.image>",
        ),
        // A stage's own identifier, a group on the way, another stage's steps.
        ("steps.style.output", "steps.lint.steps.style.output"),
        (
            "steps.style.output",
            "pipeline.stages.Build_it.spec.execution.steps.style.output",
        ),
        (
            "stages.Build_it.variables.tag",
            "stages.Build_it.spec.execution.steps.unit_1.output.outputVariables.sum",
        ),
        (
            "stages.Build_it.variables.tag",
            "stages.Build_it.spec.execution.rollbackSteps.undo.status",
        ),
        ("stages.Build_it.variables.tag", "stages.a.name"),
        (
            "    - name: env\n",
            "    - description: where to\n      name: env\n",
        ),
        ("delegateSelectors: [any]", "delegateSelectors: any"),
    ] {
        assert_eq!(with(from, to), "nothing", "{from} -> {to}");
    }
}

#[test]
fn several_faults_are_told_at_once_and_in_order() {
    let file = FILE
        .replace("timeout: 1h 30m", "timeout: x")
        .replace("type: CI", "type: XX")
        .replace("retryCount: 2", "retryCount: 0")
        .replace("command: make", "comand: make");
    let faults = read(&file).unwrap_err();
    let lines: Vec<_> = faults.0.iter().map(|fault| fault.at.line).collect();
    assert_eq!(lines, [5, 16, 35, 36, 58]);
}

#[test]
fn files_that_are_no_pipelines_are_refused() {
    for (file, told) in [
        ("a: 1", "line 1, column 1: the file needs `pipeline`"),
        (
            "pipeline: 3",
            "line 1, column 11: the pipeline is a map, not a single value",
        ),
        ("[]", "line 1, column 1: the file is a map, not a list"),
        ("pipeline: {name: p, stages: []}", "there is no stage in it"),
        (
            "pipeline: {name: p, stages: [{}]}",
            "an item of stages is one `stage` or one `parallel`",
        ),
        (
            "pipeline: {name: p, stages: [{stage: {name: s, spec: {execution: {steps: []}}}}]}",
            "there is no step in it",
        ),
    ] {
        let faults = read(file).unwrap_err().to_string();
        assert!(faults.contains(told), "{file}: {faults}");
    }
    let steps = "{step: {identifier: sN, type: Wait, spec: {duration: 1s}}},";
    let many: String = (0..MAX_ELEMENTS)
        .map(|n| steps.replace("sN", &format!("s{n}")))
        .collect();
    let file = format!(
        "pipeline: {{name: p, stages: [{{stage: {{name: s, spec: {{execution: {{steps: [{many}]}}}}}}}}]}}"
    );
    assert!(
        read(&file)
            .unwrap_err()
            .to_string()
            .contains("at most 2000 are taken")
    );
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let step = format!("{{step: {{identifier: s, type: SHELL_SCRIPT, spec: {{script: {deep}}}}}}}");
    let file = format!(
        "pipeline: {{name: p, stages: [{{stage: {{name: s, spec: {{execution: {{steps: [{step}]}}}}}}}}]}}"
    );
    assert!(
        read(&file)
            .unwrap_err()
            .to_string()
            .contains("more than 32 lists and maps")
    );
    let mut group = "{step: {identifier: s, type: Wait, spec: {duration: 1s}}}".to_owned();
    for n in 0..=MAX_GROUPS {
        group = format!("{{stepGroup: {{identifier: g{n}, steps: [{group}]}}}}");
    }
    let file = format!(
        "pipeline: {{name: p, stages: [{{stage: {{name: s, spec: {{execution: {{steps: [{group}]}}}}}}}}]}}"
    );
    assert!(
        read(&file)
            .unwrap_err()
            .to_string()
            .contains("more than 16 groups within each other")
    );
}
