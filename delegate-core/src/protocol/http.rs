//! The one place that makes HTTP clients.
//!
//! Everything this crate says over HTTP goes through a client of [`Http`]: rustls with aws-lc-rs, the system's root
//! certificates plus a folder of own ones, an optional client certificate, an optional proxy, no redirects ever.
//! Loading roots costs about 20 ms, so there are two clients, each made when first needed: one without any root for
//! plain `http://`, one with them for `https://`, which is made anew when its files have changed. A bad file in the certificate folder is logged and skipped; a client
//! certificate that cannot be read is an error, because going on without it would only fail later and less clearly.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Client, NoProxy};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

use super::trust::{files_of, roots};
use crate::config::{ClientCertificate, DelegateConfig, Proxy, ProxyScheme};

/// Time for TCP and TLS to be set up. A manager that takes longer is as good as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An idle connection is kept this long: above the heartbeat's 10 s, so that one connection serves all of them, and
/// below the 60 s after which common load balancers drop theirs.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Idle connections kept per host; more than a handful only matter in a burst, and then they are in use.
const POOL_MAX_IDLE: usize = 16;

/// Notices a peer that vanished without a word while a long poll waits.
const TCP_KEEPALIVE: Duration = Duration::from_secs(20);

/// The same for the persistent connection, which is otherwise silent between heartbeats: a ping this often, and its
/// answer within the same time. A dead one is noticed within 20 s.
const STREAM_KEEPALIVE: Duration = Duration::from_secs(10);

/// Bytes in flight on the persistent connection, either way, before the peer has read them.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// Time between two looks at the files of certificates: soon enough for a rotation, too rare to cost anything.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How to reach servers: the part of a delegate's settings that matters to HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Forward proxy for everything that `no_proxy` does not name.
    pub proxy: Option<Proxy>,
    /// Domain suffixes (and addresses) reached without the proxy.
    pub no_proxy: Vec<String>,
    /// Folder of extra CA certificates; missing is fine.
    pub ca_bundle_dir: Option<PathBuf>,
    /// Pair for mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// Accept any server certificate. Debugging only.
    pub trust_all_certificates: bool,
}

impl From<&DelegateConfig> for HttpSettings {
    fn from(config: &DelegateConfig) -> Self {
        Self {
            proxy: config.proxy.clone(),
            no_proxy: config.no_proxy.clone(),
            ca_bundle_dir: Some(config.ca_bundle_dir.clone()),
            client_certificate: config.client_certificate.clone(),
            trust_all_certificates: config.trust_all_certificates,
        }
    }
}

/// Why no client could be made. Each names the setting at fault.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A file of the client certificate cannot be used.
    #[error("{variable} names {}, which cannot be used: {reason}", path.display())]
    ClientCertificate {
        /// The environment variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// The proxy's address is none.
    #[error("PROXY_HOST and PROXY_PORT make no usable address: {reason}")]
    Proxy {
        /// What is wrong with it; never the login.
        reason: String,
    },
    /// HTTP/2 cannot be had this way.
    #[error(
        "a proxy does not pass HTTP/2, which is gRPC's, on to a plain http:// address; use https://, or name the host in \
         NO_PROXY"
    )]
    StreamThroughProxy,
    /// The TLS library refused its settings.
    #[error("the TLS client could not be set up: {reason}")]
    Tls {
        /// What it said.
        reason: String,
    },
}

/// Certificates of one conversation, on top of those of the settings.
#[derive(Debug, Default)]
pub struct OwnCertificates {
    /// Authorities that are trusted besides.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Who we say that we are: a chain and its key.
    pub pair: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// HTTP clients, made when first needed. Cheap to make; share one by `Arc`.
#[derive(Debug, Default)]
pub struct Http {
    settings: HttpSettings,
    plain: OnceLock<Client>,
    tls: Mutex<Option<WithFiles>>,
}

/// A client, and the files it was made from as they were.
#[derive(Debug)]
struct WithFiles {
    client: Client,
    files: Vec<Seen>,
    looked: Instant,
}

/// A file as it was: when it was written, and its size.
type Seen = (PathBuf, Option<(SystemTime, u64)>);

impl Http {
    /// Clients with these settings. Nothing is read or contacted yet.
    pub fn new(settings: HttpSettings) -> Self {
        Self {
            settings,
            plain: OnceLock::new(),
            tls: Mutex::new(None),
        }
    }

    /// The client for a URL: with root certificates only when the URL, or the way to it, needs TLS.
    ///
    /// # Errors
    /// When the settings cannot be used; see [`HttpError`].
    pub fn for_url(&self, url: &Url) -> Result<Client, HttpError> {
        let tls_to_proxy = self
            .settings
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.scheme == ProxyScheme::Https);
        let with_roots = url.scheme() == "https" || tls_to_proxy;
        if with_roots {
            return self.with_files();
        }
        if let Some(client) = self.plain.get() {
            return Ok(client.clone());
        }
        let client = self.build(false)?;
        // Two first users at once build twice; the loser's client works as well.
        Ok(self.plain.get_or_init(|| client).clone())
    }

    /// The client with certificates: made anew when their files have changed, so that rotated ones are used without a
    /// restart. Files that cannot be used leave the old client in use.
    fn with_files(&self) -> Result<Client, HttpError> {
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_mut() {
            if kept.looked.elapsed() < LOOK_EVERY {
                return Ok(kept.client.clone());
            }
            kept.looked = Instant::now();
            let files = self.files();
            if files == kept.files {
                return Ok(kept.client.clone());
            }
            match self.build(true) {
                Ok(client) => {
                    info!("certificate files have changed; new connections use them");
                    kept.client = client;
                }
                Err(error) => {
                    warn!(%error, "certificate files have changed and cannot be used; the old ones stay in use");
                }
            }
            kept.files = files;
            return Ok(kept.client.clone());
        }
        // Looked at before they are read: a change in between is seen at the next look.
        let files = self.files();
        let client = self.build(true)?;
        *kept = Some(WithFiles {
            client: client.clone(),
            files,
            looked: Instant::now(),
        });
        Ok(client)
    }

    fn files(&self) -> Vec<Seen> {
        let folder = self.settings.ca_bundle_dir.as_deref().map(files_of);
        let pair = self.settings.client_certificate.iter();
        let pair = pair.flat_map(|pair| [pair.certificate.clone(), pair.key.clone()]);
        let seen = |path: PathBuf| {
            let now = path.metadata().ok();
            let now = now.and_then(|meta| Some((meta.modified().ok()?, meta.len())));
            (path, now)
        };
        folder.into_iter().flatten().chain(pair).map(seen).collect()
    }

    /// A client for one persistent connection, by HTTP/2: a new one, with the certificates as they are now.
    ///
    /// # Errors
    /// When the settings cannot be used, or a plain `http://` URL is behind a proxy, which would not pass HTTP/2 on.
    pub fn for_stream(&self, url: &Url) -> Result<Client, HttpError> {
        let builder = self
            .http2(url)?
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(STREAM_WINDOW)
            .http2_keep_alive_interval(STREAM_KEEPALIVE)
            .http2_keep_alive_timeout(STREAM_KEEPALIVE)
            .http2_keep_alive_while_idle(true);
        self.finish(builder)
    }

    /// A client for calls of gRPC that are made now and then: a new one, with the certificates as they are now, and
    /// without pings, for which servers close a connection that is otherwise idle.
    ///
    /// # Errors
    /// As [`Http::for_stream`].
    pub fn for_grpc(&self, url: &Url) -> Result<Client, HttpError> {
        let builder = self.http2(url)?.pool_idle_timeout(POOL_IDLE_TIMEOUT);
        self.finish(builder)
    }

    fn http2(&self, url: &Url) -> Result<reqwest::ClientBuilder, HttpError> {
        let proxied = self.settings.proxy.is_some() && !self.is_direct(url);
        if proxied && url.scheme() == "http" {
            return Err(HttpError::StreamThroughProxy);
        }
        let own = OwnCertificates::default();
        let mut tls = tls_config(&self.settings, url.scheme() == "https", own)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Client::builder()
            .tls_backend_preconfigured(tls)
            .http2_prior_knowledge())
    }

    /// A client for one conversation with certificates of its own. It costs some 20 ms, and shares no connections.
    ///
    /// # Errors
    /// When the settings, or the pair, cannot be used; see [`HttpError`].
    pub fn with_certificates(&self, own: OwnCertificates) -> Result<Client, HttpError> {
        self.finish(Client::builder().tls_backend_preconfigured(tls_config(&self.settings, true, own)?))
    }

    fn build(&self, with_roots: bool) -> Result<Client, HttpError> {
        let own = OwnCertificates::default();
        let builder = Client::builder()
            .tls_backend_preconfigured(tls_config(&self.settings, with_roots, own)?)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE);
        self.finish(builder)
    }

    /// Whether `NO_PROXY` names the host of a URL, by the rules of the HTTP library that obeys it.
    pub(crate) fn is_direct(&self, url: &Url) -> bool {
        let matcher = Matcher::builder()
            .all("http://any")
            .no(self.settings.no_proxy.join(","))
            .build();
        http::Uri::try_from(url.as_str()).is_ok_and(|uri| matcher.intercept(&uri).is_none())
    }

    /// What all clients have in common.
    fn finish(&self, builder: reqwest::ClientBuilder) -> Result<Client, HttpError> {
        let mut builder = builder
            .user_agent(concat!("harness-delegate/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(TCP_KEEPALIVE)
            .tcp_nodelay(true);
        builder = match &self.settings.proxy {
            // The configuration is the only source: the variables of curl do not count.
            None => builder.no_proxy(),
            Some(proxy) => builder.proxy(proxy_of(proxy, &self.settings.no_proxy)?),
        };
        builder.build().map_err(|error| HttpError::Tls {
            reason: chain(&error),
        })
    }
}

fn proxy_of(proxy: &Proxy, no_proxy: &[String]) -> Result<reqwest::Proxy, HttpError> {
    let scheme = match proxy.scheme {
        ProxyScheme::Http => "http",
        ProxyScheme::Https => "https",
    };
    let address = format!("{scheme}://{}:{}", proxy.host, proxy.port);
    let made = reqwest::Proxy::all(&address).map_err(|error| HttpError::Proxy {
        reason: chain(&error),
    })?;
    let made = match &proxy.credentials {
        Some(login) => made.basic_auth(&login.user, login.password.expose()),
        None => made,
    };
    Ok(made.no_proxy(NoProxy::from_string(&no_proxy.join(","))))
}

fn tls_config(
    settings: &HttpSettings,
    with_roots: bool,
    own: OwnCertificates,
) -> Result<ClientConfig, HttpError> {
    let tls = |error: rustls::Error| HttpError::Tls {
        reason: error.to_string(),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let builder = if with_roots && settings.trust_all_certificates {
        warn!(
            "TRUST_ALL_CERTIFICATES is set: anyone on the way can pose as the manager; put the right CA into the \
             certificate folder instead"
        );
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        let mut roots = if with_roots {
            roots(settings.ca_bundle_dir.as_deref())
        } else {
            RootCertStore::empty()
        };
        roots.add_parsable_certificates(own.authorities);
        builder.with_root_certificates(roots)
    };
    if let Some((chain, key)) = own.pair {
        return builder.with_client_auth_cert(chain, key).map_err(tls);
    }
    match settings.client_certificate.as_ref().filter(|_| with_roots) {
        None => Ok(builder.with_no_client_auth()),
        Some(pair) => {
            let (chain, key) = read_pair(pair)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| HttpError::ClientCertificate {
                    variable: "DELEGATE_CLIENT_CERTIFICATE_PATH",
                    path: pair.certificate.clone(),
                    reason: error.to_string(),
                })
        }
    }
}

pub(crate) fn read_pair(
    pair: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), HttpError> {
    let certificate = |reason: String| HttpError::ClientCertificate {
        variable: "DELEGATE_CLIENT_CERTIFICATE_PATH",
        path: pair.certificate.clone(),
        reason,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&pair.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(certificate("it has no PEM certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| HttpError::ClientCertificate {
        variable: "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
        path: pair.key.clone(),
        reason: error.to_string(),
    })?;
    Ok((chain, key))
}

/// Takes any certificate, but still wants the handshake signed by it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An address without what may be secret in it: a query, and a login, which is the operator's own doing and still not ours to
/// print.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Fails for addresses that cannot have one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// An error and its sources, once each: libraries of this stack differ in whether they repeat theirs.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = source.source();
    }
    text
}
