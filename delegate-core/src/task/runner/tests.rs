use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::process::mask::MASK;
use crate::protocol::wire::LogLine;
use crate::task::Level;

#[derive(Default)]
struct Kept(Mutex<Vec<LogLine>>);

#[async_trait]
impl LogSink for Kept {
    async fn write(&self, mut lines: Vec<LogLine>) {
        self.0.lock().unwrap().append(&mut lines);
    }
}

/// Does what its data says.
struct Puppet;

#[async_trait]
impl TaskKind for Puppet {
    fn type_name(&self) -> &'static str {
        "PUPPET"
    }

    fn validate(&self, data: &serde_json::Value, secrets: &Secrets) -> Result<(), TaskError> {
        match data.as_str() {
            Some("panic early") => panic!("as told"),
            Some("wrong") => {
                secrets.mask([Secret::new("spelled out")]);
                Err(TaskError::data("act", "is spelled out"))
            }
            _ => Ok(()),
        }
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let act: String = context.data()?;
        assert!(context.work_dir.is_dir());
        match act.as_str() {
            "panic" => panic!("as told"),
            "elsewhere" => Err(TaskError::Elsewhere("not here".to_owned())),
            "hang" => std::future::pending().await,
            "tell" => {
                context.log.line(Level::Warn, "the-token\nsecond").await;
                context.log.line(Level::Info, "third").await;
                let vars = [("A".to_owned(), "x the-token".to_owned())].into();
                Ok(TaskOutput::not(CommandStatus::Failure, "because the-token")
                    .with_vars(vars)
                    .field("own", json!({"deep": ["the-token"]})))
            }
            _ => Err(TaskError::Refused(format!("cannot {act} the-token"))),
        }
    }
}

async fn run(
    kind: &str,
    data: serde_json::Value,
    timeout: u64,
    cancel: CancellationToken,
) -> (TaskResponse, Vec<LogLine>) {
    let root = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(Environment::empty(), root.path().join("tasks"));
    settings.own_secrets = vec![Secret::new("the-token")];
    let kept = Arc::new(Kept::default());
    let task =
        serde_json::from_value(json!({"id": "t1", "type": kind, "data": data, "timeout": timeout})).unwrap();
    let response = Runner::new(Registry::empty().with(Puppet), settings)
        .run(task, cancel, kept.clone())
        .await;
    let left: Vec<_> = std::fs::read_dir(root.path().join("tasks"))
        .into_iter()
        .flatten()
        .collect();
    assert!(left.is_empty(), "the directory of a task is removed");
    let lines = kept.0.lock().unwrap().clone();
    (response, lines)
}

async fn act(act: &str) -> TaskResponse {
    run("PUPPET", json!(act), 0, CancellationToken::new()).await.0
}

#[tokio::test]
async fn everything_that_leaves_is_masked_and_numbered() {
    let (response, lines) = run("PUPPET", json!("tell"), 0, CancellationToken::new()).await;
    assert_eq!((response.id.as_str(), response.kind.as_str()), ("t1", "PUPPET"));
    assert_eq!(response.code, ResponseCode::Ok);
    assert_eq!(
        response.data,
        json!({
            "own": {"deep": [MASK]},
            "command_execution_status": "FAILURE",
            "error_message": format!("because {MASK}"),
            "output_vars": {"A": format!("x {MASK}")},
        })
    );
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (line.pos, line.level.as_str(), line.out.as_str()))
        .collect();
    let masked = format!("{MASK}\n");
    assert_eq!(
        shown,
        [
            (0, "warn", masked.as_str()),
            (1, "warn", "second\n"),
            (2, "info", "third\n")
        ]
    );
    let nanoseconds = lines[0].time.rsplit_once('.').map(|(_, rest)| rest.len());
    assert_eq!(nanoseconds, Some("123456789Z".len()));
}

#[tokio::test]
async fn an_unknown_type_is_answered_with_what_is_known() {
    let (response, _) = run("TERRAFORM", json!(null), 0, CancellationToken::new()).await;
    assert_eq!(response.code, ResponseCode::Failed);
    let message = response.data["error_message"].as_str().unwrap();
    assert!(
        message.contains("`TERRAFORM`") && message.contains("PUPPET"),
        "{message}"
    );
}

#[tokio::test]
async fn a_kind_that_panics_is_answered() {
    for when in ["panic", "panic early"] {
        let response = act(when).await;
        assert_eq!(response.code, ResponseCode::Failed);
        assert!(
            !response.data.to_string().contains("as told"),
            "what a panic says may be anything"
        );
    }
}

#[tokio::test]
async fn data_that_is_wrong_is_refused_before_anything_is_done_and_its_own_secrets_are_masked() {
    let response = act("wrong").await;
    assert_eq!(response.code, ResponseCode::Failed);
    assert_eq!(
        response.data["error_message"],
        format!("task data field `act`: is {MASK}")
    );
}

#[tokio::test]
async fn refusals_are_told_apart_and_masked() {
    let response = act("elsewhere").await;
    assert_eq!(response.code, ResponseCode::RetryOnOtherDelegate);
    let response = act("fly").await;
    assert_eq!(response.code, ResponseCode::Failed);
    assert_eq!(response.data["error_message"], format!("cannot fly {MASK}"));
    assert_eq!(response.data["command_execution_status"], "FAILURE");
    assert_eq!(response.data["output_vars"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_hangs_is_given_up_after_its_time_or_its_abort() {
    let (response, _) = run("PUPPET", json!("hang"), 1000, CancellationToken::new()).await;
    assert_eq!(
        (response.code, &response.data["command_execution_status"]),
        (ResponseCode::Ok, &json!("TIMEOUT"))
    );
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (response, _) = run("PUPPET", json!("hang"), 0, cancel).await;
    assert_eq!(response.data["command_execution_status"], "ABORTED");
}
