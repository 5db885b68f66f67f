//! The ways to an engine: a port with TLS, and ssh, each with the delegate's whole life.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::fixture::{Case, DELEGATE, docker};
use crate::manager::until;

/// The socket of the engine of the tests.
fn socket() -> Option<String> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let socket = host.strip_prefix("unix://").map(str::to_owned);
    if socket.is_none() {
        eprintln!("SKIPPED: the engine is not on a socket of this machine");
    }
    socket
}

/// The whole life over `config`, whose engine is the one of the tests on another way.
async fn lives_over(case: &Case, config: &crate::fixture::Config, address: &str) {
    case.apply(config).await.succeeds();
    assert_eq!(case.attribute("connected").await, true);
    assert_eq!(
        case.attribute("target_id").await,
        docker(&["info", "--format", "{{.ID}}"])
    );
    assert_eq!(
        case.attribute("id").await,
        format!("docker/{address}/{}", case.name)
    );
    case.assert_well().await;
    docker(&["stop", "--time", "30", &case.name]);
    assert_eq!(case.drift().await, ["the container does not run (exit code 0)"]);
    case.assert_heals().await;
    let id = format!("docker/{address}/{}", case.name);
    case.terraform.run(&["state", "rm", DELEGATE]).await.succeeds();
    case.terraform.import(DELEGATE, &id).await.succeeds();
    case.terraform.assert_settled().await;
    case.assert_removed().await;
}

/// A port with mutual TLS before the engine's socket, and a folder with what a client needs.
async fn tls_port(socket: String, folder: &Path) -> u16 {
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "engine authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        (certificate, key)
    };
    let (client, client_key) = issue("client");
    fs::create_dir_all(folder).unwrap();
    for (file, text) in [
        ("ca.pem", ca.pem()),
        ("cert.pem", client.pem()),
        ("key.pem", client_key.serialize_pem()),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
    let (server, server_key) = issue("127.0.0.1");
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::try_from(server_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let mut near = acceptor.accept(stream).await.ok()?;
                let mut far = UnixStream::connect(socket).await.ok()?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok()
            });
        }
    });
    port
}

#[tokio::test]
async fn an_engine_on_a_port_with_tls_is_used() {
    let (Some(socket), Some(case)) = (socket(), Case::new("tls").await) else {
        return;
    };
    let folder = case.terraform.path("certificates");
    let port = tls_port(socket, &folder).await;
    let address = format!("tcp://127.0.0.1:{port}");
    let named = |folder: &Path| format!("{{ host = {address:?}, cert_path = {:?} }}", folder.display());
    lives_over(&case, &case.config().provider("docker", named(&folder)), &address).await;
    // Of the resource, which leaves the provider's aside.
    let own = case
        .config()
        .provider("docker", r#"{ host = "unix:///nowhere.sock" }"#)
        .docker("host", format!("{address:?}"))
        .docker("cert_path", format!("{:?}", folder.display()));
    case.apply(&own).await.succeeds();
    case.assert_well().await;
    case.assert_removed().await;
    // Without our certificate, and with an authority that the engine's is not of.
    let (nobody, stranger) = (case.terraform.path("nobody"), case.terraform.path("stranger"));
    fs::create_dir_all(&nobody).unwrap();
    fs::copy(folder.join("ca.pem"), nobody.join("ca.pem")).unwrap();
    tls_port(String::new(), &stranger).await;
    for (folder, part) in [
        (&nobody, "ertificate"),
        (&stranger, "ertificate"),
        (&case.terraform.path("none"), "ca.pem"),
    ] {
        let error = case
            .apply(&case.config().provider("docker", named(folder)))
            .await
            .fails();
        assert!(
            error.contains("Cannot reach the Docker engine") && error.contains(part),
            "{error}"
        );
    }
}

/// An ssh server of this machine, for the user of this test.
struct SshServer {
    child: Child,
    port: u16,
    /// What a client is started with.
    options: Vec<String>,
}

impl SshServer {
    async fn start(folder: &Path) -> Option<Self> {
        let program = PathBuf::from("/usr/sbin/sshd");
        if !program.exists() {
            eprintln!("SKIPPED: there is no /usr/sbin/sshd");
            return None;
        }
        // Where it gives up its rights; the package makes it at boot.
        let _ = fs::create_dir_all("/run/sshd");
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        for name in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &file(name)])
                .status()
                .await;
            assert!(made.expect("ssh-keygen runs").success());
        }
        fs::copy(file("user.pub"), file("authorized")).unwrap();
        // The port is free until the server takes it; another test may be quicker, then the next one is tried.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let authorized = format!("AuthorizedKeysFile={}", file("authorized"));
            let mut child = Command::new(&program)
                .args([
                    "-D",
                    "-e",
                    "-f",
                    "/dev/null",
                    "-h",
                    &file("host"),
                    "-p",
                    &port.to_string(),
                ])
                .args([
                    "-o",
                    "ListenAddress=127.0.0.1",
                    "-o",
                    "StrictModes=no",
                    "-o",
                    "PidFile=none",
                    "-o",
                    "MaxStartups=100",
                ])
                .args(["-o", &authorized, "-o", "PermitRootLogin=yes"])
                .stderr(std::process::Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("sshd starts");
            let listens = until("the ssh server", async || {
                if child.try_wait().expect("it is ours").is_some() {
                    return Some(false);
                }
                TcpStream::connect(("127.0.0.1", port))
                    .await
                    .is_ok()
                    .then_some(true)
            });
            if !listens.await {
                continue;
            }
            let key = fs::read_to_string(file("host.pub")).unwrap();
            fs::write(file("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
            let options = [
                "-F",
                "/dev/null",
                "-i",
                &file("user"),
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                &format!("UserKnownHostsFile={}", file("known")),
            ];
            return Some(Self {
                child,
                port,
                options: options.map(str::to_owned).to_vec(),
            });
        }
        panic!("no port for the ssh server");
    }
}

#[tokio::test]
async fn an_engine_behind_ssh_is_used() {
    let (Some(socket), Some(case)) = (socket(), Case::new("ssh").await) else {
        return;
    };
    let Some(mut server) = SshServer::start(&case.terraform.path("ssh")).await else {
        return;
    };
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .expect("it has a name")
        .name;
    let address = format!("ssh://{user}@127.0.0.1:{}{socket}", server.port);
    let options = serde_json::json!(server.options).to_string();
    let config = case.config().provider(
        "docker",
        format!("{{ host = {address:?}, ssh_opts = {options} }}"),
    );
    lives_over(&case, &config, &address).await;
    // What ssh complains about is told.
    let unknown: Vec<String> = server
        .options
        .iter()
        .filter(|option| !option.starts_with("UserKnown"))
        .cloned()
        .collect();
    let strict = [
        &unknown[..unknown.len() - 1],
        &["-o".to_owned(), "UserKnownHostsFile=/dev/null".to_owned()],
    ]
    .concat();
    let strict = serde_json::json!(strict).to_string();
    let error = case
        .apply(
            &case
                .config()
                .provider("docker", format!("{{ host = {address:?}, ssh_opts = {strict} }}")),
        )
        .await
        .fails();
    assert!(
        error.contains("ssh says: ") && error.contains("Host key verification failed"),
        "{error}"
    );
    server.child.kill().await.expect("it runs");
    let error = case.apply(&config).await.fails();
    assert!(
        error.contains("Cannot reach the Docker engine") && error.contains("Connection refused"),
        "{error}"
    );
}
