//! Kinds that the manager has never heard of: of delegates that offer them, and of a folder at the command line.

use async_trait::async_trait;
use delegate_core::task::{Registry, TaskContext, TaskError, TaskKind, TaskOutput};
use reqwest::Method;
use serde_json::json;

use crate::site::{Caller, is, node};
use crate::support::program::{output, program};
use crate::support::real_manager::RealManager;
use crate::support::{PATIENCE, Running, Watchdog};

const FILE: &str = "\
pipeline:
  identifier: p
  stages: [{stage: {identifier: s, spec: {execution: {steps: [{step: {identifier: a, type: GREET, spec: {whom: ann}}}]}}}}]
";

/// A kind of whoever embeds the delegate.
struct Greet;

#[async_trait]
impl TaskKind for Greet {
    fn type_name(&self) -> &'static str {
        "GREET"
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let said = format!("hello {}", context.data["whom"].as_str().unwrap_or("nobody"));
        Ok(TaskOutput::success().with_vars([("said".to_owned(), said)].into()))
    }
}

#[tokio::test]
async fn a_kind_that_a_delegate_offers_can_be_a_step() {
    let _watchdog = Watchdog::start("own kinds in pipelines");
    let manager = RealManager::start().await;
    let caller = Caller::new(&manager.url);
    let refused = caller
        .ask(Method::POST, "/pipelines", Some(json!({"file": FILE})))
        .await;
    assert_eq!(refused.0, 400, "{}", refused.1);
    let problem = refused.1["faults"][0]["problem"].as_str().unwrap();
    assert!(problem.starts_with("there is no step type `GREET`"), "{problem}");

    let _agent = Running::start(&manager.url, Registry::standard().with(Greet), |_| {});
    let accepted = async {
        loop {
            let body = json!({"file": FILE});
            match caller.ask(Method::POST, "/pipelines", Some(body)).await {
                (201, run) => return run["id"].as_str().unwrap().to_owned(),
                (400, _) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    let id = tokio::time::timeout(PATIENCE, accepted).await.unwrap();
    let run = caller.ended(&id).await;
    assert!(is(&run, "s.a", "SUCCEEDED"), "{run:#}");
    assert_eq!(node(&run, "s.a")["outputs"]["said"], "hello ann", "{run:#}");

    let body = json!({"file": FILE.replace("GREET", "GREAT")});
    let (status, said) = caller.ask(Method::POST, "/pipelines", Some(body)).await;
    let problem = said["faults"][0]["problem"].as_str().unwrap();
    assert!(
        status == 400 && problem.ends_with("did you mean GREET?"),
        "{status} {said}"
    );
}

#[tokio::test]
async fn a_file_is_validated_against_the_manifests_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    let kinds = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/plug-in-kind");
    let validate = async |spec: &str, folder: &str| {
        let text = FILE.replace("GREET", "SIGN_FILES").replace("{whom: ann}", spec);
        std::fs::write(&file, text).unwrap();
        let mut command = program(&[("DELEGATE_TASK_KINDS_DIR", folder)]);
        command.args(["pipeline", "validate"]).arg(&file);
        let ran = output(command).await;
        (
            ran.status.success(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        )
    };
    let fits = "{folder: a, list: b, key: <+secrets.getValue(\"key\")>}";
    assert_eq!(validate(fits, kinds).await, (true, String::new()));
    let (valid, said) = validate("{folder: a, list: b}", kinds).await;
    assert!(
        !valid && said.contains("p.yaml:3:") && said.contains("key"),
        "{said}"
    );
    let (valid, said) = validate(fits, "").await;
    assert!(
        !valid && said.contains("there is no step type `SIGN_FILES`"),
        "{said}"
    );
}
