//! A Kubernetes cluster as an installer sees it: connect, apply an object, look at pods.
//!
//! A [`Connection`] is made when it is first needed, never earlier, and shared by everything that names the same target.
//! Every call is bounded in time; every error names the server and what was asked of it.

mod objects;
mod pods;
mod reads;
mod target;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
pub use objects::{Apply, FIELD_MANAGER, Freshness, kind_of, name_of, title};
pub use pods::{PodReport, events_of, pods_of, report_on, troubles_of};
pub use reads::Listed;
use reads::Reads;
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
    /// Somebody else has set fields that were to be set.
    #[error("the Kubernetes API server {server} refused to {action}: {}", .fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Conflict {
        /// Address that was asked.
        server: String,
        /// What was asked.
        action: String,
        /// Which fields, and whose they are.
        fields: Vec<Owned>,
    },
    /// It was asked to stop.
    #[error("interrupted during {0}")]
    Stopped(String),
}

/// A field that somebody else has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Path of the field.
    pub field: String,
    /// Field manager that set it.
    pub owner: String,
    /// Whether the owner applies it again and again, as opposed to having changed it once.
    pub applied: bool,
}

impl std::fmt::Display for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is set by {:?}", self.field, self.owner)
    }
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
    reads: Arc<Reads>,
    /// Namespaces that were there when we last looked, or were made by us.
    standing: Arc<Mutex<HashSet<String>>>,
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
        let kubeconfig = Arc::new(kubeconfig);
        Ok(Self {
            client,
            server: server.trim_end_matches('/').to_owned(),
            context,
            kubeconfig,
            id: Arc::default(),
            reads: Arc::default(),
            standing: Arc::default(),
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

    /// Forgets what was read of a namespace that is gone.
    pub(super) fn forget_namespace(&self, name: &str) {
        self.reads.forget(name);
    }

    /// Namespaces that need not be asked for again; held while one of them is made or removed.
    pub(super) async fn standing_namespaces(&self) -> tokio::sync::MutexGuard<'_, HashSet<String>> {
        self.standing.lock().await
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
            Ok(Err(kube::Error::Api(status))) if !conflicts(&status).is_empty() => {
                Err(ClusterError::Conflict {
                    server: self.server.clone(),
                    action: action.to_owned(),
                    fields: conflicts(&status),
                })
            }
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

/// The fields of a refused server-side apply that others have set.
fn conflicts(status: &kube::core::Status) -> Vec<Owned> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| {
            // `conflict with "NAME"`, and ` using VERSION …` when it was an update; a text is all there is.
            let mut parts = cause.message.splitn(3, '"').skip(1);
            let owner = parts.next().unwrap_or("somebody").to_owned();
            let applied = !parts.next().unwrap_or_default().contains(" using ");
            let field = cause.field.trim_start_matches('.').to_owned();
            Owned {
                field,
                owner,
                applied,
            }
        })
        .collect()
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
