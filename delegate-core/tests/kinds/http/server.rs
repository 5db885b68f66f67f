//! A real server for a test: plain, TLS, or TLS that wants to know who asks. It keeps what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A server for a test, and what it was asked. It ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Asked,
    _running: AbortOnDropHandle<()>,
}

/// The requests of a server: method, target, headers.
pub(crate) type Asked = Arc<Mutex<Vec<(String, String, HeaderMap)>>>;

impl Server {
    pub(crate) async fn start(routes: Router) -> Self {
        Self::with_tls(routes, None).await
    }

    pub(crate) async fn with_tls(routes: Router, tls: Option<ServerConfig>) -> Self {
        let asked = Asked::default();
        let record = axum::middleware::from_fn_with_state(Arc::clone(&asked), record);
        let routes = routes.layer(record);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls.map(|tls| tokio_rustls::TlsAcceptor::from(Arc::new(tls)));
        let running = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let service = TowerToHyperService::new(routes.clone());
                let tls = tls.clone();
                // A connection that fails is what some tests want; the client says so.
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    match tls {
                        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else {
                                return;
                            };
                            drop(server.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        Self {
            address,
            asked,
            _running: AbortOnDropHandle::new(running),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<(String, String, HeaderMap)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn record(State(asked): State<Asked>, request: Request, next: axum::middleware::Next) -> Response {
    let (method, target) = (request.method().to_string(), request.uri().to_string());
    asked
        .lock()
        .unwrap()
        .push((method, target, request.headers().clone()));
    next.run(request).await
}

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, PEM.
pub(crate) fn issue(ca: &Ca, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}

/// A server named `localhost` that wants a certificate of its clients.
pub(crate) fn mutual(ca: &Ca, clients_of: &Ca) -> ServerConfig {
    let (certificate, key) = issue(ca, "localhost");
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(clients_of.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}
