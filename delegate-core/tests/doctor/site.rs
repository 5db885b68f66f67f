//! Servers that answer as a test wants: a manager's answers by default, over TLS or not, and a proxy's.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

/// How long a certificate lasts.
#[derive(Clone, Copy)]
pub(crate) enum Life {
    Now,
    Over,
    Soon,
    Later,
}

fn set_life(params: &mut CertificateParams, life: Life) {
    let (from, to) = match life {
        Life::Now => return,
        Life::Over => (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 2, 3)),
        Life::Later => (date_time_ymd(4000, 1, 1), date_time_ymd(4001, 1, 1)),
        Life::Soon => {
            let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(72);
            let day = soon.to_zoned(jiff::tz::TimeZone::UTC).date();
            let (month, number) = (day.month().unsigned_abs(), day.day().unsigned_abs());
            (
                date_time_ymd(2001, 1, 1),
                date_time_ymd(day.year().into(), month, number),
            )
        }
    };
    params.not_before = from;
    params.not_after = to;
}

/// An authority with a name of its own.
pub(crate) fn ca(life: Life) -> Ca {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    set_life(&mut params, life);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, PEM.
pub(crate) fn issue(ca: &Ca, name: &str, life: Life) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    set_life(&mut params, life);
    let certificate = params.signed_by(&key, ca).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// TLS with this certificate, for clients of an authority where one is given.
pub(crate) fn tls((certificate, key): &(String, String), clients_of: Option<&Ca>) -> Arc<ServerConfig> {
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
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// A whole reply.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "content-type: application/json\r\n";

/// What a manager answers about a delegate it does not know, by a clock that differs from ours.
pub(crate) fn managers(head: &str, clock_ahead: i64) -> String {
    if head.contains("/log-service/") {
        return reply("401 Unauthorized", JSON, r#"{"error_msg":"no token"}"#);
    }
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(clock_ahead);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&now)
        .unwrap();
    let body =
        r#"{"responseMessages":[{"code":"DELEGATE_NOT_REGISTERED","level":"ERROR","message":"unknown"}]}"#;
    reply("404 Not Found", &format!("{JSON}date: {date}\r\n"), body)
}

/// Answers requests, by what their heads say, until the test program ends. Returns the port.
pub(crate) fn serve(tls: Option<Arc<ServerConfig>>, reply: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let Ok(mut raw) = stream.try_clone() else { continue };
            // A doctor that only knocks must not hold the next one up.
            let _ = raw.set_read_timeout(Some(Duration::from_secs(10)));
            let answered = match &tls {
                None => answer(stream, &reply),
                Some(config) => answer(
                    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream),
                    &reply,
                ),
            };
            if answered.is_err() {
                // Closing on unread bytes would reset the connection, and the alert with the reason would be lost.
                let _ = raw.read_to_end(&mut Vec::new());
            }
        }
    });
    port
}

/// First byte of a TLS handshake: web servers that speak none answer it as a bad request.
const TLS_RECORD: u8 = 22;

fn answer(
    stream: impl std::io::Read + std::io::Write,
    reply: &impl Fn(&str) -> String,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    if stream.fill_buf()?.first() == Some(&TLS_RECORD) {
        stream.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        return stream.get_mut().flush();
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.get_mut().write_all(reply(&head).as_bytes())?;
    stream.get_mut().flush()
}

/// A port that is taken, and refuses connections.
pub(crate) fn refusing() -> (tokio::net::TcpSocket, u16) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}
