//! From settings to chart values. The names are those of the official chart, so one table serves it and ours.

use delegate_core::config::Tag;
use serde_json::{Map, Value, json};

use super::{Chart, HelmSpec};

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

/// Values that an argument gives when somebody has set it; the owner's own values win over them, and are told.
const SHARED: &[(&str, &str)] = &[
    ("ca_bundle", "/delegateCustomCa"),
    ("description", "/description"),
    ("env", "/custom_envs"),
    ("image", "/delegateDockerImage"),
    ("init_script", "/initScript"),
    ("log_service_url", "/logStreamingServiceUrl"),
    ("mtls", "/mTLS"),
    ("permissions", "/k8sPermissionsType"),
    ("poll_for_tasks", "/pollForTasks"),
    ("proxy", "/noProxy"),
    ("proxy", "/proxyHost"),
    ("proxy", "/proxyPort"),
    ("proxy", "/proxyScheme"),
    ("replicas", "/replicas"),
    ("resources", "/resources"),
    ("tags", "/tags"),
];

/// Where the pods get the token from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Delivery<'a> {
    /// A Secret, and what changes whenever its content does, so that the pods are replaced.
    Secret {
        /// Its name.
        name: &'a str,
        /// What changes.
        revision: &'a str,
    },
    /// As these values of a release that was taken over have it.
    AsIn(&'a Value),
}

impl<'a> Delivery<'a> {
    /// As the values in `kept` have it, or else from the Secret `name`.
    pub(super) fn of(kept: Option<&'a Value>, name: &'a str, revision: &'a str) -> Self {
        kept.map_or(Self::Secret { name, revision }, Self::AsIn)
    }
}

/// The values of an installation: what the arguments say, overlaid with the owner's own.
///
/// # Errors
/// When one of the owner's documents is not YAML, or sets what an argument owns.
pub(super) fn values(spec: &HelmSpec, delivery: Delivery<'_>) -> Result<Value, String> {
    let mut values = typed(spec, delivery);
    for (at, own) in documents(spec)? {
        if let Some((key, argument)) = OWNED.iter().find(|(key, _)| own.get(key).is_some()) {
            return Err(format!(
                "the document helm.values[{at}] sets {key}, which the argument {argument} sets; remove it from the values"
            ));
        }
        overlay(&mut values, &own);
    }
    Ok(values)
}

/// What the owner's values set over an argument that somebody has set too, one line each.
///
/// # Errors
/// As [`values`].
pub fn overridden(spec: &HelmSpec) -> Result<Vec<String>, String> {
    let typed = typed(spec, Delivery::AsIn(&Value::Null));
    let mut lines = Vec::new();
    for (at, own) in documents(spec)? {
        for (argument, pointer) in SHARED
            .iter()
            .filter(|(argument, _)| spec.given.contains(argument))
        {
            let (Some(ours), Some(theirs)) = (typed.pointer(pointer), own.pointer(pointer)) else {
                continue;
            };
            if hides(ours, theirs) {
                lines.push(format!(
                    "helm.values[{at}] sets {}, which the argument {argument} sets too",
                    pointer.trim_start_matches('/')
                ));
            }
        }
    }
    Ok(lines)
}

/// Whether laying `upper` over `lower` changes something that is there.
fn hides(lower: &Value, upper: &Value) -> bool {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => upper
            .iter()
            .any(|(key, value)| lower.get(key).is_some_and(|lower| hides(lower, value))),
        (lower, upper) => lower != upper,
    }
}

/// The owner's documents that say something, with their place in the list.
fn documents(spec: &HelmSpec) -> Result<Vec<(usize, Value)>, String> {
    let mut documents = Vec::new();
    for (at, text) in spec.values.iter().enumerate() {
        let own: Value = serde_saphyr::from_str(text)
            .map_err(|error| format!("the document helm.values[{at}] is not YAML: {error}"))?;
        match own {
            Value::Null => {}
            Value::Object(_) => documents.push((at, own)),
            _ => return Err(format!("the document helm.values[{at}] is not a YAML mapping")),
        }
    }
    Ok(documents)
}

fn typed(spec: &HelmSpec, delivery: Delivery<'_>) -> Value {
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
    if let (Chart::Embedded, Some(url)) = (&spec.chart, &config.log_service_url) {
        set("logStreamingServiceUrl", json!(url.as_str()));
    }
    let envs = custom_envs(spec);
    if !envs.is_empty() {
        values["custom_envs"] = Value::Array(envs);
    }
    deliver(&mut values, spec, delivery);
    values
}

/// Values that say where the token comes from.
fn deliver(values: &mut Value, spec: &HelmSpec, delivery: Delivery<'_>) {
    match delivery {
        Delivery::Secret { name, revision } => {
            values["existingDelegateToken"] = json!(spec.token_secret.as_deref().unwrap_or(name));
            match spec.chart {
                Chart::Embedded => values["delegateTokenChecksum"] = json!(revision),
                // The official chart rolls its pods for its own Secret only.
                _ => values["annotations"] = json!({ REVISION_ANNOTATION: revision }),
            }
        }
        Delivery::AsIn(found) => {
            for key in ["delegateToken", "existingDelegateToken", "delegateTokenChecksum"] {
                if let Some(value) = found.get(key) {
                    values[key] = value.clone();
                }
            }
            if let Some(mark) = found
                .get("annotations")
                .and_then(|all| all.get(REVISION_ANNOTATION))
            {
                values["annotations"] = json!({ REVISION_ANNOTATION: mark });
            }
        }
    }
}

fn custom_envs(spec: &HelmSpec) -> Vec<Value> {
    let secret = super::secret::name(spec);
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
    use super::super::spec::tests::spec;
    use super::*;

    const OURS: Delivery<'_> = Delivery::Secret {
        name: "s",
        revision: "1",
    };

    #[test]
    fn the_owners_values_are_merged_over_the_arguments() {
        let mut spec = spec();
        spec.values = vec![
            "replicas: 5\nupgrader: {schedule: x}\n".into(),
            "replicas: 7".into(),
            String::new(),
        ];
        let values = values(&spec, OURS).unwrap();
        assert_eq!(values["replicas"], 7);
        assert_eq!(values["upgrader"], json!({ "enabled": false, "schedule": "x" }));
        assert_eq!(values["existingDelegateToken"], "s");
    }

    #[test]
    fn a_value_that_an_argument_owns_is_refused_with_its_name() {
        let mut spec = spec();
        spec.values = vec!["delegateToken: hunter2".into()];
        let error = values(&spec, OURS).unwrap_err();
        assert!(
            error.contains("helm.values[0] sets delegateToken, which the argument token_wo sets"),
            "{error}"
        );
        spec.values = vec!["[1]".into()];
        assert!(values(&spec, OURS).unwrap_err().contains("not a YAML mapping"));
        spec.values = vec!["a: [".into()];
        assert!(values(&spec, OURS).unwrap_err().contains("not YAML"));
    }

    #[test]
    fn the_token_is_in_no_value() {
        let values = values(&spec(), OURS).unwrap().to_string();
        assert!(!values.contains("000102030405060708090a0b0c0d0e0f"));
    }

    #[test]
    fn what_is_laid_over_an_argument_that_somebody_has_set_is_told() {
        let mut spec = spec();
        spec.resources = Some(json!({ "limits": { "memory": "1Gi" } }));
        spec.values = vec![
            "replicas: 5\ntags: x".into(),
            "resources: {limits: {cpu: 1}}".into(),
        ];
        assert_eq!(overridden(&spec).unwrap(), Vec::<String>::new());
        spec.given = ["replicas", "resources"].into();
        assert_eq!(
            overridden(&spec).unwrap(),
            ["helm.values[0] sets replicas, which the argument replicas sets too"]
        );
        // The same said twice is no contradiction; a deeper value is.
        spec.values = vec!["replicas: 1".into(), "resources: {limits: {memory: 2Gi}}".into()];
        assert_eq!(
            overridden(&spec).unwrap(),
            ["helm.values[1] sets resources, which the argument resources sets too"]
        );
    }

    #[test]
    fn a_release_that_was_taken_over_keeps_where_its_token_comes_from() {
        let found = json!({ "delegateToken": "t", "replicas": 9 });
        let kept = values(&spec(), Delivery::AsIn(&found)).unwrap();
        assert_eq!(
            (&kept["delegateToken"], &kept["replicas"]),
            (&json!("t"), &json!(1))
        );
        assert_eq!(
            kept.get("existingDelegateToken")
                .or(kept.get("delegateTokenChecksum")),
            None
        );
    }
}
