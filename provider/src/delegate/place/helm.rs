//! A Helm release, as the resource sees it.

use tokio_util::sync::CancellationToken;

use super::{Failure, Seen};
use crate::data::ProviderData;
use crate::delegate::spec::WaitFor;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::{ClusterError, Connection, Target};
use crate::install::helm::{self, Helm, HelmError, HelmSpec, Observed, WaitError};
use delegate_core::config::DEFAULT_HTTP_PORT;

/// A namespace of a cluster that has answered.
pub(crate) struct HelmPlace<'a> {
    spec: &'a HelmSpec,
    provider: &'a ProviderData,
    cluster: Connection,
    pub(super) target_id: String,
}

impl<'a> HelmPlace<'a> {
    pub(super) async fn reach(
        spec: &'a HelmSpec,
        target: &Target,
        provider: &'a ProviderData,
    ) -> Result<Self, Diagnostics> {
        let cluster = provider
            .connections
            .to(target)
            .await
            .map_err(|error| told(&error.into()))?;
        let target_id = cluster.id().await.map_err(|error| told(&error.into()))?;
        Ok(Self {
            spec,
            provider,
            cluster,
            target_id,
        })
    }

    pub(super) fn import_id(&self) -> String {
        format!(
            "helm/{}/{}/{}",
            self.cluster.context(),
            self.spec.namespace,
            self.spec.release
        )
    }

    pub(super) fn whereabouts(&self) -> String {
        format!(
            " (context {:?}, {})",
            self.cluster.context(),
            self.cluster.server()
        )
    }

    /// The cluster, for whoever looks further.
    pub(in crate::delegate) fn cluster(&self) -> &Connection {
        &self.cluster
    }

    pub(super) async fn observe(&self) -> Result<Option<Seen>, Diagnostics> {
        let seen = helm::observe(&self.cluster, self.spec, self.port())
            .await
            .map_err(|error| told(&error))?;
        Ok(seen.map(|seen| Seen {
            connected: seen.connected(),
            ready_replicas: seen.ready_replicas,
            rolled_out: seen.is_ready(),
            version: version(&seen),
            drift: seen.drift,
            secret_revision: seen.secret_revision,
        }))
    }

    pub(super) async fn install(&self, create: bool, stop: &CancellationToken) -> Result<(), Failure> {
        let before = |error: HelmError| Failure::Before(told(&error));
        let helm = self.helm(stop).await.map_err(before)?;
        let ready = helm::prepare(&self.cluster, &helm, self.spec, create, stop)
            .await
            .map_err(before)?;
        helm::install(&self.cluster, &helm, self.spec, ready, stop)
            .await
            .map_err(|error| Failure::Midway(told(&error)))
    }

    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let (port, until, limit) = (self.port(), wait.until, wait.limit);
        let end = helm::wait(&self.cluster, self.spec, port, until, limit, stop).await;
        // However it ended, Terraform is given a state now.
        if let Err(error) = helm::complete(&self.cluster, self.spec).await {
            tracing::warn!(%error, "cannot write down that the apply has ended");
        }
        match end {
            Ok(_) => Ok(()),
            Err(WaitError::Helm(error)) => Err(told(&error)),
            Err(WaitError::Stopped) => Err(Diagnostics::error("Interrupted", WaitError::Stopped.to_string())),
            Err(WaitError::TimedOut(text)) => Err(Diagnostic::error(
                "The delegate did not become what was asked for",
                text,
            )
            .at("wait")
            .into()),
        }
    }

    pub(super) async fn remove(&self, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let helm = self.helm(stop).await.map_err(|error| told(&error))?;
        helm::uninstall(&self.cluster, &helm, self.spec, stop)
            .await
            .map_err(|error| told(&error))
    }

    async fn helm(&self, stop: &CancellationToken) -> Result<Helm, HelmError> {
        Helm::find(self.provider.helm_binary.as_deref(), stop).await
    }

    /// Port of health and metrics in the pods.
    fn port(&self) -> u16 {
        let given = self
            .spec
            .env
            .get("DELEGATE_HTTP_PORT")
            .and_then(|port| port.parse().ok());
        given.unwrap_or(DEFAULT_HTTP_PORT)
    }
}

/// Checks the program, the values and the chart; the cluster is not asked.
pub(super) async fn check(
    spec: &HelmSpec,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<(), Diagnostics> {
    let checked = async {
        let helm = Helm::find(provider.helm_binary.as_deref(), stop).await?;
        helm::check(&helm, spec, stop).await
    };
    checked.await.map_err(|error| told(&error))
}

/// The version of what runs: the tag of its image, else what the chart says.
pub(in crate::delegate) fn version(seen: &Observed) -> Option<String> {
    let tag = seen
        .image
        .as_deref()
        .and_then(|image| image.rsplit('/').next())
        .and_then(|name| name.split_once(':'));
    let app = seen
        .record
        .as_ref()
        .map(|record| &record.chart.metadata.app_version);
    tag.map(|(_, tag)| tag)
        .or(app.map(String::as_str).filter(|app| !app.is_empty()))
        .map(str::to_owned)
}

/// An error at the attribute that can mend it.
pub(in crate::delegate) fn told(error: &HelmError) -> Diagnostics {
    let (summary, path) = match error {
        HelmError::Missing { .. } | HelmError::TooOld { .. } => ("Helm cannot be used", "helm"),
        HelmError::Values(_) => ("The values of the chart cannot be used", "helm.values"),
        HelmError::Failed { .. } => ("Helm failed", "helm"),
        HelmError::Stopped { .. } => ("Interrupted", "helm"),
        HelmError::Folder(_) => ("Helm cannot be run", "helm"),
        HelmError::NoNamespace(_) => ("No such namespace", "helm.namespace"),
        HelmError::Foreign { .. } => ("The release exists already", "helm.release"),
        HelmError::Busy { .. } => ("The release is being changed", "helm.release"),
        HelmError::Cluster(ClusterError::Target(_)) => ("The cluster cannot be used", "kubernetes"),
        HelmError::Cluster(ClusterError::Unreachable { .. }) => {
            ("The cluster cannot be reached", "kubernetes")
        }
        HelmError::Cluster(ClusterError::Refused { .. }) => ("The cluster refused", "kubernetes"),
    };
    Diagnostic::from_error(summary, error, "").at(path).into()
}
