//! A manager that the pods of the cluster can reach.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{ACCOUNT, PROGRAM};
use crate::terraform::PATIENCE;

/// A manager that the pods of the cluster can reach.
pub struct Manager {
    pub url: String,
    pub token: String,
    child: Child,
    api_key: String,
    program: PathBuf,
    _directory: TempDir,
}

impl Manager {
    pub async fn start() -> Self {
        let program = agent();
        let directory = tempfile::tempdir().expect("a directory");
        let hex = |digits: usize| (0..digits).map(|_| fastrand::digit(16)).collect::<String>();
        // As people have it: base64 of 32 hexadecimal characters.
        let token = BASE64.encode(hex(32));
        let api_key = format!("key-{}", hex(32));
        let address = std::env::var("HARNESS_TEST_HOST_ADDRESS").unwrap_or_else(|_| "10.244.0.1".to_owned());
        let mut child = Command::new(&program)
            .args(["manager", "--listen", &format!("{address}:0"), "--data-dir"])
            .arg(directory.path())
            .env("MANAGER_ACCOUNT_ID", ACCOUNT)
            .env("MANAGER_DELEGATE_TOKEN", &token)
            .env("MANAGER_API_KEY", &api_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the manager starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line())
                .await
                .expect("in time")
                .expect("readable");
            let line = line.expect("the manager says where it listens");
            if let Some(url) = line.strip_prefix("MANAGER_URL=") {
                break url.to_owned();
            }
        };
        Self {
            url,
            token,
            child,
            api_key,
            program,
            _directory: directory,
        }
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("HARNESS_ENDPOINT", &self.url)
            .env("HARNESS_PLATFORM_API_KEY", &self.api_key)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a verb of the manager's command line; what it printed.
    pub async fn say(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().await.expect("the client runs");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out.into_owned()
    }

    /// Submits a script as a task to a delegate with this tag; the child ends with the task, and prints its result.
    pub fn submit(&self, selector: &str, script: &str) -> Child {
        let arguments = ["task", "run", "--selector", selector, "--script", script];
        let mut client = self.client(&arguments);
        client.stdout(Stdio::piped()).stderr(Stdio::piped());
        client.spawn().expect("the client runs")
    }

    /// Runs a script as a task on a delegate with this tag; its result.
    pub async fn task(&self, selector: &str, script: &str) -> Json {
        let arguments = [
            "task",
            "run",
            "--type",
            "SHELL_SCRIPT",
            "--selector",
            selector,
            "--timeout",
            "60s",
            "--script",
            script,
        ];
        serde_json::from_str(&self.say(&arguments).await).expect("a result")
    }

    /// Ends it without warning.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// The program `harness-delegate`: of the release build when that is tested, else beside the provider.
pub fn agent() -> PathBuf {
    let beside = || Path::new(PROGRAM).parent().expect("a folder").to_owned();
    let folder = std::env::var_os("HARNESS_TEST_BIN_DIR").map_or_else(beside, PathBuf::from);
    let program = folder.join("harness-delegate");
    assert!(
        program.is_file(),
        "{} is missing; build it with: cargo build -p delegate-core",
        program.display()
    );
    program
}
