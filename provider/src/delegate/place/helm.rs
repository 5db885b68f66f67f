//! A Helm release, as the resource sees it.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::cluster::{Reached, address, summary};
use super::{Failure, Seen, tag_of, waited};
use crate::data::ProviderData;
use crate::delegate::spec::WaitFor;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::{Connection, Target};
use crate::install::helm::{self, HelmError, HelmSpec, Observed};

/// A namespace of a cluster that has answered.
pub(crate) struct HelmPlace<'a> {
    spec: &'a HelmSpec,
    provider: &'a ProviderData,
    pub(super) reached: Reached,
}

impl<'a> HelmPlace<'a> {
    pub(super) async fn reach(
        spec: &'a HelmSpec,
        target: &Target,
        provider: &'a ProviderData,
    ) -> Result<Self, Diagnostics> {
        let reached = Reached::at(target, provider).await?;
        Ok(Self {
            spec,
            provider,
            reached,
        })
    }

    pub(super) fn import_id(&self) -> String {
        format!(
            "helm/{}/{}/{}",
            self.cluster().context(),
            self.spec.delegate.namespace,
            self.spec.release
        )
    }

    pub(super) fn spec(&self) -> &HelmSpec {
        self.spec
    }

    /// The cluster, for whoever looks further.
    pub(in crate::delegate) fn cluster(&self) -> &Connection {
        &self.reached.cluster
    }

    pub(super) async fn observe(&self) -> Result<Option<Seen>, Diagnostics> {
        let seen = helm::observe(self.cluster(), self.spec)
            .await
            .map_err(|error| told(&error))?;
        Ok(seen.map(|seen| Seen {
            connected: seen.workload.connected(),
            ready_replicas: seen.workload.ready_replicas,
            rolled_out: seen.workload.is_ready(),
            version: version(&seen),
            drift: seen.drift,
            secret_revision: seen.secret_revision,
            unclaimed: seen.unclaimed,
            image_digest: None,
        }))
    }

    pub(super) async fn install(
        &self,
        create: bool,
        stop: &CancellationToken,
    ) -> Result<Diagnostics, Failure> {
        let before = |error: HelmError| Failure::Before(told(&error));
        let helm = self.provider.helm(stop).await.map_err(before)?;
        let ready = helm::prepare(self.cluster(), helm, self.spec, create, stop)
            .await
            .map_err(before)?;
        let mut said = Diagnostics::new();
        if ready.leaves_token_in_record() {
            let release = &self.spec.release;
            let text = format!(
                "The release {release} was taken over as it is, so that nothing is restarted. Helm's records of it hold the token, \
                 as they did before. Raise token_wo_version, best with another token: that takes it out of the release and \
                 replaces the pods."
            );
            said.push(Diagnostic::warning("The token is still in the Helm release", text).at("helm"));
        }
        helm::install(self.cluster(), helm, self.spec, ready, stop)
            .await
            .map_err(|error| Failure::Midway(told(&error)))?;
        Ok(said)
    }

    /// Writes down that a Terraform state has the release; when that fails, the next look at it tries again.
    pub(super) fn claim(&self) -> BoxFuture<'static, ()> {
        let (cluster, spec) = (self.cluster().clone(), self.spec.clone());
        async move {
            if let Err(error) = helm::complete(&cluster, &spec).await {
                tracing::debug!(%error, "cannot write down that a state has the release");
            }
        }
        .boxed()
    }

    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        helm::wait(self.cluster(), self.spec, wait.until, wait.limit, stop)
            .await
            .map_err(|error| waited(&error, told))
    }

    pub(super) async fn remove(&self, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let helm = self.provider.helm(stop).await.map_err(|error| told(&error))?;
        helm::uninstall(self.cluster(), helm, self.spec, stop)
            .await
            .map_err(|error| told(&error))
    }
}

/// Checks the program, the values and the chart; the cluster is not asked.
pub(super) async fn check(
    spec: &HelmSpec,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<(), Diagnostics> {
    let checked = async {
        let helm = provider.helm(stop).await?;
        helm::check(helm, spec, stop).await
    };
    checked.await.map_err(|error| told(&error))
}

/// What the owner's values set over arguments that somebody has set too.
pub(super) fn remarks(spec: &HelmSpec) -> Diagnostics {
    let lines = helm::overridden(spec).unwrap_or_default();
    let told = |line: String| {
        let text = format!("{line}: the values win. Say it in one place only.");
        Diagnostic::warning("An argument is overridden", text).at("helm.values")
    };
    lines.into_iter().map(told).collect()
}

/// Where a release is: its name, and that of its delegate, are each there once.
pub(super) fn addresses(cluster: &str, spec: &HelmSpec) -> Vec<String> {
    let release = format!("{cluster} {} release {}", spec.delegate.namespace, spec.release);
    vec![release, address(cluster, &spec.delegate)]
}

/// The version of what runs: the tag of its image, else what the chart says.
pub(in crate::delegate) fn version(seen: &Observed) -> Option<String> {
    let tag = seen.workload.image.as_deref().and_then(tag_of);
    let app = seen
        .record
        .as_ref()
        .map(|record| &record.chart.metadata.app_version);
    tag.or(app.map(String::as_str).filter(|app| !app.is_empty()))
        .map(str::to_owned)
}

/// An error at the attribute that can mend it.
pub(in crate::delegate) fn told(error: &HelmError) -> Diagnostics {
    let (summary, path) = match error {
        HelmError::Missing { .. } | HelmError::TooOld { .. } => ("Helm cannot be used", "helm"),
        HelmError::Values(_) => ("The values of the chart cannot be used", "helm.values"),
        HelmError::Failed { .. } => ("Helm failed", "helm"),
        HelmError::Chart { .. } => ("The chart cannot be had", "helm.chart"),
        HelmError::Lacks { .. } => ("Helm is too old for this", "helm"),
        HelmError::Stopped { .. } => ("Interrupted", "helm"),
        HelmError::Folder(_) => ("Helm cannot be run", "helm"),
        HelmError::NoNamespace(_) => ("No such namespace", "helm.namespace"),
        HelmError::Foreign { .. } => ("The release exists already", "helm.release"),
        HelmError::Busy { .. } => ("The release is being changed", "helm.release"),
        HelmError::Cluster(error) => (summary(error), "kubernetes"),
    };
    Diagnostic::from_error(summary, error, "").at(path).into()
}
