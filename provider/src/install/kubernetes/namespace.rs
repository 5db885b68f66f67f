//! The namespace of a delegate: made when it is missing and may be made, removed when it was made and nobody lives there.

use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Home, OURS, secret};
use crate::install::cluster::{ClusterError, Connection, FIELD_MANAGER, Freshness};
use delegate_core::install::kubernetes::MANAGED_BY_LABEL;

/// Between two looks at a namespace that goes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Kinds that make a namespace worth keeping: whatever runs, whatever holds data, whatever gives rights.
const INHABITANTS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
];

/// In every namespace, made by Kubernetes itself.
const FURNITURE: &[&str] = &["kube-root-ca.crt", "default"];

/// Makes the namespace when it is missing and may be made. One that is being removed is waited for.
pub(in crate::install) async fn ensure(
    cluster: &Connection,
    home: Home<'_>,
    stop: &CancellationToken,
) -> Result<(), ClusterError> {
    let name = home.namespace();
    // Of many delegates that begin at once, one asks.
    let mut standing = cluster.standing_namespaces().await;
    if standing.contains(name) {
        return Ok(());
    }
    let found = cluster.namespace(name).await?;
    let goes = found
        .as_ref()
        .is_some_and(|found| found.metadata.deletion_timestamp.is_some());
    if goes {
        until_gone(cluster, name, stop).await?;
    }
    if found.is_none() || goes {
        let (annotation, owner) = home.marker;
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": { MANAGED_BY_LABEL: FIELD_MANAGER },
                "annotations": { annotation: owner },
            },
        });
        cluster.apply(&namespace, "").await?;
    }
    standing.insert(name.to_owned());
    Ok(())
}

/// Whether the namespace is there. One that is being removed is waited for, and then is not.
pub(in crate::install) async fn exists(
    cluster: &Connection,
    name: &str,
    stop: &CancellationToken,
) -> Result<bool, ClusterError> {
    let mut standing = cluster.standing_namespaces().await;
    if standing.contains(name) {
        return Ok(true);
    }
    let Some(found) = cluster.namespace(name).await? else {
        return Ok(false);
    };
    if found.metadata.deletion_timestamp.is_some() {
        until_gone(cluster, name, stop).await?;
        return Ok(false);
    }
    standing.insert(name.to_owned());
    Ok(true)
}

/// Waits until there is no such namespace; the caller bounds the time.
async fn until_gone(cluster: &Connection, name: &str, stop: &CancellationToken) -> Result<(), ClusterError> {
    while cluster.namespace(name).await?.is_some() {
        tokio::select! {
            () = stop.cancelled() => {
                return Err(ClusterError::Stopped("the wait for the namespace to go".to_owned()));
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    // What was in it went with it, and was not removed by us one by one.
    cluster.forget_namespace(name);
    Ok(())
}

/// What became of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It is gone, with our Secret in it.
    Gone,
    /// Other delegates of ours live there.
    Neighbours,
    /// It is somebody else's, or somebody else lives there.
    Inhabited,
}

/// Removes the Secret, and the namespace when this provider made it and nobody else lives there any more. Waits until that is
/// gone: what comes next may want the name. While the namespace is to go, the Secret stays in it, so that an interrupted
/// removal is found and finished.
pub(in crate::install) async fn remove_with_secret(
    cluster: &Connection,
    home: Home<'_>,
    stop: &CancellationToken,
) -> Result<(), ClusterError> {
    let left = remove(cluster, home, stop).await?;
    if left == Left::Gone {
        return Ok(());
    }
    secret::delete(cluster, home).await?;
    if left == Left::Neighbours {
        // Of the last two that go at once, each sees the other's Secret before; after, at least one sees none.
        remove(cluster, home, stop).await?;
    }
    Ok(())
}

async fn remove(
    cluster: &Connection,
    home: Home<'_>,
    stop: &CancellationToken,
) -> Result<Left, ClusterError> {
    let name = home.namespace();
    if !home.create_namespace {
        return Ok(Left::Inhabited);
    }
    // The quick answer, shared by many that are removed at once: every delegate of ours has a Secret.
    let own = home.delegate.own_secret();
    let secrets = cluster
        .listed(("v1", "Secret"), name, OURS, Freshness::Now)
        .await?;
    if secrets.keys().any(|secret| *secret != own) {
        return Ok(Left::Neighbours);
    }
    let Some(namespace) = cluster.namespace(name).await? else {
        return Ok(Left::Gone);
    };
    let labels = namespace.metadata.labels.unwrap_or_default();
    if labels.get(MANAGED_BY_LABEL).map(String::as_str) != Some(FIELD_MANAGER) {
        return Ok(Left::Inhabited);
    }
    let own = secret::read(cluster, home).await?.ours.then_some(own);
    for kind in INHABITANTS {
        let found = cluster.list(*kind, name, "").await?;
        let stays = |object: &DynamicObject| {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let ours = kind.1 == "Secret" && own.as_deref() == Some(name);
            object.metadata.deletion_timestamp.is_none() && !FURNITURE.contains(&name) && !ours
        };
        if found.iter().any(stays) {
            return Ok(Left::Inhabited);
        }
    }
    cluster.standing_namespaces().await.remove(name);
    let object: Value = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    cluster.delete(&object, "").await?;
    until_gone(cluster, name, stop).await?;
    Ok(Left::Gone)
}
