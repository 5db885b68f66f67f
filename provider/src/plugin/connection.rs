//! From a connection to a stream the gRPC server reads: accepting, and TLS.
//!
//! One task accepts; each TLS handshake runs in a task of its own under a deadline, so that a peer that connects
//! and says nothing holds up nobody. What fails is logged and forgotten: a refused peer is not our problem.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Semaphore, mpsc},
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::listener::{Bound, Duplex, Raw};

/// How long a peer may take for its TLS handshake. It takes milliseconds; the host itself gives up after a minute.
const TLS_DEADLINE: Duration = Duration::from_secs(10);
/// Handshakes at once. A host opens one connection; more than a few is somebody else.
const MAX_HANDSHAKES: usize = 16;
/// Connections that wait for the server to take them.
const BACKLOG: usize = 4;
/// Pause after a failed accept, so that running out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Starts accepting on `bound`, and gives the connections that are ready to be served.
///
/// Accepting ends when the returned stream is dropped. Must be called within a tokio runtime.
pub(super) fn incoming(
    bound: Arc<Bound>,
    tls: Option<TlsAcceptor>,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        tokio::select! {
            () = accept(&bound, tls, &ready) => {}
            () = ready.closed() => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept(bound: &Bound, tls: Option<TlsAcceptor>, ready: &mpsc::Sender<io::Result<Connection>>) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else {
            return;
        };
        let stream = match bound.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            let connection = match tls {
                None => Ok(Connection(stream)),
                Some(tls) => secure(stream, &tls).await,
            };
            drop(permit);
            match connection {
                // The other end is gone only when the server is ending.
                Ok(connection) => drop(ready.send(Ok(connection)).await),
                Err(error) => tracing::warn!(%error, "a connection was refused"),
            }
        });
    }
}

async fn secure(stream: Raw, tls: &TlsAcceptor) -> io::Result<Connection> {
    let stream = time::timeout(TLS_DEADLINE, tls.accept(stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within the deadline"))??;
    Ok(Connection(Box::pin(stream)))
}

/// What the gRPC server reads and writes, with TLS or without.
pub(super) struct Connection(Pin<Box<dyn Duplex>>);

impl Connected for Connection {
    /// There is one peer, and it is known.
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().0.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
