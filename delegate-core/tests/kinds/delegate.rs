//! A delegate that runs one task after another, or several at a time, and keeps what they share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delegate_core::process::Environment;
use delegate_core::protocol::wire::{ResponseCode, TaskResponse};
use delegate_core::task::Settings;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bench::{Log, Outcome, PATIENCE, assert_described, respond};

/// Its folder, and the settings that tasks are run with.
pub(crate) struct Delegate {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) timeout: Duration,
}

impl Delegate {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(Environment::of_this_process(&[]), dir.path().join("tasks"));
        settings.workspace = Some(dir.path().join("workspace"));
        settings.grace = Duration::from_secs(30);
        Self {
            dir,
            settings,
            timeout: PATIENCE,
        }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a task to its end.
    pub(crate) async fn run(&self, kind: &'static str, data: Value) -> Outcome {
        self.start(kind, &data).end().await
    }

    /// Starts a task that the test goes along with.
    pub(crate) fn start(&self, kind: &'static str, data: &Value) -> Started {
        let (log, cancel) = (Arc::<Log>::default(), CancellationToken::new());
        let (data, timeout, settings) = (data.clone(), self.timeout, self.settings.clone());
        let (sink, aborted) = (log.clone(), cancel.clone());
        Started {
            kind,
            log,
            cancel,
            running: tokio::spawn(
                async move { respond(kind, &data, timeout, settings, sink, aborted).await },
            ),
        }
    }
}

/// A task that runs.
pub(crate) struct Started {
    kind: &'static str,
    pub(crate) log: Arc<Log>,
    pub(crate) cancel: CancellationToken,
    running: tokio::task::JoinHandle<TaskResponse>,
}

impl Started {
    pub(crate) async fn end(self) -> Outcome {
        let response = self.running.await.unwrap();
        assert_described(self.kind, &response);
        Outcome {
            response,
            log: self.log.text(),
        }
    }
}

impl Outcome {
    /// That it went well.
    #[track_caller]
    pub(crate) fn well(self) -> Self {
        self.ended("SUCCESS")
    }

    /// That the kind ran, and ended like this.
    #[track_caller]
    pub(crate) fn ended(self, status: &str) -> Self {
        assert_eq!(self.status(), status, "{}", self.everything());
        self
    }

    /// That the delegate did not do its part; and why.
    #[track_caller]
    pub(crate) fn refusal(&self) -> &str {
        assert_eq!(self.response.code, ResponseCode::Failed, "{}", self.everything());
        self.error()
    }

    pub(crate) fn field(&self, name: &str) -> &Value {
        &self.response.data[name]
    }

    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        let text = self.field(name).as_str();
        text.unwrap_or_else(|| panic!("no text {name}: {}", self.everything()))
    }

    #[track_caller]
    pub(crate) fn var(&self, name: &str) -> &str {
        let text = self.response.data["output_vars"][name].as_str();
        text.unwrap_or_else(|| panic!("no variable {name}: {}", self.everything()))
    }

    /// That the reason has these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(
            self.failed().contains(words),
            "no {words:?}: {}",
            self.everything()
        );
        self
    }

    /// That nobody who sees the answer or the log learns this.
    #[track_caller]
    pub(crate) fn hides(&self, secret: &str) -> &Self {
        let shown = self.everything();
        assert!(!shown.contains(secret), "a secret is shown: {shown}");
        self
    }
}
