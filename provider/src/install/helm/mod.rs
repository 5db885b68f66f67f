//! A delegate as a Helm release.
//!
//! The chart is ours, embedded, or any other with the official value names. Helm itself is run as a program, because
//! that is what the release's owner will run next; but looking needs no Helm: the record of a release and its objects
//! are read through the API server. The token lives in a Secret of ours, which the release only names.
//!
//! May touch: the namespace (made when asked for, removed only when we made it and nothing is left in it), the Secret,
//! and what the chart renders. Every step can be repeated, also after a crash in the middle of Helm's own work.

mod manifest;
mod program;
mod recovery;
mod release;
mod secret;
mod values;
mod wait;

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::digest;
use delegate_core::config::DelegateConfig;
use futures_util::future::try_join_all;
pub use program::Helm;
pub use release::Record;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
pub use wait::{Until, WaitError, wait};

use super::cluster::{ClusterError, Connection, PodReport, pods_of};

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct HelmSpec {
    /// Settings of the delegate. Its token is put into a Secret of ours; `Elsewhere` leaves that Secret as it is.
    pub config: DelegateConfig,
    /// Namespace of the release.
    pub namespace: String,
    /// Whether to make the namespace when it is missing.
    pub create_namespace: bool,
    /// Name of the release.
    pub release: String,
    /// Which chart.
    pub chart: Chart,
    /// Image of the delegate; the chart's own when absent.
    pub image: Option<String>,
    /// Pods.
    pub replicas: u32,
    /// `k8sPermissionsType` of the chart; its own default when absent.
    pub permissions: Option<String>,
    /// Kubernetes resources of the container.
    pub resources: Option<Value>,
    /// Further variables of the owner.
    pub env: BTreeMap<String, String>,
    /// Secret with the client certificate.
    pub mtls_secret: Option<String>,
    /// Secret with extra authorities.
    pub ca_secret: Option<String>,
    /// Secret of the owner that holds the token, instead of ours.
    pub token_secret: Option<String>,
    /// Values of the owner, as YAML documents.
    pub values: Vec<String>,
    /// Facts of the owner, kept beside the installation and given back by [`observe`].
    pub notes: BTreeMap<String, String>,
}

/// Which chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chart {
    /// Ours, of this program's version.
    Embedded,
    /// One of a repository.
    Repository {
        /// `https://…` or `oci://…`; absent when `name` says it all.
        repository: Option<String>,
        /// Name of the chart.
        name: String,
        /// Version; the newest when absent.
        version: Option<String>,
    },
    /// A folder or a packed chart of this machine.
    Path(PathBuf),
}

/// What went wrong, with what was tried.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// There is no such program.
    #[error(
        "there is no program {wanted:?}; install Helm 3 or 4, or set the provider's helm_binary to its path"
    )]
    Missing {
        /// What was looked for.
        wanted: String,
    },
    /// The program is not Helm 3 or newer.
    #[error("{} is not Helm 3 or 4: its version is {version:?}; set the provider's helm_binary to a newer one", program.display())]
    TooOld {
        /// What was found.
        program: PathBuf,
        /// What it said.
        version: String,
    },
    /// The values cannot be made.
    #[error("{0}")]
    Values(String),
    /// Helm failed.
    #[error("{message}\n(command: {command})")]
    Failed {
        /// The command line, without secrets.
        command: String,
        /// Helm's own words.
        message: String,
    },
    /// It was asked to stop.
    #[error("interrupted during: {command}")]
    Stopped {
        /// The command line, without secrets.
        command: String,
    },
    /// The private folder of a run.
    #[error("cannot write a private folder for Helm: {0}; check TMPDIR")]
    Folder(std::io::Error),
    /// The namespace is missing and is not to be made.
    #[error("the namespace {0:?} does not exist; create it, or set helm.create_namespace = true")]
    NoNamespace(String),
    /// The release belongs to somebody else.
    #[error(
        "the release {release:?} exists in the namespace {namespace:?} and was not installed by this provider; import it \
         (terraform import … helm/{context}/{namespace}/{release}), or choose another helm.release"
    )]
    Foreign {
        /// Name of the release.
        release: String,
        /// Its namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: String,
    },
    /// Somebody else runs Helm on this release right now.
    #[error("another Helm operation on the release {release:?} has been running since {since}; wait for it, or, if it was interrupted, try again after {} minutes", recovery::FOREIGN_PENDING.as_secs() / 60)]
    Busy {
        /// Name of the release.
        release: String,
        /// When it began.
        since: String,
    },
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// What is there.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The newest revision; none when the release was removed behind our back and only our Secret is left.
    pub record: Option<Record>,
    /// What differs from the installation, one short line each, without secrets.
    pub drift: Vec<String>,
    /// Ready pods, as the Deployment counts them.
    pub ready_replicas: u32,
    /// Pods asked for, as the Deployment has them.
    pub replicas: u32,
    /// Whether the Deployment's controller has replaced every pod of the last revision.
    pub rolled_out: bool,
    /// Label selector of the pods.
    selector: Option<String>,
    /// Image of the delegate's container.
    pub image: Option<String>,
    /// The pods.
    pub pods: Vec<PodReport>,
    /// Variables of the `ConfigMap`, for whoever has to know the settings.
    pub env: BTreeMap<String, String>,
    /// Facts of the owner.
    pub notes: BTreeMap<String, String>,
    /// What changes with the token's Secret; tells that it was changed, without telling it.
    pub secret_revision: Option<String>,
}

impl Observed {
    fn without_release(spec: &HelmSpec, held: secret::Held) -> Self {
        Self {
            record: None,
            drift: vec![format!("the release {} is missing", spec.release)],
            ready_replicas: 0,
            replicas: 0,
            rolled_out: false,
            selector: None,
            image: None,
            pods: Vec::new(),
            env: BTreeMap::new(),
            notes: held.notes,
            secret_revision: held.revision,
        }
    }

    /// Whether all pods are of the newest revision, and ready.
    pub fn is_ready(&self) -> bool {
        wait::reached(self, Until::Ready)
    }

    /// Whether every pod asked for runs and says that it is connected; not for a delegate of no pods.
    pub fn connected(&self) -> bool {
        let connected = self
            .pods
            .iter()
            .filter(|pod| !pod.leaving && pod.connected == Some(true))
            .count();
        self.replicas > 0 && connected >= self.replicas as usize
    }
}

/// Checks what can be checked before anything is changed: the program, the values, the chart.
///
/// # Errors
/// The first thing that would fail later.
pub async fn check(helm: &Helm, spec: &HelmSpec, stop: &CancellationToken) -> Result<(), HelmError> {
    let values = values::values(spec, &secret::name(spec), "unknown").map_err(HelmError::Values)?;
    let rendered = helm.render(spec, &values, stop).await?;
    manifest::objects(&rendered)
        .map(|_| ())
        .map_err(HelmError::Values)
}

/// Looks before anything is changed: [`check`], and whether the release is ours to change. `create` refuses a release that
/// somebody else installed, or that another Terraform state has.
///
/// # Errors
/// The first thing that would fail later.
pub async fn prepare(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    create: bool,
    stop: &CancellationToken,
) -> Result<Prepared, HelmError> {
    check(helm, spec, stop).await?;
    let history = release::history(cluster, &spec.namespace, &spec.release).await?;
    let held = secret::read(cluster, spec).await?;
    if create && !history.is_empty() && !recovery::is_unfinished(&held) {
        return Err(HelmError::Foreign {
            release: spec.release.clone(),
            namespace: spec.namespace.clone(),
            context: cluster.context().to_owned(),
        });
    }
    recovery::nobody_is_at_it(spec, &history, &held)?;
    if !spec.create_namespace && cluster.namespace(&spec.namespace).await?.is_none() {
        return Err(HelmError::NoNamespace(spec.namespace.clone()));
    }
    Ok(Prepared { history })
}

/// A release that may be installed.
pub struct Prepared {
    history: Vec<Record>,
}

/// Installs the release, or brings it to `spec`.
///
/// # Errors
/// The first step that failed; everything before it stays, and the next call goes on from there.
pub async fn install(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    prepared: Prepared,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    secret::ensure_namespace(cluster, spec, stop).await?;
    let operation = recovery::recover(cluster, helm, spec, prepared.history, stop).await?;
    let revision = secret::apply(cluster, spec, operation).await?;
    let values = values::values(spec, &secret::name(spec), &revision).map_err(HelmError::Values)?;
    helm.upgrade(cluster, spec, &values, stop).await
}

/// Writes down that an apply has come to its end, good or bad, and that a Terraform state has the release from now on.
///
/// # Errors
/// When the cluster refuses. The next create then takes the release for one that a crash left behind.
pub async fn complete(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    secret::complete(cluster, spec).await
}

/// Removes the release and what was made for it; fine when there is none.
///
/// # Errors
/// When Helm or the cluster refuses; what is left is found by the next call.
pub async fn uninstall(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    let selector = match release::history(cluster, &spec.namespace, &spec.release)
        .await?
        .last()
    {
        Some(record) => selector_of(cluster, spec, record).await?,
        None => None,
    };
    helm.uninstall(cluster, &spec.namespace, &spec.release, stop)
        .await?;
    secret::delete(cluster, spec).await?;
    if let Some(selector) = selector {
        wait::until_no_pod(cluster, &spec.namespace, &selector, stop).await?;
    }
    secret::remove_namespace(cluster, spec, stop).await
}

/// Looks at the release, its objects and its pods; `None` when there is no release and nothing else of ours.
///
/// # Errors
/// When the API server cannot be reached or refuses: that is not the same as nothing there.
pub async fn observe(
    cluster: &Connection,
    spec: &HelmSpec,
    port: u16,
) -> Result<Option<Observed>, HelmError> {
    let history = release::history(cluster, &spec.namespace, &spec.release).await?;
    let held = secret::read(cluster, spec).await?;
    let Some(record) = history.into_iter().next_back() else {
        return Ok(held.ours.then(|| Observed::without_release(spec, held)));
    };
    let damaged =
        |problem| HelmError::Values(format!("the manifest of the release {} {problem}", spec.release));
    let installed = manifest::objects(&record.manifest).map_err(damaged)?;
    let live = try_join_all(
        installed
            .iter()
            .map(|object| cluster.live(object, &spec.namespace)),
    )
    .await?;
    let live: Vec<Option<Value>> = live
        .into_iter()
        .map(|object| object.and_then(|object| serde_json::to_value(object).ok()))
        .collect();
    let mut drift: Vec<String> = installed
        .iter()
        .zip(&live)
        .flat_map(|(installed, live)| manifest::differences(installed, live.as_ref()))
        .collect();
    if record.info.status != "deployed" {
        drift.push(format!(
            "the release is {}: {}",
            record.info.status, record.info.description
        ));
    }
    drift.extend(values_drift(spec, &record, held.revision.as_deref()));
    let of_kind = |kind: &str| live.iter().flatten().find(|object| object["kind"] == kind);
    let deployment = of_kind("Deployment").cloned().unwrap_or_default();
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let count = |pointer: &str| u32::try_from(number(pointer)).unwrap_or(u32::MAX);
    let replicas = count("/spec/replicas");
    let selector = selector(&deployment);
    let pods = match &selector {
        Some(labels) => pods_of(cluster, &spec.namespace, labels, port).await?,
        None => Vec::new(),
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let env = of_kind("ConfigMap")
        .and_then(|map| map["data"].as_object().cloned())
        .unwrap_or_default();
    Ok(Some(Observed {
        drift,
        ready_replicas: count("/status/readyReplicas"),
        replicas,
        rolled_out: number("/status/observedGeneration") >= number("/metadata/generation")
            && count("/status/updatedReplicas") >= replicas,
        selector,
        image: deployment
            .pointer("/spec/template/spec/containers/0/image")
            .map(text),
        pods,
        env: env
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        notes: held.notes,
        secret_revision: held.revision,
        record: Some(record),
    }))
}

/// What the release was installed with against what the settings ask for now.
fn values_drift(spec: &HelmSpec, record: &Record, revision: Option<&str>) -> Vec<String> {
    let mut drift = Vec::new();
    if spec.chart == Chart::Embedded {
        let ours = delegate_core::install::chart::VERSION;
        let found = &record.chart.metadata.version;
        if found != ours {
            drift.push(format!("the chart is {found}, this provider brings {ours}"));
        }
    }
    let Ok(wanted) = values::values(spec, &secret::name(spec), revision.unwrap_or("missing")) else {
        return drift;
    };
    let (Some(wanted), found) = (
        wanted.as_object(),
        record.config.as_object().cloned().unwrap_or_default(),
    ) else {
        return drift;
    };
    // The names only: what an owner puts into values may be secret.
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name));
    drift.extend(
        differing.map(|name| format!("the value {name} of the release is not what the settings give")),
    );
    drift
}

/// The label selector of a Deployment, as a query.
fn selector(deployment: &Value) -> Option<String> {
    let labels = deployment.pointer("/spec/selector/matchLabels")?.as_object()?;
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

async fn selector_of(
    cluster: &Connection,
    spec: &HelmSpec,
    record: &Record,
) -> Result<Option<String>, HelmError> {
    let objects = manifest::objects(&record.manifest).unwrap_or_default();
    let Some(deployment) = objects.iter().find(|object| object["kind"] == "Deployment") else {
        return Ok(None);
    };
    let live = cluster.live(deployment, &spec.namespace).await?;
    Ok(live
        .and_then(|live| serde_json::to_value(live).ok())
        .as_ref()
        .and_then(selector))
}

/// The first 16 hex digits of a SHA-256.
fn short_digest(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use delegate_core::config::{DelegateConfig, TokenSource};

    use super::{Chart, HelmSpec};

    /// Settings of a small release.
    pub(super) fn spec() -> HelmSpec {
        let token = TokenSource::Inline("000102030405060708090a0b0c0d0e0f".parse().unwrap());
        let url = "https://manager.example".parse().unwrap();
        HelmSpec {
            config: DelegateConfig::new("acc".parse().unwrap(), "team-a".parse().unwrap(), token, url),
            namespace: "ns".into(),
            create_namespace: true,
            release: "team-a".into(),
            chart: Chart::Embedded,
            image: None,
            replicas: 1,
            permissions: None,
            resources: None,
            env: BTreeMap::new(),
            mtls_secret: None,
            ca_secret: None,
            token_secret: None,
            values: Vec::new(),
            notes: BTreeMap::new(),
        }
    }
}
