//! What steps do, on which delegates, and what follows when one fails.

use reqwest::Method;
use serde_json::json;

use crate::site::{Site, is, node, statuses};
use crate::support::Watchdog;

#[tokio::test]
async fn variables_outputs_conditions_matrices_retries_and_selectors() {
    let _watchdog = Watchdog::start("pipeline of everything");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = r#"
pipeline:
  identifier: release
  name: The release
  delegateSelectors: [linux, one]
  variables:
    - {name: env, value: "<+input>.default(dev).allowedValues(dev,prod)"}
    - {name: who, value: <+input>}
  stages:
    - stage:
        identifier: build
        spec:
          execution:
            steps:
              - step:
                  identifier: version
                  type: Run
                  spec:
                    command: VERSION="1.$WHO"
                    envVariables: {WHO: <+pipeline.variables.who>}
                    outputVariables: [{name: VERSION}]
              - parallel:
                  - step:
                      identifier: unit
                      type: Run
                      strategy: {matrix: {os: [a, b, c], exclude: [{os: b}]}}
                      spec:
                        command: OUT="<+matrix.os>-$V"
                        envVariables: {V: <+steps.version.output.outputVariables.VERSION>}
                        outputVariables: [{name: OUT}]
                  - step:
                      identifier: flaky
                      type: Run
                      failureStrategies:
                        - onFailure:
                            errors: [AllErrors]
                            action:
                              type: Retry
                              spec: {retryCount: 3, retryIntervals: [10ms], onRetryFailure: {action: {type: MarkAsFailure}}}
                      spec: {command: "test -e 'DIR/flaky' || { touch 'DIR/flaky'; exit 7; }"}
    - stage:
        identifier: deploy
        when: {pipelineStatus: Success, condition: <+pipeline.variables.env> == "prod"}
        delegateSelectors: [prod]
        spec:
          execution:
            steps:
              - step:
                  identifier: release
                  type: Run
                  spec:
                    command: SAID="deployed $WHAT"
                    envVariables: {WHAT: <+pipeline.stages.build.spec.execution.steps.unit_1.output.outputVariables.OUT>}
                    outputVariables: [{name: SAID}]
              - step: {identifier: never, type: Run, when: {stageStatus: Failure}, spec: {command: exit 1}}
"#
    .replace("DIR", dir.path().to_str().unwrap());
    let dev = site.caller.start(&file, json!({"who": "ann"})).await;
    let variables = json!({"who": "ann", "env": "prod"});
    let prod = site.caller.start(&file, variables).await;

    let run = site.caller.ended(&prod).await;
    assert_eq!(
        statuses(&run),
        [
            " SUCCEEDED",
            "build SUCCEEDED",
            "build.version SUCCEEDED",
            "build.unit SUCCEEDED",
            "build.unit_0 SUCCEEDED",
            "build.unit_1 SUCCEEDED",
            "build.flaky SUCCEEDED",
            "deploy SUCCEEDED",
            "deploy.release SUCCEEDED",
            "deploy.never SKIPPED",
        ],
        "{run:#}"
    );
    assert_eq!(node(&run, "build.unit_0")["outputs"]["OUT"], "a-1.ann");
    let release = node(&run, "deploy.release");
    assert_eq!(
        (&release["outputs"]["SAID"], &release["delegate"]),
        (&json!("deployed c-1.ann"), &json!("two")),
        "{release}"
    );
    assert_eq!(
        node(&run, "build.version")["delegate"],
        "one",
        "selectors of the pipeline"
    );
    // Its task is one like all others.
    let task = release["task_id"].as_str().unwrap();
    let task = site
        .caller
        .call(Method::GET, &format!("/tasks/{task}"), None)
        .await;
    assert_eq!(
        (&task["status"], &task["type"], &task["selectors"]),
        (&json!("SUCCEEDED"), &json!("SHELL_SCRIPT"), &json!(["prod"]))
    );

    let run = site.caller.ended(&dev).await;
    assert!(
        is(&run, "deploy", "SKIPPED") && is(&run, "", "SUCCEEDED"),
        "{run:#}"
    );
    // One of the two runs made the file that the other found: two attempts in all.
    let again = node(&site.caller.run(&prod).await, "build.flaky")["attempts"]
        .as_u64()
        .unwrap();
    let first = node(&run, "build.flaky")["attempts"].as_u64().unwrap();
    assert!((3..=4).contains(&(first + again)), "{first} and {again}");

    // Page by page, each once.
    let mut listed = Vec::new();
    let mut cursor = String::new();
    for _ in 0..2 {
        let path = format!("/pipelines?status=SUCCEEDED&limit=1{cursor}");
        let page = site.caller.call(Method::GET, &path, None).await;
        let run = &page["runs"][0];
        assert_eq!(
            (run["name"].as_str(), run["pipeline"].as_str()),
            (Some("The release"), Some("release"))
        );
        listed.push(run["id"].as_str().unwrap().to_owned());
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap_or_default());
    }
    assert_eq!(cursor, "&cursor=", "there are no more");
    listed.sort();
    let mut started = [dev, prod];
    started.sort();
    assert_eq!(listed, started);
}

#[tokio::test]
async fn a_failure_rolls_its_stage_back_and_says_why() {
    let _watchdog = Watchdog::start("pipeline with a rollback");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = r#"
pipeline:
  identifier: p
  stages:
    - stage:
        identifier: deploy
        spec:
          execution:
            steps:
              - step: {identifier: up, type: Run, spec: {command: "echo up >> 'DIR/log'; DONE=up", outputVariables: [{name: DONE}]}}
              - step: {identifier: check, type: Run, spec: {command: "echo 'it is down' >&2; exit 3"}}
              - step: {identifier: after, type: Run, spec: {command: "echo after >> 'DIR/log'"}}
            rollbackSteps:
              - step: {identifier: down, type: Run, spec: {command: "echo \"down $WHAT\" >> 'DIR/log'", envVariables: {WHAT: <+steps.up.output.outputVariables.DONE>}}}
    - stage:
        identifier: tell
        when: {pipelineStatus: Failure}
        spec: {execution: {steps: [{step: {identifier: tell, type: Run, spec: {command: "echo told >> 'DIR/log'"}}}]}}
"#
    .replace("DIR", dir.path().to_str().unwrap());
    let id = site.caller.start(&file, json!({})).await;
    let run = site.caller.ended(&id).await;
    assert_eq!(run["status"], "FAILED");
    assert_eq!(
        statuses(&run),
        [
            " FAILED",
            "deploy FAILED",
            "deploy.up SUCCEEDED",
            "deploy.check FAILED",
            "deploy.after SKIPPED",
            "deploy.rollbackSteps SUCCEEDED",
            "deploy.down SUCCEEDED",
            "tell SUCCEEDED",
            "tell.tell SUCCEEDED",
        ],
        "{run:#}"
    );
    let message = node(&run, "deploy.check")["message"].as_str().unwrap();
    assert!(message.contains("code 3"), "{message}");
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(log, "up\ndown up\ntold\n");
}

#[tokio::test]
async fn an_abort_ends_the_tasks_that_run_and_those_that_wait() {
    let _watchdog = Watchdog::start("abort of a pipeline");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = r#"
pipeline:
  identifier: p
  stages:
    - stage:
        identifier: s
        spec:
          execution:
            steps:
              - parallel:
                  - step: {identifier: runs, type: Run, spec: {command: "touch 'DIR/runs'; sleep 600"}}
                  - step: {identifier: waits, type: Run, delegateSelectors: [gpu], spec: {command: "true"}}
                  - step: {identifier: asks, type: HarnessApproval, spec: {approvalMessage: Sure?}}
              - step: {identifier: after, type: Run, spec: {command: "true"}}
"#
    .replace("DIR", dir.path().to_str().unwrap());
    let id = site.caller.start(&file, json!({})).await;
    let run = site
        .caller
        .until(&id, |run| {
            is(run, "s.runs", "RUNNING") && node(run, "s.runs")["delegate"].is_string()
        })
        .await;
    let waits = node(&run, "s.waits");
    assert!(
        waits["waiting_for"].as_str().unwrap().contains("gpu"),
        "it says what it waits for: {waits}"
    );
    crate::support::program::eventually("the script runs", || dir.path().join("runs").exists()).await;
    let path = format!("/pipelines/{id}/abort");
    site.caller
        .call(Method::POST, &path, Some(json!({"by": "ann"})))
        .await;
    let run = site.caller.ended(&id).await;
    assert_eq!(
        statuses(&run),
        [
            " ABORTED",
            "s ABORTED",
            "s.runs ABORTED",
            "s.waits ABORTED",
            "s.asks ABORTED",
            "s.after SKIPPED"
        ]
    );
    assert_eq!(run["tree"]["message"], "Aborted by ann.");
    for step in ["s.runs", "s.waits"] {
        let task = node(&run, step)["task_id"].as_str().unwrap();
        let task = site
            .caller
            .call(Method::GET, &format!("/tasks/{task}"), None)
            .await;
        assert_eq!(task["status"], "ABORTED", "{step}");
    }
    // And once more: it is over.
    let (status, said) = site.caller.ask(Method::POST, &path, None).await;
    assert_eq!((status, &said["code"]), (409, &json!("RUN_CONFLICT")), "{said}");
}
