//! From settings to chart values. The names are those of the official chart, so one table serves it and ours.

use serde_json::{Value, json};

use super::KubernetesSpec;
use super::deployment::own_env;
use super::settings::{default_termination, termination_seconds};
use crate::config::{DelegateType, Tag};

/// Key of the pod annotation that changes when the Secret does, where a chart has no value for that.
pub const REVISION_ANNOTATION: &str = "harness-delegate/secret-revision";

/// Whose chart gets the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    /// The embedded one.
    Ours,
    /// The official one, or another with its value names.
    Official,
}

/// The values that make a chart render this delegate. The token is not among them: they name its Secret.
///
/// `secret_revision` changes whenever that Secret does, so that the pods are replaced; absent where nobody watches it.
pub fn values(spec: &KubernetesSpec, chart: ChartKind, secret_revision: Option<&str>) -> Value {
    let mut values = values_without_token(spec, chart);
    values["existingDelegateToken"] = json!(spec.secret_with_token());
    if let Some(revision) = secret_revision {
        match chart {
            ChartKind::Ours => values["delegateTokenChecksum"] = json!(revision),
            // The official chart rolls its pods for its own Secret only.
            ChartKind::Official => values["annotations"] = json!({ REVISION_ANNOTATION: revision }),
        }
    }
    values
}

/// The same without a word of where the token comes from.
pub fn values_without_token(spec: &KubernetesSpec, chart: ChartKind) -> Value {
    let config = &spec.config;
    let mut values = json!({
        "accountId": config.account_id.as_str(),
        "delegateName": config.name.as_str(),
        "managerEndpoint": config.manager_url.as_str().trim_end_matches('/'),
        "description": config.description,
        "tags": config.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(","),
        "pollForTasks": config.poll_for_tasks.to_string(),
        "initScript": config.init_script.as_deref().unwrap_or_default(),
        "replicas": spec.replicas,
        // Replacing the pods behind their owner's back is drift by design.
        "upgrader": { "enabled": false },
    });
    let mut set = |key: &str, value: Value| values[key] = value;
    if config.delegate_type != DelegateType::HelmDelegate {
        set("delegateType", json!(config.delegate_type.to_string()));
    }
    if let Some(image) = &spec.image {
        set("delegateDockerImage", json!(image));
    }
    if let Some(permissions) = &spec.permissions {
        set("k8sPermissionsType", json!(permissions));
    }
    if let Some(resources) = &spec.resources {
        set("resources", resources.clone());
    }
    if let Some(name) = &spec.mtls_secret {
        set("mTLS", json!({ "secretName": name }));
    }
    if let Some(name) = &spec.ca_secret {
        set("delegateCustomCa", json!({ "secretName": name }));
    }
    if let Some(proxy) = &config.proxy {
        set("proxyHost", json!(proxy.host));
        set("proxyPort", json!(proxy.port.to_string()));
        set("proxyScheme", json!(proxy.scheme.to_string()));
    }
    if !config.no_proxy.is_empty() {
        set("noProxy", json!(config.no_proxy.join(",")));
    }
    let mut env = own_env(spec);
    match chart {
        ChartKind::Ours => {
            if let Some(url) = &config.log_service_url {
                set("logStreamingServiceUrl", json!(url.as_str()));
            }
            let termination = termination_seconds(config);
            if termination != default_termination() {
                set("terminationGracePeriodSeconds", json!(termination));
            }
        }
        ChartKind::Official => {
            if let Some(url) = &config.log_service_url {
                env.push(json!({ "name": "LOG_STREAMING_SERVICE_URL", "value": url.as_str() }));
            }
        }
    }
    if !env.is_empty() {
        set("custom_envs", Value::Array(env));
    }
    values
}
