//! The values of a release: what the arguments give, and over it what its owner wants besides.

use delegate_core::install::kubernetes::{self, ChartKind, REVISION_ANNOTATION};
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
    /// The Secret of the settings.
    Secret {
        /// What changes whenever its content does, so that the pods are replaced.
        revision: &'a str,
    },
    /// As these values of a release that was taken over have it.
    AsIn(&'a Value),
}

impl<'a> Delivery<'a> {
    /// As the values in `kept` have it, or else from the Secret of the settings.
    pub(super) fn of(kept: Option<&'a Value>, revision: &'a str) -> Self {
        kept.map_or(Self::Secret { revision }, Self::AsIn)
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

/// Whether a document can be among the owner's: it sets nothing that an argument owns.
pub fn leaves_arguments_alone(document: &str) -> bool {
    let sets = |own: &Value| OWNED.iter().any(|(key, _)| own.get(key).is_some());
    serde_saphyr::from_str(document).is_ok_and(|own: Value| !sets(&own))
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
    let chart = match spec.chart {
        Chart::Embedded => ChartKind::Ours,
        Chart::Repository { .. } | Chart::Path(_) => ChartKind::Official,
    };
    match delivery {
        Delivery::Secret { revision } => kubernetes::values(&spec.delegate, chart, Some(revision)),
        Delivery::AsIn(found) => {
            let mut values = kubernetes::values_without_token(&spec.delegate, chart);
            keep_token(&mut values, found);
            values
        }
    }
}

/// Takes over the values that say where the token comes from.
fn keep_token(values: &mut Value, found: &Value) {
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

    const OURS: Delivery<'_> = Delivery::Secret { revision: "1" };

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
        assert_eq!(values["existingDelegateToken"], "team-a-delegate-token");
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
        spec.delegate.resources = Some(json!({ "limits": { "memory": "1Gi" } }));
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
