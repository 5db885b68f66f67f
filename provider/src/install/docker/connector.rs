//! One way to open a byte stream to an engine, whatever lies between.
//!
//! The streams are pooled and spoken HTTP over by the client; this only opens them: a socket, a port with or without
//! TLS, or the user's `ssh` program that runs `docker system dial-stdio` on the other machine. That program ends with the
//! stream; what it complains about is kept for the error.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;

/// Longest wait for a connection; a machine on the other side of the world answers within.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Most of what `ssh` complains about that is kept, in bytes: a few lines.
const COMPLAINT_LIMIT: usize = 2048;

/// Longest wait for the rest of what `ssh` complains about, once its stream has ended. It ends at once, but for one whose
/// connection others share: that leaves a process behind which holds the pipe.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// Variables of this process that `ssh` and its configuration may need.
const SSH_VARIABLES: [&str; 8] = [
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "LANG",
    "XDG_RUNTIME_DIR",
];

/// Opens streams to one engine.
#[derive(Clone)]
pub(super) struct Connector {
    endpoint: Endpoint,
    /// Made at the first connection: reading files is no part of being configured.
    tls: Arc<Mutex<Option<Arc<ClientConfig>>>>,
    complaint: Arc<Mutex<String>>,
}

impl Connector {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: Arc::default(),
            complaint: Arc::default(),
        }
    }

    /// What the `ssh` program said last, on one line; empty when there is none or it was silent.
    pub(super) fn complaint(&self) -> String {
        let text = self.complaint.lock().map(|text| text.clone()).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    async fn open(&self) -> io::Result<Stream> {
        match &self.endpoint {
            Endpoint::Unix(path) => Ok(Stream::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp {
                host,
                port,
                certificates,
            } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let Some(folder) = certificates else {
                    return Ok(Stream::new(stream));
                };
                let config = self.tls(folder)?;
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                Ok(Stream::new(
                    TlsConnector::from(config).connect(name, stream).await?,
                ))
            }
            Endpoint::Ssh {
                destination,
                port,
                socket,
                options,
            } => self.dial(destination, *port, socket.as_deref(), options),
        }
    }

    fn tls(&self, folder: &Path) -> io::Result<Arc<ClientConfig>> {
        let poisoned = |_| io::Error::other("another connection failed");
        let mut made = self.tls.lock().map_err(poisoned)?;
        if let Some(config) = &*made {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(tls_config(folder)?);
        *made = Some(Arc::clone(&config));
        Ok(config)
    }

    fn dial(
        &self,
        destination: &str,
        port: Option<u16>,
        socket: Option<&str>,
        options: &[String],
    ) -> io::Result<Stream> {
        let mut command = Command::new("ssh");
        // Nobody sits at Terraform's provider to answer a question.
        command.args(["-T", "-o", "BatchMode=yes", "-o"]);
        command.arg(format!("ConnectTimeout={}", CONNECT_LIMIT.as_secs()));
        command.args(options);
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", destination, "docker"]);
        if let Some(socket) = socket {
            command.args(["--host", &format!("unix://{socket}")]);
        }
        command.args(["system", "dial-stdio"]);
        command.env_clear();
        command
            .envs(
                SSH_VARIABLES
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is Terraform's to answer.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot run the ssh program: {error}")))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the ssh program has no pipes"));
        };
        let kept = tokio::spawn(keep(stderr, Arc::clone(&self.complaint)));
        Ok(Stream {
            io: Box::new(tokio::io::join(stdout, stdin)),
            _program: Some(child),
            last_words: Some(Box::pin(async move {
                let _ = tokio::time::timeout(LAST_WORDS_LIMIT, kept).await;
            })),
        })
    }
}

/// Keeps the first of what a program complains about; the rest is read and dropped, or the program would block.
async fn keep(mut stderr: ChildStderr, complaint: Arc<Mutex<String>>) {
    let mut buffer = [0; 512];
    let mut text = Vec::new();
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        let room = COMPLAINT_LIMIT.saturating_sub(text.len());
        text.extend_from_slice(&buffer[..length.min(room)]);
        if let Ok(mut kept) = complaint.lock() {
            *kept = String::from_utf8_lossy(&text).into_owned();
        }
    }
}

/// The engine's authority and our certificate, as the `docker` program has them.
fn tls_config(folder: &Path) -> io::Result<ClientConfig> {
    let named = |file: &str, problem: &dyn std::fmt::Display| {
        io::Error::other(format!("cannot use {}: {problem}", folder.join(file).display()))
    };
    let certificates = |file: &str| -> io::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_file_iter(folder.join(file))
            .and_then(Iterator::collect)
            .map_err(|problem| named(file, &problem))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca.pem")? {
        roots
            .add(certificate)
            .map_err(|problem| named("ca.pem", &problem))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    if !folder.join("cert.pem").exists() && !folder.join("key.pem").exists() {
        return Ok(builder.with_no_client_auth());
    }
    let key =
        PrivateKeyDer::from_pem_file(folder.join("key.pem")).map_err(|problem| named("key.pem", &problem))?;
    builder
        .with_client_auth_cert(certificates("cert.pem")?, key)
        .map_err(|problem| named("cert.pem", &problem))
}

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let open = tokio::time::timeout(CONNECT_LIMIT, connector.open()).await;
            let late = |_| {
                io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no connection within {} s", CONNECT_LIMIT.as_secs()),
                )
            };
            open.map_err(late)?.map(TokioIo::new)
        })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open stream, and the program at its other end.
pub(super) struct Stream {
    io: Box<dyn Io>,
    /// Ends when it is dropped.
    _program: Option<Child>,
    /// Done once all that the program complained about is kept. The stream does not end before that, so that the error of
    /// whoever uses it can say why.
    last_words: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Stream {
    fn new(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            _program: None,
            last_words: None,
        }
    }

    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(words) = &mut self.last_words {
            ready!(words.as_mut().poll(cx));
            self.last_words = None;
        }
        Poll::Ready(())
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        if read.is_err() || buffer.filled().len() == before {
            ready!(self.poll_last_words(cx));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        if written.is_err() {
            ready!(self.poll_last_words(cx));
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
