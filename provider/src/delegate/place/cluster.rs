//! A cluster that has answered.

use delegate_core::install::kubernetes::KubernetesSpec;

use crate::data::ProviderData;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::{ClusterError, Connection, Target};

/// A cluster, and its identity.
pub(crate) struct Reached {
    pub(super) cluster: Connection,
    pub(super) target_id: String,
}

impl Reached {
    pub(super) async fn at(target: &Target, provider: &ProviderData) -> Result<Self, Diagnostics> {
        let reached = async {
            let cluster = provider.connections.to(target).await?;
            let target_id = cluster.id().await?;
            Ok(Self { cluster, target_id })
        };
        reached
            .await
            .map_err(|error: ClusterError| told(&error, summary(&error)))
    }

    /// The cluster in words, for an error.
    pub(super) fn whereabouts(&self) -> String {
        format!(
            " (context {:?}, {})",
            self.cluster.context(),
            self.cluster.server()
        )
    }
}

/// Where a delegate is in a cluster: there is one of a name in a namespace, whichever way it came.
pub(super) fn address(cluster: &str, delegate: &KubernetesSpec) -> String {
    format!(
        "{cluster} {} delegate {}",
        delegate.namespace, delegate.config.name
    )
}

/// What a cluster's error is called.
pub(super) fn summary(error: &ClusterError) -> &'static str {
    match error {
        ClusterError::Target(_) => "The cluster cannot be used",
        ClusterError::Unreachable { .. } => "The cluster cannot be reached",
        ClusterError::Refused { .. } | ClusterError::Conflict { .. } => "The cluster refused",
        ClusterError::Stopped(_) => "Interrupted",
    }
}

fn told(error: &ClusterError, summary: &str) -> Diagnostics {
    Diagnostic::from_error(summary, error, "").at("kubernetes").into()
}
