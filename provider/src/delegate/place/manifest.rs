//! Plain objects of a cluster, as the resource sees them.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::cluster::{Reached, address, summary};
use super::{Failure, Seen, tag_of, waited};
use crate::data::ProviderData;
use crate::delegate::spec::WaitFor;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::{Connection, Target};
use crate::install::manifest::{self, ManifestError, ManifestSpec};

/// A namespace of a cluster that has answered.
pub(crate) struct ManifestPlace<'a> {
    spec: &'a ManifestSpec,
    pub(super) reached: Reached,
}

impl<'a> ManifestPlace<'a> {
    pub(super) async fn reach(
        spec: &'a ManifestSpec,
        target: &Target,
        provider: &ProviderData,
    ) -> Result<Self, Diagnostics> {
        let reached = Reached::at(target, provider).await?;
        Ok(Self { spec, reached })
    }

    pub(super) fn import_id(&self) -> String {
        let delegate = &self.spec.delegate;
        format!(
            "manifest/{}/{}/{}",
            self.cluster().context(),
            delegate.namespace,
            delegate.config.name
        )
    }

    /// The cluster, for whoever looks further.
    pub(in crate::delegate) fn cluster(&self) -> &Connection {
        &self.reached.cluster
    }

    pub(super) async fn observe(&self) -> Result<Option<Seen>, Diagnostics> {
        let seen = manifest::observe(self.cluster(), self.spec)
            .await
            .map_err(|error| told(&error))?;
        Ok(seen.map(|seen| Seen {
            connected: seen.workload.connected(),
            ready_replicas: seen.workload.ready_replicas,
            rolled_out: seen.workload.is_ready(),
            version: seen.workload.image.as_deref().and_then(tag_of).map(str::to_owned),
            drift: seen.drift,
            secret_revision: seen.secret_revision,
            unclaimed: seen.unclaimed,
            image_digest: None,
        }))
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        addresses(&self.reached.target_id, self.spec)
    }

    /// Writes down that a Terraform state has the delegate; when that fails, the next look at it tries again.
    pub(super) fn claim(&self) -> BoxFuture<'static, ()> {
        let (cluster, spec) = (self.cluster().clone(), self.spec.clone());
        async move {
            if let Err(error) = manifest::complete(&cluster, &spec).await {
                tracing::debug!(%error, "cannot write down that a state has the delegate");
            }
        }
        .boxed()
    }

    pub(super) async fn install(&self, create: bool, stop: &CancellationToken) -> Result<(), Failure> {
        let ready = manifest::prepare(self.cluster(), self.spec, create, stop)
            .await
            .map_err(|error| Failure::Before(told(&error)))?;
        // What was sent may have been done all the same: every step can be repeated, and the next apply goes on from there.
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Failure::Midway(super::interrupted("installation"))),
            done = manifest::install(self.cluster(), self.spec, ready, stop) => {
                done.map_err(|error| Failure::Midway(told(&error)))
            }
        }
    }

    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        manifest::wait(self.cluster(), self.spec, wait.until, wait.limit, stop)
            .await
            .map_err(|error| waited(&error, told))
    }

    pub(super) async fn remove(&self, stop: &CancellationToken) -> Result<(), Diagnostics> {
        manifest::remove(self.cluster(), self.spec, stop)
            .await
            .map_err(|error| told(&error))
    }
}

/// Where the delegate is.
pub(super) fn addresses(cluster: &str, spec: &ManifestSpec) -> Vec<String> {
    vec![address(cluster, &spec.delegate)]
}

/// An error at the attribute that can mend it.
pub(in crate::delegate) fn told(error: &ManifestError) -> Diagnostics {
    let (title, path) = match error {
        ManifestError::NoNamespace(_) => ("No such namespace", "manifest.namespace"),
        ManifestError::Foreign { .. } => ("The delegate exists already", "name"),
        ManifestError::Conflict { .. } => ("Somebody else sets the same fields", "manifest"),
        ManifestError::Cluster(error) => (summary(error), "kubernetes"),
    };
    Diagnostic::from_error(title, error, "").at(path).into()
}
