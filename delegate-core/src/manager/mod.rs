//! The self-hosted manager: takes tasks, hands them to delegates, keeps their results and logs.
//!
//! ```text
//!   http  ──►  engine  ──►  queue      what may happen, decided without a clock and without I/O
//!                │   └───►  log_state  the same for logs
//!                └──────►   store      what survives a kill; one writer commits in the order of the decisions
//! ```
//!
//! [`Manager::start`] opens the database, settles who the manager is and binds its address; [`Manager::run`] serves
//! until it is told to stop. It knows nothing of the agent; both know the protocol. It fails at the start with
//! [`StartError`], which says what to do; afterwards every fault is answered to whoever called, and a database that
//! is gone is waited for.

pub mod engine;
pub mod http;
pub mod identity;
pub mod ids;
pub mod log_state;
pub mod queue;
pub mod store;
pub mod tokens;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use engine::{Engine, Running};
use identity::{IdentityError, Made, Wanted};
use store::{OpenError, Store, StoreError, Target};

use crate::config::AccountId;

/// Time for calls in flight to end after the manager was told to stop.
const STOP_GRACE: Duration = Duration::from_millis(1500);

/// What a manager is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where its state is kept.
    pub target: Target,
    /// Who it shall be.
    pub wanted: Wanted,
}

/// Why a manager does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be who it shall be.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What the database holds cannot be used.
    #[error("cannot read {target}: {source}")]
    Store {
        /// The database.
        target: String,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The address is not to be had.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A manager that is ready to serve.
pub struct Manager {
    engine: Arc<Engine>,
    running: Running,
    store: Store,
    listener: TcpListener,
    address: SocketAddr,
    made: Made,
    stopping: CancellationToken,
}

impl Manager {
    /// Opens the database, settles who the manager is, restores the queue and binds the address.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let address = settings.listen;
        let listen = move |source| StartError::Listen { address, source };
        // First what costs nothing and is most often wrong.
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let target = settings.target.to_string();
        let (store, mut connection) = Store::open(settings.target).await?;
        let established = identity::establish(&store, settings.wanted, engine::now()).await?;
        let unreadable = |source| StartError::Store {
            target: target.clone(),
            source,
        };
        store
            .write_first(&mut connection, &established.changes)
            .await
            .map_err(&unreadable)?;
        let stopping = CancellationToken::new();
        let (engine, running) = Engine::start(
            established.identity,
            established.tokens,
            store.clone(),
            connection,
            stopping.clone(),
        )
        .await
        .map_err(&unreadable)?;
        Ok(Self {
            engine,
            running,
            store,
            listener,
            address,
            made: established.made,
            stopping,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The account it serves.
    pub fn account(&self) -> &AccountId {
        &self.engine.identity.account
    }

    /// What was made on this start: shown once, for the API key is not kept.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Serves until `stop` resolves, then answers waiting calls, lets the others end, and writes what was decided:
    /// within two seconds in all.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let router = http::router(Arc::clone(&self.engine));
        let listener = self.listener.tap_io(|stream| {
            // Small replies and log lines leave at once. A socket that refuses this works all the same.
            let _ = stream.set_nodelay(true);
        });
        let stopping = self.stopping.clone();
        let told = self.stopping.clone();
        let signal = async move {
            tokio::select! {
                () = stop => told.cancel(),
                () = told.cancelled() => {}
            }
        };
        let serving = axum::serve(listener, router.into_make_service()).with_graceful_shutdown(signal);
        let served = tokio::select! {
            served = serving => served,
            () = async {
                stopping.cancelled().await;
                tokio::time::sleep(STOP_GRACE).await;
            } => Ok(()),
        };
        self.stopping.cancel();
        // Bounded as well: a database that is gone would hold the end up for ever, and nobody was promised those.
        let written = tokio::time::timeout(Duration::from_millis(400), self.running.end()).await;
        if written.is_err() {
            tracing::warn!(
                "the database did not take the last changes; those who asked for them were not told they were kept"
            );
        }
        self.store.close().await;
        served
    }
}
