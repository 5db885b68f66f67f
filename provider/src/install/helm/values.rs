//! From settings to chart values. The names are those of the official chart, so one table serves it and ours.

use serde_json::{Map, Value, json};

use super::{Chart, HelmSpec};
use delegate_core::config::Tag;

/// Values that typed arguments own: giving them in `helm.values` too would leave two masters.
const OWNED: &[(&str, &str)] = &[
    ("accountId", "account_id"),
    ("delegateName", "name"),
    ("delegateToken", "token_wo"),
    ("existingDelegateToken", "token_secret"),
    ("managerEndpoint", "manager_url"),
];

/// Key of the pod annotation that changes when the Secret does.
const REVISION_ANNOTATION: &str = "harness-delegate/secret-revision";

/// The values of an installation: what the arguments say, overlaid with the owner's own.
///
/// `secret_revision` changes whenever the Secret of the token does, so that the pods are replaced.
///
/// # Errors
/// When one of the owner's documents is not YAML, or sets what an argument owns.
pub(super) fn values(spec: &HelmSpec, secret: &str, secret_revision: &str) -> Result<Value, String> {
    let mut values = typed(spec, secret, secret_revision);
    for (at, text) in spec.values.iter().enumerate() {
        let own: Value = serde_saphyr::from_str(text)
            .map_err(|error| format!("the document helm.values[{at}] is not YAML: {error}"))?;
        if own.is_null() {
            continue;
        }
        let Some(fields) = own.as_object() else {
            return Err(format!("the document helm.values[{at}] is not a YAML mapping"));
        };
        if let Some((key, argument)) = OWNED.iter().find(|(key, _)| fields.contains_key(*key)) {
            return Err(format!(
                "the document helm.values[{at}] sets {key}, which the argument {argument} sets; remove it from the values"
            ));
        }
        overlay(&mut values, &own);
    }
    Ok(values)
}

fn typed(spec: &HelmSpec, secret: &str, secret_revision: &str) -> Value {
    let config = &spec.config;
    let mut values = json!({
        "accountId": config.account_id.as_str(),
        "delegateName": config.name.as_str(),
        "existingDelegateToken": spec.token_secret.as_deref().unwrap_or(secret),
        "managerEndpoint": config.manager_url.as_str().trim_end_matches('/'),
        "description": config.description,
        "tags": config.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(","),
        "pollForTasks": config.poll_for_tasks.to_string(),
        "initScript": config.init_script.as_deref().unwrap_or_default(),
        "replicas": spec.replicas,
        // Replacing our pods behind Terraform's back is drift by design.
        "upgrader": { "enabled": false },
    });
    let mut set = |key: &str, value: Value| values[key] = value;
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
    match spec.chart {
        Chart::Embedded => {
            set("delegateTokenChecksum", json!(secret_revision));
            if let Some(url) = &config.log_service_url {
                set("logStreamingServiceUrl", json!(url.as_str()));
            }
        }
        // The official chart rolls its pods for its own Secret only.
        _ => set("annotations", json!({ REVISION_ANNOTATION: secret_revision })),
    }
    let envs = custom_envs(spec, secret);
    if !envs.is_empty() {
        values["custom_envs"] = Value::Array(envs);
    }
    values
}

fn custom_envs(spec: &HelmSpec, secret: &str) -> Vec<Value> {
    let mut envs: Vec<Value> = spec
        .env
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    if !matches!(spec.chart, Chart::Embedded)
        && let Some(url) = &spec.config.log_service_url
    {
        envs.push(json!({ "name": "LOG_STREAMING_SERVICE_URL", "value": url.as_str() }));
    }
    if spec
        .config
        .proxy
        .as_ref()
        .is_some_and(|proxy| proxy.credentials.is_some())
    {
        for name in ["PROXY_USER", "PROXY_PASSWORD"] {
            envs.push(
                json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": name } } }),
            );
        }
    }
    envs
}

/// Lays `upper` over `lower` as Helm does: mappings are merged, everything else is replaced.
fn overlay(lower: &mut Value, upper: &Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (key, value) in upper {
                overlay(
                    lower.entry(key.clone()).or_insert(Value::Object(Map::new())),
                    value,
                );
            }
        }
        (lower, upper) => *lower = upper.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    #[test]
    fn the_owners_values_are_merged_over_the_arguments() {
        let mut spec = spec();
        spec.values = vec![
            "replicas: 5\nupgrader: {schedule: x}\n".into(),
            "replicas: 7".into(),
            String::new(),
        ];
        let values = values(&spec, "s", "1").unwrap();
        assert_eq!(values["replicas"], 7);
        assert_eq!(values["upgrader"], json!({ "enabled": false, "schedule": "x" }));
        assert_eq!(values["existingDelegateToken"], "s");
    }

    #[test]
    fn a_value_that_an_argument_owns_is_refused_with_its_name() {
        let mut spec = spec();
        spec.values = vec!["delegateToken: hunter2".into()];
        let error = values(&spec, "s", "1").unwrap_err();
        assert!(
            error.contains("helm.values[0] sets delegateToken, which the argument token_wo sets"),
            "{error}"
        );
        spec.values = vec!["[1]".into()];
        assert!(
            values(&spec, "s", "1")
                .unwrap_err()
                .contains("not a YAML mapping")
        );
        spec.values = vec!["a: [".into()];
        assert!(values(&spec, "s", "1").unwrap_err().contains("not YAML"));
    }

    #[test]
    fn the_token_is_in_no_value() {
        let values = values(&spec(), "s", "1").unwrap().to_string();
        assert!(!values.contains("000102030405060708090a0b0c0d0e0f"));
    }
}
