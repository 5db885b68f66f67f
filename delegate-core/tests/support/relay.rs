//! What lies between an agent and its manager: a relay of connections that counts them and cuts them, ends TLS, or is a
//! proxy.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How connections come in.
#[derive(Clone)]
pub(crate) enum Front {
    /// As they go out.
    Plain,
    /// In TLS.
    Tls(TlsAcceptor),
    /// After `CONNECT host:port`, whatever that names.
    Proxy,
}

/// The relay. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Heads of proxy requests.
    heads: Arc<Mutex<Vec<String>>>,
    cut: Arc<Mutex<CancellationToken>>,
    /// Where connections lead; without it they are closed at once.
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl Relay {
    pub(crate) async fn start(target: SocketAddr, front: Front) -> Self {
        Self::start_towards(Some(target), front).await
    }

    /// With nowhere to lead yet, when there is no target.
    pub(crate) async fn start_towards(target: Option<SocketAddr>, front: Front) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heads: Arc::default(),
            cut: Arc::default(),
            target: Arc::new(Mutex::new(target)),
        };
        let relay = this.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                relay.connections.fetch_add(1, Ordering::SeqCst);
                let (relay, front) = (relay.clone(), front.clone());
                let cut = relay.cut.lock().unwrap().clone();
                let Some(target) = *relay.target.lock().unwrap() else {
                    continue;
                };
                tokio::spawn(cut.run_until_cancelled_owned(async move {
                    match front {
                        Front::Plain => pass(client, target).await,
                        Front::Tls(tls) => {
                            if let Ok(client) = tls.accept(client).await {
                                pass(client, target).await;
                            }
                        }
                        Front::Proxy => relay.proxy(client, target).await,
                    }
                }));
            }
        });
        this
    }

    /// Connections taken so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Heads of the requests to the proxy so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Leads new connections elsewhere, or nowhere.
    pub(crate) fn point_to(&self, target: Option<SocketAddr>) {
        *self.target.lock().unwrap() = target;
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.cut.lock().unwrap()).cancel();
    }

    async fn proxy(&self, mut client: TcpStream, target: SocketAddr) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = client.read_u8().await else { return };
            head.push(byte);
        }
        self.heads.lock().unwrap().push(String::from_utf8(head).unwrap());
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        pass(client, target).await;
    }
}

async fn pass(mut client: impl AsyncRead + AsyncWrite + Unpin, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
