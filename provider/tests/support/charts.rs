//! Places where charts come from, on this machine, with a login: a real OCI registry, and a chart repository over HTTP.
//!
//! Both know one user, [`USER`] with [`PASSWORD`]. They end with the test, also when it fails.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::terraform::PATIENCE;

pub const USER: &str = "robot";
pub const PASSWORD: &str = "chart-password-5c1f0e9d";

/// The line that `htpasswd -nbB` gives for them: making one takes a program that is not everywhere.
const HTPASSWD: &str = "robot:$2y$05$UAyxax1NqDjS54hL8ByM7uq14xhBVmMxqsU6TPlF0C5FtPhFynod.\n";

/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;

/// A `docker-registry` over TLS.
pub struct Registry {
    pub address: String,
    /// PEM file of its certificate.
    pub ca_file: PathBuf,
    folder: TempDir,
    _child: Child,
}

impl Registry {
    /// A registry, if the program is on the PATH; says so and gives nothing if it is not.
    pub async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a directory");
        // Helm 3 speaks no TLS to loopback, so it is the address of this machine at which pods reach it too.
        let host = std::env::var("HARNESS_TEST_HOST_ADDRESS").unwrap_or_else(|_| "10.244.0.1".to_owned());
        let path = |name: &str| folder.path().join(name);
        let own = rcgen::generate_simple_self_signed(vec![host.clone()]).expect("a certificate");
        std::fs::write(path("tls.crt"), own.cert.pem()).expect("written");
        std::fs::write(path("tls.key"), own.signing_key.serialize_pem()).expect("written");
        std::fs::write(path("htpasswd"), HTPASSWD).expect("written");
        let config = serde_json::json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": path("data") } },
            "http": { "addr": format!("{host}:0"), "secret": "of-a-test", "tls": { "certificate": path("tls.crt"), "key": path("tls.key") } },
            "auth": { "htpasswd": { "realm": "charts", "path": path("htpasswd") } },
        });
        std::fs::write(path("config.yml"), config.to_string()).expect("written");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: `docker-registry` is not on the PATH");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await.expect("readable") {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    return rest.split(',').next().unwrap_or(rest).to_owned();
                }
            }
            panic!("docker-registry ended without an address");
        };
        let address = tokio::time::timeout(PATIENCE, listens).await.expect("in time");
        // Its log is read on, so that it never waits for somebody to take it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let ca_file = path("tls.crt");
        Some(Self {
            address,
            ca_file,
            folder,
            _child: child,
        })
    }

    /// Puts a packed chart into `oci://ADDRESS/charts`.
    pub async fn push(&self, helm: &Path, packed: &Path) {
        let login = self.folder.path().join("login.json");
        let pair = BASE64.encode(format!("{USER}:{PASSWORD}"));
        let config = serde_json::json!({ "auths": { &self.address: { "auth": pair } } });
        std::fs::write(&login, config.to_string()).expect("written");
        let output = Command::new(helm)
            .arg("push")
            .arg(packed)
            .arg(format!("oci://{}/charts", self.address))
            .arg("--ca-file")
            .arg(&self.ca_file)
            .env("HELM_REGISTRY_CONFIG", &login)
            .kill_on_drop(true)
            .output()
            .await
            .expect("helm runs");
        assert!(output.status.success(), "{output:?}");
    }
}

/// A folder of packed charts with an index, served over HTTP to who has the login.
pub struct Repository {
    pub url: String,
    /// Requests so far.
    requests: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Repository {
    /// Serves this folder.
    pub async fn serve(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, folder) = (Arc::clone(&requests), folder.to_owned());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                // One that goes away in the middle is nobody's loss.
                let _ = answer(stream, &folder).await;
            }
        });
        Self {
            url,
            requests,
            server,
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request, one answer, one connection.
async fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let wanted = format!("Basic {}", BASE64.encode(format!("{USER}:{PASSWORD}")));
    let allowed = head.lines().any(|line| {
        line.split_once(": ")
            .is_some_and(|(name, value)| name.eq_ignore_ascii_case("authorization") && value.trim() == wanted)
    });
    let name = head
        .split_whitespace()
        .nth(1)
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    let (status, body) = match (allowed, std::fs::read(folder.join(name))) {
        (false, _) => ("401 Unauthorized", Vec::new()),
        (true, Ok(body)) => ("200 OK", body),
        (true, Err(_)) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}
