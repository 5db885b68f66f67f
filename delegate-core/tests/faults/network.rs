//! A bad network: a TCP proxy of the tests, with faults that are switched on and off while connections are open.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Each piece comes this much later.
    Late(Duration),
    /// So many bytes every ten milliseconds.
    Slow(usize),
    /// After so many bytes of either side the connection is closed, most often in the middle of a message.
    Cut(usize),
    /// The same, by a reset.
    Reset(usize),
    /// What is sent never arrives, and nobody is told.
    BlackHole,
    /// What the manager sends arrives twice.
    Twice,
}

/// How a direction ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

#[derive(Debug)]
struct Shared {
    fault: watch::Sender<Fault>,
    connections: AtomicUsize,
    /// Pieces that a fault has hit.
    hits: watch::Sender<usize>,
    /// Cancelled to close what is open.
    open: Mutex<CancellationToken>,
}

/// The proxy. It ends with its runtime.
#[derive(Clone, Debug)]
pub(crate) struct BadNetwork {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl BadNetwork {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            fault: watch::Sender::new(Fault::Nothing),
            connections: AtomicUsize::new(0),
            hits: watch::Sender::new(0),
            open: Mutex::default(),
        });
        let this = Self {
            address: listener.local_addr().unwrap(),
            shared,
        };
        let shared = Arc::clone(&this.shared);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let open = shared.open.lock().unwrap().clone();
                tokio::spawn(open.run_until_cancelled_owned(Arc::clone(&shared).join(client, target)));
            }
        });
        this
    }

    /// From now on, on open connections too.
    pub(crate) fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// All is well again. What a fault has touched is closed, as a network that comes back does to old connections.
    pub(crate) fn mend(&self) {
        self.set(Fault::Nothing);
        std::mem::take(&mut *self.shared.open.lock().unwrap()).cancel();
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until the next so many pieces were hit.
    pub(crate) async fn hits(&self, more: usize) {
        let mut hits = self.shared.hits.subscribe();
        let wanted = *hits.borrow() + more;
        hits.wait_for(|hits| *hits >= wanted).await.unwrap();
    }
}

impl Shared {
    async fn join(self: Arc<Self>, client: TcpStream, target: SocketAddr) {
        let Ok(server) = TcpStream::connect(target).await else {
            return;
        };
        let ((from_agent, to_agent), (from_manager, to_manager)) = (client.into_split(), server.into_split());
        let (mut up, mut down) = ((from_agent, to_manager), (from_manager, to_agent));
        let end = tokio::select! {
            end = self.pass(&mut up.0, &mut up.1, false) => end,
            end = self.pass(&mut down.0, &mut down.1, true) => end,
        };
        if end == End::Reset {
            for half in [&up.1, &down.1] {
                let _ = half.as_ref().set_zero_linger();
            }
        }
    }

    async fn pass(&self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, of_manager: bool) -> End {
        let mut piece = [0; 16 * 1024];
        let mut passed = 0;
        loop {
            let Ok(length @ 1..) = from.read(&mut piece).await else {
                return End::Closed;
            };
            let bytes = &piece[..length];
            let fault = *self.fault.borrow();
            if fault != Fault::Nothing {
                self.hits.send_modify(|hits| *hits += 1);
            }
            let sent = match fault {
                Fault::Late(by) => {
                    tokio::time::sleep(by).await;
                    to.write_all(bytes).await
                }
                Fault::Slow(size) => {
                    let mut sent = Ok(());
                    for part in bytes.chunks(size) {
                        sent = sent.and(to.write_all(part).await);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    sent
                }
                Fault::Cut(after) | Fault::Reset(after) => {
                    let rest = bytes.len().min(after - passed);
                    passed += rest;
                    let sent = to.write_all(&bytes[..rest]).await;
                    if passed == after {
                        return if matches!(fault, Fault::Cut(_)) {
                            End::Closed
                        } else {
                            End::Reset
                        };
                    }
                    sent
                }
                Fault::BlackHole => Ok(()),
                Fault::Twice if of_manager => to.write_all(&bytes.repeat(2)).await,
                Fault::Nothing | Fault::Twice => to.write_all(bytes).await,
            };
            if sent.is_err() {
                return End::Closed;
            }
        }
    }
}
