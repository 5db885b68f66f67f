//! The same manager on a real PostgreSQL, in a cluster of its own. Without PostgreSQL on the machine the tests say so
//! and pass.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use delegate_core::config::DelegateToken;
use delegate_core::manager::StartError;
use delegate_core::manager::store::{OpenError, Target};
use delegate_core::protocol::api::TaskStatus;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::fixture::Fixture;
use crate::scripted_delegate::line;

/// Where Debian keeps the programs of its versions.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// A private PostgreSQL, reachable by a socket in its own directory only, ended when dropped.
struct Cluster {
    directory: tempfile::TempDir,
    programs: PathBuf,
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(PROGRAMS)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    versions.sort();
    versions
        .pop()
        .map(|version| version.join("bin"))
        .filter(|bin| bin.join("initdb").exists())
}

impl Cluster {
    /// Nothing when the machine has no PostgreSQL.
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("skipped: there is no PostgreSQL below {PROGRAMS}");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let cluster = Self { directory, programs };
        if nix::unistd::geteuid().is_root() {
            // PostgreSQL does not run as root.
            let user = nix::unistd::User::from_name("postgres")
                .unwrap()
                .expect("the package makes this user");
            nix::unistd::chown(cluster.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = cluster.path().join("data");
        cluster.run(
            "initdb",
            &[
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "-D",
                data.to_str().unwrap(),
            ],
        );
        cluster.up();
        Some(cluster)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let Output { status, stderr, .. } = self.command(program, arguments).output().unwrap();
        assert!(
            status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&stderr)
        );
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.programs.join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        command
    }

    fn up(&self) {
        let data = self.path().join("data");
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}'",
            self.path().display()
        );
        let log = self.path().join("log");
        let (data, log) = (data.to_str().unwrap(), log.to_str().unwrap());
        // Its output goes to the log: a pipe of ours would be held open by the server.
        let mut command = self.command("pg_ctl", &["-w", "-D", data, "-l", log, "-o", &options, "start"]);
        assert!(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
    }

    fn down(&self, how: &str) {
        let data = self.path().join("data");
        let arguments = ["-w", "-D", data.to_str().unwrap(), "-m", how, "stop"];
        let _ = self.command("pg_ctl", &arguments).stdout(Stdio::null()).status();
    }

    fn url(&self) -> String {
        let socket: String =
            url::form_urlencoded::byte_serialize(self.path().to_str().unwrap().as_bytes()).collect();
        format!("postgres://postgres@{socket}/postgres")
    }

    fn target(&self) -> Target {
        Target::Postgres(self.url().parse().unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.down("immediate");
    }
}

#[tokio::test]
async fn a_task_and_its_log_live_in_postgresql() {
    let Some(cluster) = Cluster::start() else { return };
    let manager = Fixture::start(cluster.target()).await;
    let token = manager.token.clone();
    let mut delegate = manager.delegate("a").await;
    let id = manager.noop().await;
    let task = delegate.acquire(&id).await;
    delegate.append(&task, &[line(0, "nul \u{0} and ü\n")]).await;

    // PostgreSQL holds no NUL, which is nobody's fault but must not look like one.
    for path in [
        "/tasks/a%00b",
        "/tasks/a%00b/logs",
        "/tasks/a%00b/logs?follow=true",
    ] {
        let response = manager.api(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let none = manager
        .api(Method::GET, "/tasks?type=a%00b")
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), StatusCode::OK);

    // A second manager on the same database would decide against the first.
    let second = Fixture::start_with(cluster.target(), DelegateToken::generate().unwrap()).await;
    assert!(matches!(second, Err(StartError::Open(OpenError::InUse { .. }))));

    manager.stop().await;
    let manager = Fixture::start_with(cluster.target(), token).await.unwrap();
    delegate.url.clone_from(&manager.url);
    assert_eq!(manager.status(&id).await, TaskStatus::Running);
    delegate
        .append(&task, &[line(0, "nul \u{0} and ü\n"), line(1, "more\n")])
        .await;
    delegate.close_log(&task).await;
    delegate.succeed(&id).await;
    let (lines, status) = manager.follow(&id).await;
    assert_eq!((lines.len(), status), (2, TaskStatus::Succeeded));
    assert_eq!(lines[0]["out"], "nul \u{0} and ü\n");
    manager.stop().await;
}

#[tokio::test]
async fn a_database_that_goes_and_comes_back_is_waited_for() {
    let Some(cluster) = Cluster::start() else { return };
    let manager = Fixture::start(cluster.target()).await;
    let delegate = manager.delegate("a").await;
    let id = manager.noop().await;
    delegate.acquire(&id).await;
    cluster.down("immediate");
    let answering = tokio::spawn({
        let (delegate, id) = (delegate.clone(), id.clone());
        async move { delegate.succeed(&id).await }
    });
    let read = manager
        .api(Method::GET, &format!("/tasks/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(read.status(), StatusCode::SERVICE_UNAVAILABLE);
    let error: Value = read.json().await.unwrap();
    assert_eq!(error["code"], "STORE_UNAVAILABLE");
    assert!(
        !answering.is_finished(),
        "what cannot be kept is not acknowledged"
    );
    cluster.up();
    answering.await.unwrap();
    assert_eq!(manager.status(&id).await, TaskStatus::Succeeded);
    manager.stop().await;
}

#[tokio::test]
async fn nothing_accepted_is_lost_by_kills_on_postgresql() {
    let Some(cluster) = Cluster::start() else { return };
    crate::durability::nothing_accepted_is_lost(&["--database-url", &cluster.url()]).await;
}
