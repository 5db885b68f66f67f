//! A git server over https: git's own `http-backend` behind TLS and a login.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const USER: &str = "reader";
pub(crate) const PASSWORD: &str = "hunter2-of-the-git-server";

/// Most of a request's body: what a clone sends is short.
const MAX_BODY: usize = 1 << 20;

/// A folder of repositories, served.
pub(crate) struct GitServer {
    folder: tempfile::TempDir,
    site: Arc<Site>,
    port: u16,
    _serving: AbortOnDropHandle<io::Result<()>>,
}

struct Site {
    folder: PathBuf,
    logins: Mutex<Vec<String>>,
    asked: Notify,
}

impl GitServer {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Of two with one name, some clients look at the first only.
        let name = format!("authority {}", fastrand::u64(..));
        authority.distinguished_name.push(DnType::CommonName, name);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = Tls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let site = Arc::new(Site {
            folder: folder.path().to_owned(),
            logins: Mutex::default(),
            asked: Notify::new(),
        });
        let serving = Arc::clone(&site);
        let app = axum::Router::new().fallback(move |request: Request| answer(Arc::clone(&serving), request));
        Self {
            folder,
            site,
            port,
            _serving: AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, app).await })),
        }
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("https://127.0.0.1:{}/{repository}", self.port)
    }

    /// The certificate of the authority that vouches for it.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A new repository with one commit.
    pub(crate) fn repository(&self, name: &str) -> Repository {
        Repository::new(self.folder.path().join(name))
    }

    /// The logins that came, as they were sent.
    pub(crate) fn logins(&self) -> Vec<String> {
        self.site.logins.lock().unwrap().clone()
    }

    /// Waits until somebody asks for the repository `hang`, who gets no answer.
    pub(crate) async fn hangs(&self) {
        self.site.asked.notified().await;
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                continue;
            };
            // Who does not trust us goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn answer(site: Arc<Site>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.uri.path().starts_with("/hang") {
        site.asked.notify_one();
        std::future::pending::<()>().await;
    }
    let login = head.headers.get(header::AUTHORIZATION);
    if let Some(login) = login {
        site.logins
            .lock()
            .unwrap()
            .push(login.to_str().unwrap().to_owned());
    }
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if login.is_none_or(|login| login != expected.as_str()) {
        let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
        let refused = refused.header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"");
        return refused.body(Body::empty()).unwrap();
    }
    let body = to_bytes(body, MAX_BODY).await.unwrap();
    let text = |headers: &HeaderMap, name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let mut backend = tokio::process::Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", &site.folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", &site.folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(&head.headers, "content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(&head.headers, "content-encoding"))
        .env("GIT_PROTOCOL", text(&head.headers, "git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REMOTE_USER", USER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = backend.stdin.take().unwrap();
    let writing = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = backend.wait_with_output().await.unwrap();
    let _ = writing.await;
    let at = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let at = at.expect("a head");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output.stdout[..at]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = if name == "Status" {
            response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap())
        } else {
            response.header(name, value)
        };
    }
    response
        .body(Body::from(output.stdout[at + 4..].to_vec()))
        .unwrap()
}

/// A repository with a work tree, which can be served as it is.
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
}

impl Repository {
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let repository = Self { path };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit("file", "1\n");
        repository
    }

    /// Writes a file and commits it. Returns the commit.
    pub(crate) fn commit(&self, file: &str, text: &str) -> String {
        std::fs::write(self.path.join(file), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", text.trim()]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.path, args)
    }
}

/// Runs git in a folder, and returns what it prints.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=Tester", "-c", "user.email=tester@example.com"])
        .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0"])
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
