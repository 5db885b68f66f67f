//! What is refused, and what is said then.

use reqwest::Method;
use serde_json::{Value, json};

use crate::site::{Caller, Site};
use crate::support::Watchdog;
use crate::support::program::{output, program};
use crate::support::real_manager::{API_KEY, RealManager};

/// A file with three faults: a step that comes later, a kind that there is not, and a field that its kind does not have.
const WRONG: &str = "\
pipeline:
  identifier: p
  stages:
    - stage:
        identifier: s
        spec:
          execution:
            steps:
              - step: {identifier: a, type: Run, spec: {command: echo <+steps.b.output.x>}}
              - step: {identifier: b, type: SHELL_SKRIPT, spec: {script: x}}
              - step: {identifier: c, type: GIT_CLONE, spec: {uri: https://git.example.com/a.git}}
";

/// One that asks for two values.
const ASKS: &str = "\
pipeline:
  identifier: p
  variables:
    - {name: env, value: '<+input>.allowedValues(dev,prod)'}
    - {name: who, value: <+input>}
  stages: [{stage: {identifier: s, spec: {execution: {steps: [{step: {identifier: a, type: Wait, spec: {duration: 1ms}}}]}}}}]
";

#[tokio::test]
async fn every_fault_of_a_file_is_told_with_line_and_column() {
    let _watchdog = Watchdog::start("faults");
    let manager = RealManager::start().await;
    let caller = Caller::new(&manager.url);
    let body = json!({"file": WRONG});
    let (status, said) = caller.ask(Method::POST, "/pipelines", Some(body)).await;
    assert_eq!(
        (status, &said["code"], &said["field"]),
        (400, &json!("INVALID_PIPELINE"), &json!("file"))
    );
    let faults = said["faults"].as_array().unwrap();
    let at = |line: u64, part: &str| {
        faults.iter().any(|fault| {
            fault["line"] == line
                && fault["column"].as_u64().unwrap() > 1
                && fault["problem"].as_str().unwrap().contains(part)
        })
    };
    assert!(
        at(9, "`b`") && at(10, "SHELL_SCRIPT") && at(11, "`uri`"),
        "{said:#}"
    );

    let body = json!({"file": ASKS, "variables": {"env": "qa", "whom": "ann"}});
    let (status, said) = caller.ask(Method::POST, "/pipelines", Some(body)).await;
    assert_eq!((status, &said["field"]), (400, &json!("variables")), "{said}");
    let text = said["faults"].to_string();
    for part in [
        "`env` takes one of dev, prod",
        "`who` needs a value",
        "did you mean `who`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let list = caller.call(Method::GET, "/pipelines", None).await;
    assert_eq!(list["runs"], json!([]), "nothing has run");

    // The same at the command line.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.yaml");
    std::fs::write(&file, WRONG).unwrap();
    let mut command = program(&[
        ("HARNESS_ENDPOINT", &manager.url),
        ("HARNESS_PLATFORM_API_KEY", API_KEY),
    ]);
    command.args(["pipeline", "run"]).arg(&file);
    let ran = output(command).await;
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    let told: Vec<&str> = said.lines().collect();
    assert_eq!(told.len(), faults.len(), "{said}");
    assert!(
        told[0].starts_with(&format!("{}:9:", file.display())),
        "one can click on it: {said}"
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_to_do() {
    let _watchdog = Watchdog::start("refusals");
    let site = Site::start().await;
    let caller = &site.caller;
    let id = caller.start(ASKS, json!({"env": "dev", "who": "ann"})).await;
    caller.ended(&id).await;
    let none = "/pipelines/00000000-0000-0000-0000-000000000000";
    let this = format!("/pipelines/{id}");
    let get = Method::GET;
    let post = Method::POST;
    let approve = |run: &str, step: &str| format!("{run}/steps/{step}/approve");
    for (method, path, body, status, code, field) in [
        (&get, none.to_owned(), None, 404, "RUN_NOT_FOUND", None),
        (&post, format!("{none}/abort"), None, 404, "RUN_NOT_FOUND", None),
        (&post, approve(none, "a"), None, 404, "RUN_NOT_FOUND", None),
        (&post, approve(&this, "s.a"), None, 409, "RUN_CONFLICT", None),
        (&post, format!("{this}/abort"), None, 409, "RUN_CONFLICT", None),
        (
            &get,
            format!("{this}?wait_ms=60000"),
            None,
            400,
            "INVALID_REQUEST",
            Some("wait_ms"),
        ),
        (
            &get,
            format!("{this}?wait=1"),
            None,
            400,
            "INVALID_REQUEST",
            Some("wait"),
        ),
        (
            &get,
            "/pipelines?status=DONE".to_owned(),
            None,
            400,
            "INVALID_REQUEST",
            Some("status"),
        ),
        (
            &get,
            "/pipelines?limit=0".to_owned(),
            None,
            400,
            "INVALID_REQUEST",
            Some("limit"),
        ),
        (
            &get,
            "/pipelines?cursor=x".to_owned(),
            None,
            400,
            "INVALID_REQUEST",
            Some("cursor"),
        ),
        (
            &post,
            format!("{this}/abort"),
            Some(json!({"by": " "})),
            400,
            "INVALID_REQUEST",
            Some("by"),
        ),
        (
            &post,
            approve(&this, "s.a"),
            Some(json!({"bye": "x"})),
            400,
            "INVALID_REQUEST",
            None,
        ),
        (
            &post,
            format!("{this}/steps/s.a/decide"),
            Some(json!({"decision": "hope"})),
            400,
            "INVALID_REQUEST",
            None,
        ),
        (
            &post,
            "/pipelines".to_owned(),
            Some(json!({"file": 1})),
            400,
            "INVALID_REQUEST",
            None,
        ),
        (
            &post,
            "/pipelines".to_owned(),
            Some(json!({"file": "", "vars": {}})),
            400,
            "INVALID_REQUEST",
            None,
        ),
    ] {
        let (got, said) = caller.ask(method.clone(), &path, body).await;
        let field = field.map_or(Value::Null, |field| json!(field));
        assert_eq!(
            (got, &said["code"], &said["field"]),
            (status, &json!(code), &field),
            "{path}: {said}"
        );
        assert!(said["message"].as_str().unwrap().ends_with('.'), "{said}");
    }

    let asks = r"
pipeline:
  identifier: p
  stages: [{stage: {identifier: s, spec: {execution: {steps: [{step: {identifier: a, type: HarnessApproval, spec: {approvalMessage: Sure?}}}]}}}}]
";
    let id = caller.start(asks, json!({})).await;
    for (step, what, body, status, code) in [
        ("s.b", "approve", json!({}), 404, "STEP_NOT_FOUND"),
        ("77", "approve", json!({}), 404, "STEP_NOT_FOUND"),
        ("s", "approve", json!({}), 409, "RUN_CONFLICT"),
        ("s.a", "decide", json!({"decision": "retry"}), 409, "RUN_CONFLICT"),
    ] {
        let (got, said) = caller.say(&id, step, what, body).await;
        assert_eq!(
            (got, &said["code"]),
            (status, &json!(code)),
            "{step} {what}: {said}"
        );
    }
}
