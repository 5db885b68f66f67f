//! Delegates of a cluster: Helm releases, and those that are plain objects of this provider.
//!
//! They are found by their Deployments, with one request and without reading a Secret: Helm and this provider mark every object
//! they make, and both charts, ours and the official one, mark those of a delegate.

use delegate_core::install::kubernetes::MANAGED_BY_LABEL;
use kube::api::DynamicObject;

use super::Found;
use crate::data::ProviderData;
use crate::delegate::model::Kubernetes;
use crate::delegate::{place, spec};
use crate::framework::diagnostics::Diagnostics;
use crate::install::cluster::FIELD_MANAGER;
use crate::install::helm::HelmError;

/// What the Deployment of a delegate carries.
const LABELS: &str = "app.kubernetes.io/managed-by in (Helm,terraform-provider-harness),harness.io/name";

/// Where Helm writes the name of the release.
const RELEASE: &str = "meta.helm.sh/release-name";

/// … and its namespace.
const NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// `mode`: only those that came this way; both when absent.
pub(super) async fn find(
    mode: Option<&str>,
    namespace: Option<&str>,
    kubernetes: Option<&Kubernetes>,
    provider: &ProviderData,
) -> Result<Vec<Found>, Diagnostics> {
    let told = |error| place::told_of_helm(&HelmError::Cluster(error));
    let target = spec::target(kubernetes, provider);
    let cluster = provider.connections.to(&target).await.map_err(told)?;
    let kind = ("apps/v1", "Deployment");
    let deployments = match namespace {
        Some(namespace) => cluster.list(kind, namespace, LABELS).await,
        None => cluster.list_everywhere(kind, LABELS).await,
    };
    let delegate = |deployment| {
        let found = release(deployment, cluster.context()).map(|found| ("helm", found));
        let found = found.or_else(|| Some(("manifest", plain(deployment, cluster.context())?)));
        found.filter(|(way, _)| mode.is_none_or(|mode| mode == *way))
    };
    let found = deployments.map_err(told)?;
    Ok(found
        .iter()
        .filter_map(delegate)
        .map(|(_, found)| found)
        .collect())
}

/// One without Helm has the delegate's name.
fn plain(deployment: &DynamicObject, context: &str) -> Option<Found> {
    let labels = deployment.metadata.labels.as_ref()?;
    labels
        .get(MANAGED_BY_LABEL)
        .filter(|maker| *maker == FIELD_MANAGER)?;
    let (name, namespace) = (
        deployment.metadata.name.as_ref()?,
        deployment.metadata.namespace.as_ref()?,
    );
    Some(Found {
        id: format!("manifest/{context}/{namespace}/{name}"),
        display_name: format!("{name} in {namespace}"),
    })
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
