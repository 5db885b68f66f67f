//! A delegate as plain objects, without Helm: server-side apply under a field manager of our own.
//!
//! What was applied is written down in the annotations of the token's Secret before anything is applied, so that exactly that
//! is removed, also after a crash and also when a later version renders other objects. Looking asks for lists that all
//! delegates of a namespace share; a dry run is asked for only where a list shows a difference.
//!
//! May touch: the namespace (made when asked for, removed only when we made it and nothing is left in it), the Secret, and the
//! objects of [`delegate_core::install::kubernetes`]. Every step can be repeated.

mod apply;
mod drift;
mod inventory;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use delegate_core::install::kubernetes::{KubernetesSpec, NAME_LABEL, objects};
use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::inventory::{Inventory, ObjectId};
use super::cluster::{ClusterError, Connection, Freshness, Owned, name_of, report_on, title};
use super::kubernetes::secret::{self, Intent};
use super::kubernetes::{
    self, Home, OURS, Until, WaitError, Workload, installer, is_ours, namespace, until_no_pod,
};

/// Annotation that names the delegate that a Secret or namespace was made for.
const MARKER: &str = "harness-delegate/manifest";

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct ManifestSpec {
    /// The delegate. Its token is put into a Secret of ours; `Elsewhere` leaves that Secret as it is.
    pub delegate: KubernetesSpec,
    /// Whether to make the namespace when it is missing.
    pub create_namespace: bool,
    /// Whether fields that somebody else applies are taken over.
    pub force_conflicts: bool,
    /// Facts of the owner, kept beside the installation and given back by [`observe`].
    pub notes: BTreeMap<String, String>,
}

impl ManifestSpec {
    fn home(&self) -> Home<'_> {
        Home {
            delegate: &self.delegate,
            create_namespace: self.create_namespace,
            notes: &self.notes,
            marker: (MARKER, self.delegate.config.name.as_str()),
        }
    }

    fn namespace(&self) -> &str {
        &self.delegate.namespace
    }

    fn render(&self, secret_revision: &str) -> Vec<Value> {
        objects(&self.delegate, installer(Some(secret_revision)))
    }
}

/// What went wrong, with what was tried.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The namespace is missing and is not to be made.
    #[error("the namespace {0:?} does not exist; create it, or set manifest.create_namespace = true")]
    NoNamespace(String),
    /// Something of the name is there and was not made for this resource.
    #[error(
        "{object} exists in the namespace {namespace:?} and was not made for this resource; import the delegate (terraform \
         import … manifest/{context}/{namespace}/{name}), remove the object, or choose another name or namespace"
    )]
    Foreign {
        /// Which object.
        object: String,
        /// Its namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: String,
        /// Name of the delegate.
        name: String,
    },
    /// Somebody else applies the same fields.
    #[error(
        "somebody else applies fields of {object} that this resource sets: {}; have the owner give them up, or set \
         manifest.force_conflicts = true to take them over",
        .fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Conflict {
        /// Which object.
        object: String,
        /// Which fields, and whose they are.
        fields: Vec<Owned>,
    },
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// What is there.
#[derive(Debug, Clone)]
pub struct Observed {
    /// What differs from the installation, one short line each, without secrets.
    pub drift: Vec<String>,
    /// How the pods fare.
    pub workload: Workload,
    /// Facts of the owner.
    pub notes: BTreeMap<String, String>,
    /// What changes with the token's Secret; tells that it was changed, without telling it.
    pub secret_revision: Option<String>,
    /// Whether no Terraform state is known to have it; see [`complete`].
    pub unclaimed: bool,
}

/// An installation that may be begun.
pub struct Prepared {
    inventory: Inventory,
    operation: u32,
    /// Whether a Terraform state has it.
    known: bool,
}

/// Looks before anything is changed: whether the delegate is ours to change, and whether somebody else applies the same
/// fields. `create` refuses one that another Terraform state has, and objects of somebody else.
///
/// # Errors
/// The first thing that would fail later.
pub async fn prepare(
    cluster: &Connection,
    spec: &ManifestSpec,
    create: bool,
    stop: &CancellationToken,
) -> Result<Prepared, ManifestError> {
    // What is left in a namespace that goes is in nobody's way.
    let there = namespace::exists(cluster, spec.namespace(), stop).await?;
    if !there && !spec.create_namespace {
        return Err(ManifestError::NoNamespace(spec.namespace().to_owned()));
    }
    let held = secret::read(cluster, spec.home()).await?;
    let rendered = spec.render(held.revision.as_deref().unwrap_or_default());
    if create && !held.is_unfinished() {
        nobody_is_there(cluster, spec, &rendered).await?;
    }
    if !create {
        let check = |object| apply::check(cluster, spec, object);
        try_join_all(rendered.iter().map(check)).await?;
    }
    Ok(Prepared {
        inventory: if held.ours {
            Inventory::of(&held)
        } else {
            Inventory::default()
        },
        operation: held.operation.unwrap_or_default() + 1,
        known: !create,
    })
}

/// Refuses names that are taken. Objects that we made for a delegate of this name, and whose Secret is gone, are nobody's.
async fn nobody_is_there(
    cluster: &Connection,
    spec: &ManifestSpec,
    rendered: &[Value],
) -> Result<(), ManifestError> {
    let name = spec.delegate.config.name.as_str();
    let secret = secret::named(&spec.delegate.own_secret());
    for object in rendered.iter().chain([&secret]) {
        let found = apply::existing(cluster, spec, object).await?;
        let Some(found) = found else { continue };
        let orphan = is_ours(&found) && found["metadata"]["labels"][NAME_LABEL] == name && object != &secret;
        if !orphan {
            return Err(ManifestError::Foreign {
                object: title(object),
                namespace: spec.namespace().to_owned(),
                context: cluster.context().to_owned(),
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// Installs the delegate, or brings it to `spec`. Removes what an earlier version of it had and this one has not.
///
/// # Errors
/// The first step that failed; everything before it stays, and the next call goes on from there.
pub async fn install(
    cluster: &Connection,
    spec: &ManifestSpec,
    prepared: Prepared,
    stop: &CancellationToken,
) -> Result<(), ManifestError> {
    namespace::ensure(cluster, spec.home(), stop).await?;
    let Prepared {
        inventory,
        operation,
        known,
    } = prepared;
    let wanted = secret::wanted(cluster, spec.home()).await?;
    let rendered = spec.render(&wanted.revision);
    let ids = Inventory::of_objects(&rendered);
    let intent = Intent {
        operation,
        known,
        further: &[inventory.with(&ids).annotation(), inventory::digest(&rendered)],
    };
    secret::apply(cluster, spec.home(), wanted, intent).await?;
    let (pods, parts): (Vec<Value>, Vec<Value>) = rendered
        .into_iter()
        .partition(|object| object["kind"] == "Deployment");
    // Every kind but this one is there as soon as it is applied; pods read all of them when they start.
    for group in [parts, pods] {
        try_join_all(group.iter().map(|object| apply::apply(cluster, spec, object))).await?;
    }
    let pruned = inventory.without(&ids);
    if !pruned.is_empty() {
        try_join_all(pruned.iter().map(|id| apply::remove(cluster, spec, id))).await?;
        secret::annotate(cluster, spec.home(), &[ids.annotation()]).await?;
    }
    Ok(())
}

/// Writes down that a Terraform state has the delegate, so that no create takes it for one that a crash left behind.
///
/// # Errors
/// When the cluster refuses.
pub async fn complete(cluster: &Connection, spec: &ManifestSpec) -> Result<(), ManifestError> {
    Ok(secret::complete(cluster, spec.home()).await?)
}

/// Waits until the delegate is as far as asked.
///
/// # Errors
/// When the time is over, with the reason as far as it can be found; when it was asked to stop.
pub async fn wait(
    cluster: &Connection,
    spec: &ManifestSpec,
    until: Until,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), WaitError<ManifestError>> {
    let look = || workload(cluster, spec, Freshness::Now);
    kubernetes::wait(cluster, &spec.delegate, until, limit, stop, look).await
}

/// Looks at the objects and the pods; `None` when there is neither a Deployment nor a Secret of ours.
///
/// # Errors
/// When the API server cannot be reached or refuses: that is not the same as nothing there.
pub async fn observe(cluster: &Connection, spec: &ManifestSpec) -> Result<Option<Observed>, ManifestError> {
    // Their names do not depend on what is read, so all that a look needs is asked for at once.
    let named = spec.render("");
    let live = named
        .iter()
        .map(|object| cluster.found(object, spec.namespace(), OURS, Freshness::Recent));
    let (held, workload, live) = tokio::try_join!(
        async { Ok(secret::read(cluster, spec.home()).await?) },
        workload(cluster, spec, Freshness::Recent),
        async { Ok(try_join_all(live).await?) },
    )?;
    if workload.is_none() && !held.ours {
        return Ok(None);
    }
    let rendered = spec.render(held.revision.as_deref().unwrap_or_default());
    Ok(Some(Observed {
        drift: drift::lines(cluster, spec, &held, &rendered, &live).await?,
        workload: workload.unwrap_or_default(),
        unclaimed: held.ours && !held.complete,
        notes: held.notes,
        secret_revision: held.revision,
    }))
}

async fn workload(
    cluster: &Connection,
    spec: &ManifestSpec,
    freshness: Freshness,
) -> Result<Option<Workload>, ManifestError> {
    let (delegate, namespace) = (&spec.delegate, spec.namespace());
    let name = delegate.config.name.as_str();
    let deployment = deployment(name);
    let (deployment, pods) = tokio::try_join!(
        cluster.found(&deployment, namespace, OURS, freshness),
        cluster.listed(("v1", "Pod"), namespace, NAME_LABEL, freshness),
    )?;
    let Some(deployment) = deployment else {
        return Ok(None);
    };
    let mut workload = Workload::of_deployment(&deployment);
    let pods: Vec<Pod> = pods
        .values()
        .filter(|pod| pod["metadata"]["labels"][NAME_LABEL] == name)
        .filter_map(|pod| Pod::deserialize(pod.as_ref()).ok())
        .collect();
    workload.pods = report_on(cluster, namespace, &pods, delegate.http_port()).await;
    Ok(Some(workload))
}

fn deployment(name: &str) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name } })
}

/// What an import reads: the objects as they are.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The objects by `Kind/name`, as far as they are there.
    pub objects: BTreeMap<String, Arc<Value>>,
    /// Our Secret, with the login of a proxy.
    pub secret: Option<Arc<Value>>,
    /// Facts of the owner.
    pub notes: BTreeMap<String, String>,
}

/// Reads what the delegate was installed with; `None` when there is no Deployment of its name.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn installed(
    cluster: &Connection,
    spec: &ManifestSpec,
) -> Result<Option<Installed>, ManifestError> {
    let held = secret::read(cluster, spec.home()).await?;
    let mut ids = Inventory::of(&held);
    // One that we did not make has no inventory; the names of the official manifest are the same as ours.
    for permissions in ["CLUSTER_ADMIN", "CLUSTER_VIEWER", "NAMESPACE_ADMIN", "role"] {
        let mut spec = spec.clone();
        spec.delegate.permissions = Some(permissions.to_owned());
        ids = ids.with(&Inventory::of_objects(&spec.render("")));
    }
    let proxy = format!("{}-proxy", spec.delegate.config.name);
    ids = ids.with(&Inventory::of_objects(&[
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": proxy } }),
    ]));
    let mut objects = BTreeMap::new();
    for object in ids.iter().map(ObjectId::object) {
        let found = cluster
            .found(&object, spec.namespace(), OURS, Freshness::Recent)
            .await?;
        objects.extend(found.map(|found| (title(&object), found)));
    }
    if !objects.contains_key(&format!("Deployment/{}", spec.delegate.config.name)) {
        return Ok(None);
    }
    let secret = secret::named(&spec.delegate.own_secret());
    Ok(Some(Installed {
        objects,
        secret: cluster
            .found(&secret, spec.namespace(), OURS, Freshness::Recent)
            .await?,
        notes: held.notes,
    }))
}

/// Removes the delegate with everything that was applied for it; fine when there is nothing.
///
/// # Errors
/// When the cluster refuses; what is left is found by the next call.
pub async fn remove(
    cluster: &Connection,
    spec: &ManifestSpec,
    stop: &CancellationToken,
) -> Result<(), ManifestError> {
    let held = secret::read(cluster, spec.home()).await?;
    let mut inventory = Inventory::of_objects(&spec.render(""));
    if held.ours {
        inventory = inventory.with(&Inventory::of(&held));
    }
    // The pods first: while they drain, their tasks keep their rights and settings.
    let (pods, parts): (Vec<&ObjectId>, Vec<&ObjectId>) =
        inventory.iter().partition(|id| id.kind == "Deployment");
    try_join_all(pods.iter().map(|id| apply::remove(cluster, spec, id))).await?;
    until_drained(cluster, spec, stop).await?;
    try_join_all(parts.iter().map(|id| apply::remove(cluster, spec, id))).await?;
    // The Secret knows what there was; so it goes last.
    namespace::remove_with_secret(cluster, spec.home(), stop).await?;
    Ok(())
}

async fn until_drained(
    cluster: &Connection,
    spec: &ManifestSpec,
    stop: &CancellationToken,
) -> Result<(), ManifestError> {
    let name = spec.delegate.config.name.as_str();
    let pods = cluster
        .listed(("v1", "Pod"), spec.namespace(), NAME_LABEL, Freshness::Now)
        .await?;
    let ours = |pod: &&Arc<Value>| pod["metadata"]["labels"][NAME_LABEL] == name;
    if let Some(pod) = pods.values().find(ours) {
        tracing::debug!(pod = name_of(pod), "waiting for the pods to drain");
        until_no_pod(cluster, spec.namespace(), &spec.delegate.pod_selector(), stop).await?;
    }
    Ok(())
}
