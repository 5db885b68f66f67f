//! Delegates that are Helm releases of a cluster.
//!
//! They are found by their Deployments, with one request and without reading a Secret: Helm marks every object it makes,
//! and both charts, ours and the official one, mark those of a delegate.

use kube::api::DynamicObject;

use super::Found;
use crate::data::ProviderData;
use crate::delegate::model::Kubernetes;
use crate::delegate::{place, spec};
use crate::framework::diagnostics::Diagnostics;
use crate::install::helm::HelmError;

/// What the Deployment of a delegate's release carries.
const LABELS: &str = "app.kubernetes.io/managed-by=Helm,harness.io/name";

/// Where Helm writes the name of the release.
const RELEASE: &str = "meta.helm.sh/release-name";

/// … and its namespace.
const NAMESPACE: &str = "meta.helm.sh/release-namespace";

pub(super) async fn find(
    namespace: Option<&str>,
    kubernetes: Option<&Kubernetes>,
    provider: &ProviderData,
) -> Result<Vec<Found>, Diagnostics> {
    let told = |error| place::told(&HelmError::Cluster(error));
    let target = spec::target(kubernetes, provider);
    let cluster = provider.connections.to(&target).await.map_err(told)?;
    let kind = ("apps/v1", "Deployment");
    let deployments = match namespace {
        Some(namespace) => cluster.list(kind, namespace, LABELS).await,
        None => cluster.list_everywhere(kind, LABELS).await,
    };
    let mut found: Vec<Found> = deployments
        .map_err(told)?
        .iter()
        .filter_map(|deployment| release(deployment, cluster.context()))
        .collect();
    // A release may have several.
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

fn release(deployment: &DynamicObject, context: &str) -> Option<Found> {
    let annotations = deployment.metadata.annotations.as_ref()?;
    let release = annotations.get(RELEASE)?;
    let namespace = annotations
        .get(NAMESPACE)
        .or(deployment.metadata.namespace.as_ref())?;
    Some(Found {
        id: format!("helm/{context}/{namespace}/{release}"),
        display_name: format!("{release} in {namespace}"),
    })
}
