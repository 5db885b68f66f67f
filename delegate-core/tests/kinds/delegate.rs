//! A delegate that runs one task after another, or several at a time, and keeps what they share.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
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

    /// Puts programs before those of these names that write down how they are started: arguments and environment.
    pub(crate) fn watch(&mut self, names: &[&str]) {
        let folder = self.path("watch");
        fs::create_dir(&folder).unwrap();
        for name in names {
            let Some(real) = self.settings.environment.find_program(name) else {
                continue;
            };
            let text = format!(
                "#!/bin/sh\n{{ echo \"{name} $*\"; env; }} >>'{}'\nexec '{}' \"$@\"\n",
                self.path("watched").display(),
                real.display()
            );
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.first_in_path(folder);
    }

    /// Programs of this folder are found before all others.
    pub(crate) fn first_in_path(&mut self, folder: PathBuf) {
        let path = self.settings.environment.get("PATH").unwrap().to_owned();
        let path = std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path))).unwrap();
        self.settings.environment.set("PATH", path);
    }

    /// What the watched programs were started with.
    pub(crate) fn watched(&self) -> String {
        fs::read_to_string(self.path("watched")).unwrap()
    }

    /// That a secret is in no file of the delegate's folder, on no command line and in no environment of what is
    /// watched, and not shown.
    #[track_caller]
    pub(crate) fn keeps_no(&self, outcome: &Outcome, secret: &str) {
        outcome.hides(secret);
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = fs::read(&path) {
                    let found = text.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
                    assert!(!found, "a secret is in {}", path.display());
                }
            }
        }
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
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_finished()
    }

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
