//! The gRPC server: a listener, the services, and an orderly end.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::time;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport;

use super::{
    ServeError, StopSignal, connection,
    dispatch::Services,
    handshake,
    host::HostEnv,
    lifetime::Ending,
    listener::{Bound, Directory},
    proto::tfplugin6::provider_server::Provider,
    services::Controller,
    tls::Endpoint,
};

/// Time for connections to close, and for what was left for the end, after the host asked for it. It has its answers by
/// then, and kills us after two seconds.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(1500);
/// Time for stopped work to leave things tidy when nobody waits for its answer any more: enough to end a child
/// process and remove a temporary file.
const ABANDONED_GRACE: Duration = Duration::from_secs(5);

/// Who owns this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The one host that started the process, and may end it.
    Host,
    /// Nobody: hosts attach and leave.
    Nobody,
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub(super) struct Server {
    bound: Arc<Bound>,
    directory: Directory,
    tls: Option<Endpoint>,
}

impl Server {
    /// Listens as the host wants it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`] when there is no place to listen or the host's certificate is unusable.
    pub(super) fn bind(env: &HostEnv) -> Result<Self, ServeError> {
        let tls = env.client_certificate.as_deref().map(Endpoint::new).transpose()?;
        let (bound, directory) = Bound::new(env)?;
        Ok(Self {
            bound: Arc::new(bound),
            directory,
            tls,
        })
    }

    /// Where it listens.
    pub(super) fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The line for the host.
    pub(super) fn handshake_line(&self, env: &HostEnv) -> String {
        let certificate = self.tls.as_ref().map(|tls| tls.certificate.as_ref());
        handshake::line(self.bound.network(), self.bound.address(), certificate, env)
    }

    /// Serves until the host asks for the end or `ending` comes, then ends within a bounded time.
    ///
    /// `stop` fires when the server ends, so that calls still running wind down.
    ///
    /// # Errors
    /// The transport failed; a single connection or call that fails is not an error.
    pub(super) async fn run<P: Provider>(
        self,
        provider: P,
        ownership: Ownership,
        stop: &StopSignal,
        ending: impl Future<Output = Ending>,
    ) -> Result<(), ServeError> {
        // The directory stays to the end of this function, and not one step longer.
        let Self {
            bound,
            directory: _directory,
            tls,
        } = self;
        let ended = CancellationToken::new();
        let calls = TaskTracker::new();
        let controller = match ownership {
            Ownership::Host => Controller::Ends(ended.clone()),
            Ownership::Nobody => Controller::Stays,
        };
        let services = Services::new(provider, controller, ended.clone(), calls.clone());
        let tls = tls.map(|tls| TlsAcceptor::from(tls.config));
        let incoming = connection::incoming(bound, tls);
        let mut serving = pin!(transport::Server::builder().serve_with_incoming_shutdown(
            services,
            incoming,
            ended.clone().cancelled_owned(),
        ));

        let (grace, in_order) = tokio::select! {
            result = &mut serving => return result.map_err(ServeError::Transport),
            () = ended.cancelled() => (SHUTDOWN_GRACE, true),
            ending = ending => {
                tracing::info!(?ending, "the provider ends");
                (ABANDONED_GRACE, false)
            }
        };
        let at_end = async {
            if in_order {
                stop.at_end().work().await;
            }
        };
        stop.stop();
        ended.cancel();
        calls.close();
        let tidy = async { tokio::join!(serving, calls.wait(), at_end).0 };
        let Ok(result) = time::timeout(grace, tidy).await else {
            tracing::warn!(
                calls = calls.len(),
                "calls were still running when the provider ended"
            );
            return Ok(());
        };
        result.map_err(ServeError::Transport)
    }
}
