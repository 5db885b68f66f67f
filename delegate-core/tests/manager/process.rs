//! The real program as a manager, for what only a process can show: kills, signals, exit codes.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::fixture::{ACCOUNT, API_KEY, PATIENCE};

pub(crate) const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// The program, with none of this process's settings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness-delegate"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .kill_on_drop(true);
    command
}

/// A manager that runs as a process of its own.
pub(crate) struct ManagerProcess {
    pub(crate) child: Child,
    pub(crate) url: String,
    /// What it printed before its address.
    pub(crate) made: Vec<(String, String)>,
}

impl ManagerProcess {
    /// Starts one with the tests' identity, and waits until it listens.
    pub(crate) async fn start(store: &[&str], listen: &str) -> Self {
        let mut command = program();
        command
            .args(["manager", "--listen", listen])
            .args(store)
            .env("MANAGER_ACCOUNT_ID", ACCOUNT)
            .env("MANAGER_DELEGATE_TOKEN", TOKEN)
            .env("MANAGER_API_KEY", API_KEY);
        Self::spawn(command).await
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut made = Vec::new();
        loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line())
                .await
                .unwrap()
                .unwrap();
            let Some(line) = line else {
                let mut said = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .await
                    .unwrap();
                panic!("the manager ended: {said}");
            };
            let (name, value) = line.split_once('=').unwrap();
            if name == "MANAGER_URL" {
                // Its log goes nowhere, but must not fill the pipe.
                let mut log = child.stderr.take().unwrap();
                tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
                return Self {
                    child,
                    url: value.to_owned(),
                    made,
                };
            }
            made.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Ends it without warning.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What a manager says and how it ends when it does not start.
async fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = program();
    command
        .arg("manager")
        .args(arguments)
        .envs(environment.iter().copied());
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn the_first_start_makes_and_prints_an_identity_and_later_ones_keep_it() {
    let directory = tempfile::tempdir().unwrap();
    let start = async || {
        let mut command = program();
        command
            .args(["manager", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path());
        ManagerProcess::spawn(command).await
    };
    let first = start().await;
    let names: Vec<&str> = first.made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["MANAGER_ACCOUNT_ID", "MANAGER_DELEGATE_TOKEN", "MANAGER_API_KEY"]
    );
    let value = |at: usize| first.made[at].1.clone();
    assert_eq!(value(1).len(), 44, "as the user interface shows it");
    value(1).parse::<delegate_core::config::DelegateToken>().unwrap();
    let (account, key) = (value(0), value(2));
    let url = first.url.clone();
    let status = |url: String| {
        let request = crate::scripted_delegate::client().get(format!("{url}/api/v1/tasks"));
        let request = request.header("x-api-key", &key);
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(status(url).await, 200);
    first.kill().await;
    let second = start().await;
    assert!(second.made.is_empty(), "nothing new, nothing printed");
    assert_eq!(status(second.url.clone()).await, 200);
    let known = format!("{}/api/account/{account}/status", second.url);
    assert_eq!(
        crate::scripted_delegate::client()
            .get(known)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{:?} is open to others",
            entry.path()
        );
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(
            !bytes.windows(key.len()).any(|window| window == key.as_bytes()),
            "the API key is kept as a hash only"
        );
    }
}

#[tokio::test]
async fn signals_end_it_at_once_with_exit_code_zero() {
    for signal in [nix::sys::signal::SIGTERM, nix::sys::signal::SIGINT] {
        let directory = tempfile::tempdir().unwrap();
        let store = ["--data-dir", directory.path().to_str().unwrap()];
        let mut manager = ManagerProcess::start(&store, "127.0.0.1:0").await;
        // Somebody follows and somebody waits; neither holds it up.
        let client = crate::scripted_delegate::client();
        let submitted = client
            .post(format!("{}/api/v1/tasks", manager.url))
            .header("x-api-key", API_KEY);
        let submitted: serde_json::Value = submitted
            .body("{\"type\":\"X\"}")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let follow = format!(
            "{}/api/v1/tasks/{}/logs?follow=true",
            manager.url,
            submitted["id"].as_str().unwrap()
        );
        let following = client
            .get(follow)
            .header("x-api-key", API_KEY)
            .send()
            .await
            .unwrap();
        let began = std::time::Instant::now();
        let pid = nix::unistd::Pid::from_raw(manager.child.id().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        let status = tokio::time::timeout(PATIENCE, manager.child.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(began.elapsed().as_secs_f32() < 2.0, "{:?}", began.elapsed());
        let rest = following.text().await.unwrap_or_default();
        assert!(!rest.contains("event: end"), "the log has not ended");
    }
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_in_one_line_with_exit_code_two() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below_a_file = file.join("data");
    let free = "127.0.0.1:0";
    let manager = ManagerProcess::start(&["--data-dir", data], free).await;
    for (arguments, environment, part) in [
        (vec!["--listen", &taken, "--data-dir", data], vec![], "--listen"),
        (
            vec!["--listen", free, "--data-dir", below_a_file.to_str().unwrap()],
            vec![],
            "--data-dir",
        ),
        (
            vec!["--listen", free, "--data-dir", data],
            vec![],
            "another manager",
        ),
        (
            vec!["--listen", free],
            vec![("MANAGER_DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/x")],
            "127.0.0.1:1",
        ),
    ] {
        let (code, said) = refused(&arguments, &environment).await;
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    manager.kill().await;
    for (environment, part) in [
        (("MANAGER_ACCOUNT_ID", "another"), "--account-id"),
        (("MANAGER_API_KEY", "short"), "--api-key"),
    ] {
        let (code, said) = refused(&["--listen", free, "--data-dir", data], &[environment]).await;
        assert_eq!((code, said.trim_end().lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(part), "{said}");
    }
    // The command line itself, which clap explains in a few lines.
    for (environment, part) in [
        (("MANAGER_DATABASE_URL", "mysql://u:hunter2@h/x"), "postgres://"),
        (("MANAGER_DATABASE_URL", "hunter2"), "not a URL"),
        (("MANAGER_DELEGATE_TOKEN", "hunter2"), "32 hexadecimal"),
        (("MANAGER_LISTEN", "nowhere"), "--listen"),
    ] {
        let (code, said) = refused(&[], &[environment]).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
