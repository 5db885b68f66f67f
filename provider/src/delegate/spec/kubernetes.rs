//! What every delegate in a cluster has, and the cluster it goes to.

use delegate_core::config::DelegateConfig;
use delegate_core::install::kubernetes::KubernetesSpec;

use super::super::model::{self, Model};
use super::super::schema::DEFAULT_NAMESPACE;
use crate::data::ProviderData;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::Target;

/// The delegate that `model` describes, in `namespace`.
pub(super) fn delegate(
    model: &Model,
    namespace: Option<&String>,
    config: DelegateConfig,
) -> Result<KubernetesSpec, Diagnostics> {
    if !config.name.is_dns_label() {
        return Err(Diagnostic::error(
            "Invalid delegate name",
            "In a cluster, the name names Kubernetes objects: it must have lower-case letters, digits and '-' only.",
        )
        .at("name")
        .into());
    }
    let resources = model.resources.as_ref();
    Ok(KubernetesSpec {
        namespace: namespace.cloned().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        image: model.image.clone(),
        replicas: model.replicas.unwrap_or(1),
        permissions: model.permissions.clone(),
        resources: resources.and_then(|resources| serde_json::to_value(resources).ok()),
        env: model.env.clone().unwrap_or_default(),
        mtls_secret: model.mtls.as_ref().and_then(|mtls| mtls.secret_name.clone()),
        ca_secret: model
            .ca_bundle
            .as_ref()
            .and_then(|bundle| bundle.secret_name.clone()),
        token_secret: model.token_secret.as_ref().map(|secret| secret.name.clone()),
        config,
    })
}

/// The provider's cluster with the resource's own arguments over it; a resource that names files leaves the provider's
/// credentials aside, because they belong to another cluster.
pub(super) fn overridden(provider: &ProviderData) -> impl FnOnce(&model::Kubernetes) -> Target + '_ {
    |own| {
        let names_files = own.config_path.is_some() || own.config_paths.is_some();
        let base = if names_files {
            Target::default()
        } else {
            provider.kubernetes.clone()
        };
        Target {
            config_path: own.config_path.clone().or(base.config_path),
            config_paths: own.config_paths.clone().or(base.config_paths),
            config_context: own.config_context.clone().or(base.config_context),
            ..base
        }
    }
}
