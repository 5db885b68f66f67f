//! A real manager for acceptance tests: the program `harness-delegate manager` as a process of its own.
//!
//! ```ignore
//! let manager = Manager::start().await;                       // a free port, an identity made for this test
//! let result = manager.run_task("echo hi", "team-a").await;    // the result of the task, as `task run` prints it
//! ```
//!
//! It is killed when the test ends. Nothing of it is shared: tests may be parallel.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything asked of a manager may take. Far above what it takes; below what a person waits.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at something that announces its change in no other way.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The delegate program: it lies beside the provider's, where the provider looks for it too.
pub fn program() -> PathBuf {
    let provider = Path::new(env!("CARGO_BIN_EXE_terraform-provider-harness"));
    let program = provider.with_file_name("harness-delegate");
    assert!(
        program.is_file(),
        "there is no {}: run `cargo build -p delegate-core` first",
        program.display()
    );
    program
}

/// A name that no other test and no other run has.
pub fn unique(stem: &str) -> String {
    format!("{stem}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8])
}

/// A delegate token, as 32 hexadecimal characters.
pub fn any_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The same token as the manager's page shows it.
pub fn encoded(token: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(token)
}

/// Waits until `look` gives something; fails the test when it takes too long.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A manager that runs.
pub struct Manager {
    child: Option<Child>,
    data: TempDir,
    pub url: String,
    pub account: String,
    pub token: String,
    pub api_key: String,
}

impl Manager {
    /// Starts one on a free port, and waits until it listens.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1").await
    }

    /// The same at another address of this machine.
    pub async fn start_at(address: &str) -> Self {
        let mut manager = Self {
            child: None,
            data: tempfile::tempdir().expect("a directory"),
            url: String::new(),
            account: unique("acct"),
            token: any_token(),
            api_key: uuid::Uuid::new_v4().to_string(),
        };
        manager.listen(&format!("{address}:0")).await;
        manager
    }

    /// Ends it, as a failing machine would. What it had accepted is kept.
    pub async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("it ends");
        }
    }

    /// Starts it again at the address it had.
    pub async fn resume(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        self.listen(&address).await;
    }

    async fn listen(&mut self, address: &str) {
        let mut child = command()
            .args(["manager", "--listen", address, "--data-dir"])
            .arg(self.data.path())
            .env("MANAGER_ACCOUNT_ID", &self.account)
            .env("MANAGER_DELEGATE_TOKEN", &self.token)
            .env("MANAGER_API_KEY", &self.api_key)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the manager starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = async {
            while let Some(line) = lines.next_line().await.expect("readable") {
                if let Some(url) = line.strip_prefix("MANAGER_URL=") {
                    return url.to_owned();
                }
            }
            panic!("the manager ended without an address");
        };
        self.url = timeout(PATIENCE, url).await.expect("the manager listens in time");
        self.child = Some(child);
    }

    /// A verb of the command line, for this manager.
    pub fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command
            .args(arguments)
            .env("HARNESS_ENDPOINT", &self.url)
            .env("HARNESS_PLATFORM_API_KEY", &self.api_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn json(&self, arguments: &[&str]) -> Json {
        let output = timeout(PATIENCE, self.verb(arguments).output()).await;
        let output = output.expect("it ends in time").expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}; {}: {said}", output.status))
    }

    /// Runs a script on a delegate with this tag, and gives the task's result.
    pub async fn run_task(&self, script: &str, selector: &str) -> Json {
        self.json(&[
            "task",
            "run",
            "--script",
            script,
            "--selector",
            selector,
            "--timeout",
            "60s",
        ])
        .await
    }

    /// Submits a script to a delegate with this tag; the child ends with the task.
    pub fn start_task(&self, script: &str, selector: &str) -> Child {
        self.verb(&["task", "run", "--script", script, "--selector", selector])
            .spawn()
            .expect("it starts")
    }

    /// The delegates of this name, as `delegate list --json` has them.
    pub async fn delegates(&self, name: &str) -> Vec<Json> {
        let list = self.json(&["delegate", "list", "--json"]).await;
        let all = list["delegates"].as_array().expect("a list").clone();
        all.into_iter()
            .filter(|delegate| delegate["name"] == name)
            .collect()
    }

    /// A further token of the account.
    pub async fn another_token(&self) -> String {
        let output = self.verb(&["token", "create", &unique("token")]).output().await;
        let output = output.expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

fn command() -> Command {
    let mut command = Command::new(program());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .kill_on_drop(true);
    command
}
