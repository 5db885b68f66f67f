//! A Kubernetes cluster as an installer sees it: connect, apply an object, look at pods.
//!
//! A [`Connection`] is made when it is first needed, never earlier, and shared by everything that names the same target.
//! Every call is bounded in time; every error names the server and what was asked of it.

mod objects;
mod pods;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
pub use objects::{FIELD_MANAGER, title};
pub use pods::{PodReport, events_of, pods_of, troubles_of};
pub use target::{Exec, Target, chain, expand_home};
use tokio::sync::Mutex;

/// Longest wait for a connection; an API server on the other side of the world answers within.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest wait for an answer to any one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// What went wrong with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The target is not usable; nothing was contacted.
    #[error("{0}")]
    Target(String),
    /// The API server did not answer.
    #[error(
        "cannot reach the Kubernetes API server {server}: {reason}; check the address, the network and kubernetes.config_context"
    )]
    Unreachable {
        /// Address that was tried.
        server: String,
        /// What came back.
        reason: String,
    },
    /// The API server said no.
    #[error("the Kubernetes API server {server} refused to {action}: {message}")]
    Refused {
        /// Address that was asked.
        server: String,
        /// What was asked.
        action: String,
        /// What it said.
        message: String,
        /// HTTP status.
        code: u16,
    },
}

impl ClusterError {
    /// Whether the API server answered that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

/// A connected cluster.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    server: String,
    context: String,
    kubeconfig: Arc<Kubeconfig>,
    id: Arc<tokio::sync::OnceCell<String>>,
}

impl Connection {
    async fn open(kubeconfig: Kubeconfig) -> Result<Self, ClusterError> {
        let context = kubeconfig.current_context.clone().unwrap_or_default();
        let options = KubeConfigOptions {
            context: Some(context.clone()),
            ..KubeConfigOptions::default()
        };
        let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
            .await
            .map_err(|error| {
                ClusterError::Target(format!("the kubeconfig cannot be used: {}", chain(&error)))
            })?;
        config.connect_timeout = Some(CONNECT_LIMIT);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| {
            ClusterError::Target(format!("the kubeconfig cannot be used: {}", chain(&error)))
        })?;
        let (kubeconfig, id) = (Arc::new(kubeconfig), Arc::default());
        Ok(Self {
            client,
            server: server.trim_end_matches('/').to_owned(),
            context,
            kubeconfig,
            id,
        })
    }

    /// Name of the context in use.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Address of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The kubeconfig in use, as text with credentials, for a program we run.
    ///
    /// # Errors
    /// When it cannot be written as YAML.
    pub fn kubeconfig_text(&self) -> Result<delegate_core::Secret, ClusterError> {
        serde_saphyr::to_string(&*self.kubeconfig)
            .map(delegate_core::Secret::new)
            .map_err(|error| ClusterError::Target(format!("cannot write a kubeconfig: {error}")))
    }

    /// Identity of the cluster: the uid of its `kube-system` namespace. Asked once.
    ///
    /// # Errors
    /// When the cluster cannot be reached or hides that namespace.
    pub async fn id(&self) -> Result<String, ClusterError> {
        let ask = async || {
            let namespaces: Api<Namespace> = Api::all(self.client.clone());
            let found = self
                .bounded("get the namespace kube-system", namespaces.get("kube-system"))
                .await?;
            Ok(found.metadata.uid.unwrap_or_default())
        };
        self.id.get_or_try_init(ask).await.cloned()
    }

    /// Runs one request within its time and gives its error the server and the action.
    async fn bounded<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        tracing::debug!(action, "asking the API server");
        match tokio::time::timeout(REQUEST_LIMIT, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(ClusterError::Refused {
                server: self.server.clone(),
                action: action.to_owned(),
                message: status.message.clone(),
                code: status.code,
            }),
            Ok(Err(error)) => Err(ClusterError::Unreachable {
                server: self.server.clone(),
                reason: chain(&error),
            }),
            Err(_) => Err(ClusterError::Unreachable {
                server: self.server.clone(),
                reason: format!("no answer within {} s to: {action}", REQUEST_LIMIT.as_secs()),
            }),
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.server)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// The connections of one provider process, by target.
#[derive(Default)]
pub struct Connections {
    open: Mutex<HashMap<String, Connection>>,
}

impl Connections {
    /// The connection to a target, opened the first time.
    ///
    /// # Errors
    /// When the target is not usable. Nothing is sent yet, so an unreachable server shows only at the first request.
    pub async fn to(&self, target: &Target) -> Result<Connection, ClusterError> {
        let kubeconfig = target.kubeconfig()?;
        let key = serde_saphyr::to_string(&kubeconfig)
            .map_err(|error| ClusterError::Target(format!("cannot write a kubeconfig: {error}")))?;
        let mut open = self.open.lock().await;
        if let Some(connection) = open.get(&key) {
            return Ok(connection.clone());
        }
        let connection = Connection::open(kubeconfig).await?;
        open.insert(key, connection.clone());
        Ok(connection)
    }
}
