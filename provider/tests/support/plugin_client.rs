//! The host's side of the plugin contract: starts a provider and connects to it as Terraform does.
//!
//! The certificate has what makes Terraform's special: a P-521 key, and the mark of an authority. Whoever uses this
//! file gets failures as panics with a text, because a test or a measurement has nothing better to do with them.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P521_SHA512,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpStream, UnixStream},
    process::{Child, ChildStderr, ChildStdout, Command},
};
use tonic::transport::{Channel, Endpoint, Uri};

/// What hosts show to plugins.
pub(crate) const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);

/// Longer than anything a test waits for takes on a loaded machine; reached only by a failure.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Waits for `future`, but not for ever.
pub(crate) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The certificate that a host makes for one plugin.
pub(crate) struct HostIdentity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    pem: String,
}

impl HostIdentity {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).expect("a P-521 key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "HashiCorp");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        }
    }

    /// The value of `PLUGIN_CLIENT_CERT`.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

/// What a client shows of itself.
#[derive(Clone, Copy)]
pub(crate) enum Show<'a> {
    /// TLS, with this certificate.
    Certificate(&'a HostIdentity),
    /// TLS, without a certificate.
    NoCertificate,
    /// No TLS.
    Plain,
}

/// The provider's one line.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    pub(crate) fields: Vec<String>,
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

impl Handshake {
    pub(crate) fn parse(line: &str) -> Self {
        let fields: Vec<String> = line.trim_end().split('|').map(str::to_owned).collect();
        assert!(fields.len() >= 6, "no handshake line: {line:?}");
        assert_eq!(fields[..2], ["1", "6"], "{line}");
        assert_eq!(fields[4], "grpc", "{line}");
        let certificate = (fields[5].len() > 50)
            .then(|| CertificateDer::from(STANDARD_NO_PAD.decode(&fields[5]).expect("unpadded base64")));
        Self { fields, certificate }
    }

    pub(crate) fn network(&self) -> &str {
        &self.fields[2]
    }

    pub(crate) fn address(&self) -> &str {
        &self.fields[3]
    }

    /// The private directory that holds the socket.
    pub(crate) fn socket_directory(&self) -> PathBuf {
        assert_eq!(self.network(), "unix");
        Path::new(self.address()).parent().expect("a parent").to_owned()
    }

    /// Connects, and waits until the connection stands.
    ///
    /// With TLS 1.3 a refusal of the certificate arrives after the client's handshake is done, so a first call may
    /// fail where this succeeded.
    pub(crate) async fn connect(&self, show: Show<'_>) -> Result<Channel, tonic::transport::Error> {
        self.connect_with(show, rustls::ALL_VERSIONS).await
    }

    /// The same, with a choice of TLS versions.
    pub(crate) async fn connect_with(
        &self,
        show: Show<'_>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = match show {
            Show::Certificate(identity) => Some(self.client_config(Some(identity), versions)),
            Show::NoCertificate => Some(self.client_config(None, versions)),
            Show::Plain => None,
        }
        .map(|config| tokio_rustls::TlsConnector::from(Arc::new(config)));
        let (network, address) = (self.network().to_owned(), self.address().to_owned());
        let connector = tower::service_fn(move |_: Uri| {
            let (network, address, tls) = (network.clone(), address.clone(), tls.clone());
            async move {
                let raw: Box<dyn Duplex> = match network.as_str() {
                    "unix" => Box::new(UnixStream::connect(address).await?),
                    _ => Box::new(TcpStream::connect(address).await?),
                };
                let stream: Box<dyn Duplex> = match tls {
                    Some(tls) => {
                        let name = ServerName::try_from("localhost").expect("a name");
                        Box::new(tls.connect(name, raw).await?)
                    }
                    None => raw,
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // The address is the connector's business.
        Endpoint::from_static("http://localhost")
            .connect_with_connector(connector)
            .await
    }

    fn client_config(
        &self,
        identity: Option<&HostIdentity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let server = self
            .certificate
            .clone()
            .expect("a certificate in the handshake line");
        roots.add(server).expect("a trust anchor");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("TLS versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![identity.certificate.clone()],
                    PrivateKeyDer::Pkcs8(identity.key.clone_key()),
                )
                .expect("a client certificate"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

/// The command that starts `program` as Terraform does; without `identity`, as with plugin TLS switched off.
pub(crate) fn host_command(program: impl AsRef<OsStr>, identity: Option<&HostIdentity>) -> Command {
    let mut command = Command::new(program);
    command
        .env_remove("TF_LOG")
        .env_remove("TF_LOG_PROVIDER")
        .env_remove("TF_LOG_PROVIDER_HARNESS")
        .env(COOKIE.0, COOKIE.1)
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(identity) = identity {
        command.env("PLUGIN_CLIENT_CERT", identity.pem());
    }
    command
}

/// A provider that runs and has said its line.
pub(crate) struct PluginProcess {
    pub(crate) child: Child,
    pub(crate) handshake: Handshake,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) stderr: BufReader<ChildStderr>,
    /// The process's TMPDIR: one that is killed leaves its socket there, and not for ever.
    scratch: TempDir,
}

impl PluginProcess {
    /// Starts `command`, which is good for one start, and waits for the line. Lines before it are skipped: a test harness may have said something.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        if !command.as_std().get_envs().any(|(name, _)| name == "TMPDIR") {
            command.env("TMPDIR", scratch.path());
        }
        let mut child = command.spawn().expect("the provider starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.starts_with("1|") {
            line.clear();
            if patiently("the handshake line", stdout.read_line(&mut line))
                .await
                .expect("readable")
                == 0
            {
                let mut text = String::new();
                stderr.read_to_string(&mut text).await.expect("readable");
                panic!("the provider ended without a handshake line; stderr:\n{text}");
            }
        }
        Self {
            child,
            handshake: Handshake::parse(&line),
            stdout,
            stderr,
            scratch,
        }
    }

    /// The next line of stderr, without its end.
    pub(crate) async fn stderr_line(&mut self) -> String {
        let mut line = String::new();
        patiently("a line on stderr", self.stderr.read_line(&mut line))
            .await
            .expect("readable");
        line.trim_end().to_owned()
    }

    /// Sends a signal, as whoever else shares a terminal or a machine with it.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .expect("a running child");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("the signal is sent");
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        patiently("the provider's end", self.child.wait())
            .await
            .expect("waitable")
    }

    /// What stderr still holds after the end.
    pub(crate) async fn rest_of_stderr(&mut self) -> String {
        let mut text = String::new();
        patiently("the end of stderr", self.stderr.read_to_string(&mut text))
            .await
            .expect("readable");
        text
    }

    /// What stdout still holds after the end.
    pub(crate) async fn rest_of_stdout(&mut self) -> String {
        let mut text = String::new();
        patiently("the end of stdout", self.stdout.read_to_string(&mut text))
            .await
            .expect("readable");
        text
    }
}
