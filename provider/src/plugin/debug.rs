//! Serving that Terraform attaches to instead of starting: for a debugger, and for tests.
//!
//! No cookie, no TLS, and no host that owns the process: the socket is protected by its directory, and runs of
//! Terraform come and go. Terraform finds the server through the variable `TF_REATTACH_PROVIDERS`, whose value
//! [`reattach`] composes.

use std::{io, process};

use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    HostEnv, ServeError, StopSignal,
    handshake::PROVIDER_PROTOCOL,
    lifetime::Ending,
    proto::tfplugin6::provider_server::Provider,
    server::{Ownership, Server},
};

/// The variable Terraform reads.
pub const REATTACH_VARIABLE: &str = "TF_REATTACH_PROVIDERS";

/// The value of [`REATTACH_VARIABLE`] for one provider: a JSON object on one line.
///
/// `source` is the full source address, `registry.terraform.io/namespace/name`. `Test` tells the host to leave the
/// process alone when it is done.
pub(super) fn reattach(source: &str, server: &Server) -> String {
    json!({
        source: {
            "Protocol": "grpc",
            "ProtocolVersion": PROVIDER_PROTOCOL,
            "Pid": process::id(),
            "Test": true,
            "Addr": { "Network": server.bound().network(), "String": server.bound().address() },
        }
    })
    .to_string()
}

/// A provider served from within this process, for tests that run the real Terraform against it.
///
/// It takes no signals and installs no hooks. Dropping it ends the server.
#[derive(Debug)]
pub struct Attachable {
    reattach: String,
    end: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Attachable {
    /// Starts serving `provider` as `source`, a full source address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`] when there is no place for the socket.
    pub fn start<P: Provider>(provider: P, source: &str, stop: StopSignal) -> Result<Self, ServeError> {
        let server = Server::bind(&HostEnv::default())?;
        let reattach = reattach(source, &server);
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let ending = async {
                // A dropped sender says the same as a used one.
                let _ = ended.await;
                Ending::Released
            };
            server.run(provider, Ownership::Nobody, &stop, ending).await
        });
        Ok(Self {
            reattach,
            end,
            serving,
        })
    }

    /// The value for [`REATTACH_VARIABLE`].
    pub fn reattach(&self) -> &str {
        &self.reattach
    }

    /// Ends the server and waits until its socket is gone.
    ///
    /// # Errors
    /// [`ServeError`] with which serving ended.
    pub async fn end(self) -> Result<(), ServeError> {
        let _ = self.end.send(());
        match self.serving.await {
            Ok(result) => result,
            Err(error) => Err(ServeError::Runtime(io::Error::other(error))),
        }
    }
}
