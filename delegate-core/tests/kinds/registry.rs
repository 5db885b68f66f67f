//! A real image registry of a test's own: `docker-registry`, over plain HTTP on this machine, which an engine of this
//! machine takes.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use delegate_core::protocol::http::Http;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "push-password-7d41c0aa";

/// What moto's token is for its only account.
pub(crate) const ECR_PASSWORD: &str = "123456789012-auth-token";

/// The lines that `htpasswd -nbB` gives for these and for ECR's user: making one takes a program that is not everywhere.
const HTPASSWD: &str = "robot:$2y$05$UAyxax1NqDjS54hL8ByM7uooswChEBQd7FyFaSllVA7fxME55PgIK\n\
                        AWS:$2y$05$UAyxax1NqDjS54hL8ByM7u7Hh08cZu6ZaU9mZe5uK.zYWcTgSewFe\n";

/// Until it listens. Only a failing test takes it.
const PATIENCE: Duration = Duration::from_mins(2);

/// What registries call an image's manifest of one platform.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Ended when dropped.
pub(crate) struct Registry {
    /// `HOST:PORT`.
    pub(crate) address: String,
    _folder: tempfile::TempDir,
    _child: Child,
    _log: AbortOnDropHandle<()>,
}

impl Registry {
    /// One that takes [`USER`], and ECR's. Says so and gives nothing where the program is not.
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("htpasswd"), HTPASSWD).unwrap();
        let config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": path("data")}},
            "http": {"addr": "127.0.0.1:0", "secret": "of-a-test"},
            "auth": {"htpasswd": {"realm": "tests", "path": path("htpasswd")}},
        });
        fs::write(path("config.yml"), config.to_string()).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: docker-registry is not in PATH (scripts/setup registry installs it)");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    return rest.split([',', '"', ' ']).next().unwrap().to_owned();
                }
            }
            panic!("docker-registry ended without an address");
        };
        let address = tokio::time::timeout(PATIENCE, listens).await.unwrap();
        // Its log is read on, so that it never waits for somebody to take it.
        let log = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self {
            address,
            _folder: folder,
            _child: child,
            _log: AbortOnDropHandle::new(log),
        })
    }

    /// The digest of an image there; none when there is no such image.
    pub(crate) async fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let url = format!("http://{}/v2/{repository}/manifests/{tag}", self.address);
        let url: url::Url = url.parse().unwrap();
        let client = Http::default().for_url(&url).unwrap();
        let request = client.head(url).basic_auth(USER, Some(PASSWORD));
        let reply = request.header("accept", MANIFEST).send().await.unwrap();
        let digest = reply.headers().get("docker-content-digest")?;
        Some(digest.to_str().unwrap().to_owned())
    }
}

/// A way to a registry that lets nobody through before it is opened.
pub(crate) struct Gate {
    /// `HOST:PORT`.
    pub(crate) address: String,
    open: Arc<AtomicBool>,
    _serving: AbortOnDropHandle<()>,
}

impl Gate {
    pub(crate) async fn before(registry: &Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = Arc::new(AtomicBool::new(false));
        let (opened, to) = (open.clone(), registry.address.clone());
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                if !opened.load(Ordering::SeqCst) {
                    continue;
                }
                let to = to.clone();
                tokio::spawn(async move {
                    let mut registry = TcpStream::connect(to).await.unwrap();
                    // Either side may go away when it likes.
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut registry).await;
                });
            }
        });
        Self {
            address,
            open,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}
