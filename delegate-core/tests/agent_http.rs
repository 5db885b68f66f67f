//! The HTTP clients against real TLS servers and proxies: whom they trust, what they show, and which way they go.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use delegate_core::Secret;
use delegate_core::config::{ClientCertificate, Proxy, ProxyCredentials, ProxyScheme};
use delegate_core::protocol::http::{Http, HttpError, HttpSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

type Ca = CertifiedIssuer<'static, KeyPair>;

/// An authority with a name of its own: two of one name are told apart by their signatures only, which is another error.
fn ca() -> Ca {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, PEM.
fn issue(ca: &Ca, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, ca)
        .unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Answers every connection with its request's head, until the test ends. Returns the port and what came in.
fn serve(tls: Option<Arc<ServerConfig>>, reply: &'static str) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let answered = match &tls {
                None => answer(stream, reply),
                Some(config) => answer(
                    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream),
                    reply,
                ),
            };
            if let Ok(head) = answered
                && sender.send(head).is_err()
            {
                return;
            }
        }
    });
    (port, heads)
}

fn answer(stream: impl Read + Write, reply: &str) -> std::io::Result<String> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.get_mut().write_all(reply.as_bytes())?;
    stream.get_mut().flush()?;
    Ok(head)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

fn tls(ca: &Ca, clients_of: Option<&Ca>) -> Arc<ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    let (certificate, key) = issue(ca, "localhost");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients_of {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

async fn get(settings: HttpSettings, url: &str) -> Result<String, String> {
    let client = Http::new(settings)
        .for_url(&url.parse().unwrap())
        .map_err(|error| error.to_string())?;
    let response = client
        .get(url)
        .send()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(format!(
        "{} {}",
        response.status().as_u16(),
        response.text().await.unwrap()
    ))
}

fn trusting(dir: &Path) -> HttpSettings {
    HttpSettings {
        ca_bundle_dir: Some(dir.to_path_buf()),
        ..HttpSettings::default()
    }
}

#[tokio::test]
async fn a_ca_of_the_folder_is_trusted_in_pem_and_der_and_bad_files_do_no_harm() {
    let (ca, dir) = (ca(), tempfile::tempdir().unwrap());
    let (port, _heads) = serve(Some(tls(&ca, None)), OK);
    let url = format!("https://localhost:{port}/");
    let refused = get(trusting(dir.path()), &url).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    std::fs::write(dir.path().join("0-not-a-certificate.txt"), "hello").unwrap();
    std::fs::write(
        dir.path().join("1-broken.pem"),
        "-----BEGIN CERTIFICATE-----\n!!!\n",
    )
    .unwrap();
    std::fs::create_dir(dir.path().join("2-a-folder")).unwrap();
    let other = self::ca().pem();
    for (name, content) in [
        (
            "bundle.pem",
            format!("# a comment\n{other}\n{}", ca.pem()).into_bytes(),
        ),
        ("one.der", ca.der().to_vec()),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, content).unwrap();
        assert_eq!(get(trusting(dir.path()), &url).await.unwrap(), "200 ok", "{name}");
        std::fs::remove_file(file).unwrap();
    }
    let all = HttpSettings {
        trust_all_certificates: true,
        ..HttpSettings::default()
    };
    assert_eq!(get(all, &url).await.unwrap(), "200 ok");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let (ca, clients, dir) = (ca(), ca(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
    let (port, _heads) = serve(Some(tls(&ca, Some(&clients))), OK);
    let url = format!("https://localhost:{port}/");
    assert!(
        get(trusting(dir.path()), &url).await.is_err(),
        "without one it is refused"
    );
    let files = tempfile::tempdir().unwrap();
    let pair = ClientCertificate {
        certificate: files.path().join("client.crt"),
        key: files.path().join("client.key"),
    };
    let (certificate, key) = issue(&clients, "agent");
    std::fs::write(&pair.certificate, certificate).unwrap();
    std::fs::write(&pair.key, &key).unwrap();
    let settings = HttpSettings {
        client_certificate: Some(pair.clone()),
        ..trusting(dir.path())
    };
    assert_eq!(get(settings.clone(), &url).await.unwrap(), "200 ok");

    std::fs::write(&pair.key, "no key").unwrap();
    let error = Http::new(settings).for_url(&url.parse().unwrap()).unwrap_err();
    assert!(
        matches!(
            &error,
            HttpError::ClientCertificate {
                variable: "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn replaced_certificates_are_used_without_a_restart_and_broken_ones_do_no_harm() {
    let (ca, clients, dir) = (ca(), ca(), tempfile::tempdir().unwrap());
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, self::ca().pem()).unwrap();
    let files = tempfile::tempdir().unwrap();
    let pair = ClientCertificate {
        certificate: files.path().join("client.crt"),
        key: files.path().join("client.key"),
    };
    let put = |(certificate, key): (String, String)| {
        std::fs::write(&pair.certificate, certificate).unwrap();
        std::fs::write(&pair.key, key).unwrap();
    };
    put(issue(&self::ca(), "agent"));
    let http = Http::new(HttpSettings {
        client_certificate: Some(pair.clone()),
        ..trusting(dir.path())
    });
    let (port, _heads) = serve(Some(tls(&ca, Some(&clients))), OK);
    let url: url::Url = format!("https://localhost:{port}/").parse().unwrap();
    let get = async || {
        let sent = http.for_url(&url).unwrap().get(url.clone()).send().await;
        sent.map(|reply| reply.status().as_u16())
            .map_err(|error| format!("{error:?}"))
    };
    let refused = get().await.unwrap_err();
    assert!(
        refused.contains("UnknownIssuer"),
        "neither knows the other: {refused}"
    );
    // The files are looked at every ten seconds; nobody waits for them here.
    let later = async || {
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        tokio::time::resume();
    };
    std::fs::write(&bundle, ca.pem()).unwrap();
    later().await;
    let refused = get().await;
    assert!(
        refused
            .as_ref()
            .is_err_and(|error| !error.contains("UnknownIssuer")),
        "{refused:?}"
    );
    put(issue(&clients, "agent"));
    later().await;
    assert_eq!(get().await, Ok(200));
    std::fs::write(&pair.key, "no key").unwrap();
    later().await;
    assert_eq!(get().await, Ok(200), "what cannot be used is not");
}

#[tokio::test]
async fn a_proxy_is_used_with_its_login_except_for_what_no_proxy_names() {
    let (port, heads) = serve(None, OK);
    let settings = |no_proxy: &[&str]| HttpSettings {
        proxy: Some(Proxy {
            scheme: ProxyScheme::Http,
            host: "127.0.0.1".to_owned(),
            port,
            credentials: Some(ProxyCredentials {
                user: "me".to_owned(),
                password: Secret::new("p:w"),
            }),
        }),
        no_proxy: no_proxy.iter().map(|&name| name.to_owned()).collect(),
        ..HttpSettings::default()
    };
    // A host that does not exist: only a proxy can have answered.
    assert_eq!(
        get(settings(&["other.test"]), "http://manager.example.test/x")
            .await
            .unwrap(),
        "200 ok"
    );
    let head = heads.recv().unwrap();
    assert!(
        head.starts_with("GET http://manager.example.test/x HTTP/1.1"),
        "{head}"
    );
    assert!(
        head.to_lowercase().contains("proxy-authorization: basic "),
        "{head}"
    );
    for suffix in ["example.test", ".example.test", "manager.example.test"] {
        let direct = get(settings(&["a.b", suffix]), "http://manager.example.test/x").await;
        assert!(direct.is_err(), "{suffix}: went through the proxy");
    }
    // Networks are an improvement over what the official delegate understands: loopback does not go to the proxy.
    let url = format!("http://127.0.0.1:{port}/y");
    for (network, through) in [("10.0.0.0/8", true), ("127.0.0.0/8", false), ("127.0.0.1", false)] {
        assert_eq!(get(settings(&[network]), &url).await.unwrap(), "200 ok");
        let head = heads.recv().unwrap();
        assert_eq!(head.starts_with("GET http://"), through, "{network}: {head}");
    }
    let shown = format!("{:?}", settings(&[]));
    assert!(!shown.contains("p:w"), "{shown}");
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    const AWAY: &str = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (port, heads) = serve(None, AWAY);
    assert_eq!(
        get(HttpSettings::default(), &format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap(),
        "302 "
    );
    assert!(
        heads
            .recv()
            .unwrap()
            .to_lowercase()
            .contains("user-agent: harness-delegate/")
    );
}
