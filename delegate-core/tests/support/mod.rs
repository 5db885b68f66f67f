//! What the tests of the agent share.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "shared by tests: a failure here fails the test"
)]

pub(crate) mod kinds;
pub(crate) mod manager_double;
pub(crate) mod program;
pub(crate) mod real_manager;
pub(crate) mod relay;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use delegate_core::agent::{Agent, AgentBuilder, Exit, ShutdownHandle, shutdown};
use delegate_core::config::{DelegateConfig, TokenSource};
use delegate_core::task::Registry;
use tokio::task::JoinHandle;

/// A token, in its bare form.
pub(crate) const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// Longest real time a test may wait for anything. Only a failing test takes it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// Ends the test program when a test waits for too long: in paused time, a tokio timeout would not.
pub(crate) struct Watchdog(#[expect(dead_code, reason = "dropping it is its use")] mpsc::Sender<()>);

impl Watchdog {
    pub(crate) fn start(test: &'static str) -> Self {
        Self::start_for(test, PATIENCE)
    }

    /// For a test that waits many times.
    pub(crate) fn start_for(test: &'static str, patience: Duration) -> Self {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            if receiver.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test}: waited for {patience:?}; giving up");
                std::process::exit(99);
            }
        });
        Self(sender)
    }
}

/// Settings for an agent of a manager, with a free port and its own directory.
pub(crate) fn config(manager: &str, working_dir: &Path) -> DelegateConfig {
    let mut config = DelegateConfig::new(
        "acc".parse().unwrap(),
        "tested".parse().unwrap(),
        TokenSource::Inline(TOKEN.parse().unwrap()),
        manager.parse().unwrap(),
    );
    config.working_dir = working_dir.to_path_buf();
    config.http_host = "127.0.0.1".parse().unwrap();
    config.http_port = 0;
    config
}

/// An agent that runs inside the test.
pub(crate) struct Running {
    pub(crate) http: std::net::SocketAddr,
    pub(crate) stop: ShutdownHandle,
    exit: tokio::sync::Mutex<JoinHandle<Exit>>,
    dir: tempfile::TempDir,
}

impl Running {
    /// Starts an agent with these kinds only.
    pub(crate) fn start(manager: &str, kinds: Registry, adjust: impl FnOnce(&mut DelegateConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(manager, dir.path());
        adjust(&mut config);
        let builder: AgentBuilder = Agent::builder(config).registry(kinds);
        let agent = builder.build().unwrap();
        let (stop, order) = shutdown();
        Self {
            http: agent.http_address(),
            stop,
            exit: tokio::sync::Mutex::new(tokio::spawn(agent.run(order))),
            dir,
        }
    }

    /// Waits for its end.
    pub(crate) async fn exit(&self) -> Exit {
        (&mut *self.exit.lock().await).await.unwrap()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.exit.try_lock().is_ok_and(|exit| exit.is_finished())
    }

    /// Body and status of a path of its HTTP server.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path).await
    }
}

/// Memory that is a process's alone and backed by no file, in bytes.
pub(crate) fn anonymous_bytes(pid: u32) -> u64 {
    status_of(pid, "RssAnon:") * 1024
}

/// A number that the kernel tells of a process.
pub(crate) fn status_of(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line.unwrap_or_else(|| panic!("no {field} in {status}"));
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// GET by hand: one request, one connection.
pub(crate) async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path).await
}

/// A request by hand.
pub(crate) async fn request(address: std::net::SocketAddr, method: &str, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}
