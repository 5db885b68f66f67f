//! What the tests of the kinds share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use delegate_core::process::Environment;
use delegate_core::protocol::wire::{LogLine, ResponseCode, TaskResponse};
use delegate_core::task::{LogSink, NoProvider, Registry, Runner, Secrets, Settings, TaskError};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bound of a task that hangs. Only a failing test takes it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// What every result has, besides the fields of its kind.
const COMMON: [&str; 3] = ["command_execution_status", "error_message", "output_vars"];

/// Keeps the log, and tells when there is something new in it.
#[derive(Default)]
pub(crate) struct Log {
    text: Mutex<String>,
    grown: Notify,
}

#[async_trait]
impl LogSink for Log {
    async fn write(&self, lines: Vec<LogLine>) {
        self.text
            .lock()
            .unwrap()
            .extend(lines.iter().map(|line| &*line.out));
        self.grown.notify_one();
    }
}

impl Log {
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until the log has a text.
    pub(crate) async fn until(&self, wanted: &str) {
        while !self.text().contains(wanted) {
            self.grown.notified().await;
        }
    }
}

/// A delegate's way to run one task.
pub(crate) struct Bench {
    kind: &'static str,
    dir: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) log: Arc<Log>,
    pub(crate) cancel: CancellationToken,
    pub(crate) timeout: Duration,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) response: TaskResponse,
    pub(crate) log: String,
}

impl Bench {
    /// For a task of this kind.
    pub(crate) fn of(kind: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut environment = Environment::of_this_process(&[]);
        // Whoever runs the tests may have settings for git and its like.
        environment.set("HOME", dir.path());
        environment.set("XDG_CONFIG_HOME", dir.path());
        let mut settings = Settings::new(environment, dir.path().join("tasks"));
        settings.grace = Duration::from_secs(5);
        Self {
            kind,
            dir,
            settings,
            log: Arc::default(),
            cancel: CancellationToken::new(),
            timeout: PATIENCE,
        }
    }

    /// Where the directories of tasks are; it comes with the first one.
    pub(crate) fn tasks(&self) -> &Path {
        &self.settings.work_root
    }

    /// Runs the task. Its result must be what the kind's description says of results.
    pub(crate) async fn run(self, data: Value) -> Outcome {
        let response = self.respond(data).await;
        assert_described(self.kind, &response);
        let log = self.log.text();
        // Held until here.
        drop(self.dir);
        Outcome { response, log }
    }

    async fn respond(&self, data: Value) -> TaskResponse {
        let (log, cancel) = (self.log.clone(), self.cancel.clone());
        respond(self.kind, &data, self.timeout, self.settings.clone(), log, cancel).await
    }
}

/// Runs a task as an agent does.
pub(crate) async fn respond(
    kind: &str,
    data: &Value,
    timeout: Duration,
    settings: Settings,
    log: Arc<Log>,
    cancel: CancellationToken,
) -> TaskResponse {
    let millis = u64::try_from(timeout.as_millis()).unwrap();
    let id = format!("t{:016x}", fastrand::u64(..));
    let task = json!({"id": id, "type": kind, "data": data, "timeout": millis});
    let task = serde_json::from_value(task).unwrap();
    Runner::new(Registry::standard(), settings)
        .run(task, cancel, log)
        .await
}

/// Runs a task of a kind.
pub(crate) async fn run(kind: &'static str, data: Value) -> Outcome {
    Bench::of(kind).run(data).await
}

impl Outcome {
    pub(crate) fn status(&self) -> &str {
        assert_eq!(self.response.code, ResponseCode::Ok, "{}", self.response.data);
        self.response.data["command_execution_status"].as_str().unwrap()
    }

    /// Whatever it was that did not go well.
    pub(crate) fn error(&self) -> &str {
        self.response.data["error_message"].as_str().unwrap()
    }

    /// The result of a task that went well.
    pub(crate) fn succeeded(&self) -> &Value {
        assert_eq!(self.status(), "SUCCESS", "{}\n{}", self.response.data, self.log);
        &self.response.data
    }

    /// What a task says that did not go well.
    pub(crate) fn failed(&self) -> &str {
        assert_eq!(self.status(), "FAILURE", "{}\n{}", self.response.data, self.log);
        self.error()
    }

    pub(crate) fn vars(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.response.data["output_vars"].clone()).unwrap()
    }

    /// Everything that left the delegate, as one text.
    pub(crate) fn everything(&self) -> String {
        format!("{}{}", self.response.data, self.log)
    }
}

/// That a result is what the kind's description says of results.
pub(crate) fn assert_described(kind: &str, response: &TaskResponse) {
    if response.code == ResponseCode::Ok {
        let about = Registry::standard().get(kind).unwrap().about();
        let mut fields = response.data.as_object().unwrap().clone();
        fields.retain(|name, _| !COMMON.contains(&&**name));
        let mut schema = about.result.to_value();
        if response.data["command_execution_status"] != "SUCCESS" {
            // It may have ended before it came to them.
            schema.as_object_mut().unwrap().shift_remove("required");
        }
        conforms(&schema, &Value::Object(fields)).unwrap();
    }
}

/// Whether a value is what a schema says. The schema itself must be one.
pub(crate) fn conforms(schema: &Value, value: &Value) -> Result<(), String> {
    const NAME: &str = "https://example.com/kind.json";
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource(NAME, schema.clone()).unwrap();
    let compiled = compiler.compile(NAME, &mut schemas);
    let compiled = compiled.unwrap_or_else(|error| panic!("{error:#}: {schema}"));
    schemas
        .validate(value, compiled)
        .map_err(|error| format!("{error:#}: {value}"))
}

/// Each of these data is refused by the kind: with the path of the field and these words, which are not a value, and before
/// anything is done. At least ten, because fewer are not thought about.
pub(crate) async fn refused(kind: &'static str, table: &[(Value, &str, &str)]) {
    assert!(table.len() >= 10, "{} cases for {kind}", table.len());
    let implementation = Registry::standard().get(kind).unwrap();
    for (data, path, words) in table {
        let secrets = Secrets::new(Arc::new(NoProvider), Vec::new());
        let error = implementation
            .validate(data, &secrets)
            .expect_err(&data.to_string());
        let TaskError::Data { path: found, problem } = &error else {
            panic!("{data}: {error}");
        };
        assert_eq!(
            (&**found, problem.contains(words)),
            (*path, true),
            "{data}: {error}"
        );
        let bench = Bench::of(kind);
        let response = bench.respond(data.clone()).await;
        assert_eq!(response.code, ResponseCode::Failed, "{data}");
        assert_eq!(response.data["error_message"], error.to_string());
        assert!(!bench.tasks().exists(), "{data}: something was done for the task");
        assert_eq!(bench.log.text(), "", "{data}");
    }
}
