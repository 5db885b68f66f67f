//! Which values there are: the schema, the values file and the official chart must agree.

use std::collections::BTreeSet;

use delegate_core::install::chart;
use serde_json::Value;

/// The keys of the official chart (lists and free maps are leaves).
const OFFICIAL_VALUES: &str = "
    delegateName accountId delegateToken existingDelegateToken managerEndpoint description tags nextGen deployMode
    delegateType pollForTasks initScript javaOpts fullnameOverride delegateDockerImage image.registry image.repository
    image.tag image.pullPolicy imagePullSecret replicas cpu memory resources deploymentStrategy rollingUpdate
    minReadySeconds autoscaling.enabled autoscaling.minReplicas autoscaling.maxReplicas
    autoscaling.targetCPUUtilizationPercentage autoscaling.targetMemoryUtilizationPercentage
    startupProbe.initialDelaySeconds startupProbe.periodSeconds startupProbe.failureThreshold startupProbe.timeoutSeconds
    livenessProbe.initialDelaySeconds livenessProbe.periodSeconds livenessProbe.failureThreshold
    livenessProbe.timeoutSeconds k8sPermissionsType serviceAccount.create serviceAccount.annotations serviceAccount.name
    ccm.visibility securityContext.runAsRoot delegate.pod.securityContext delegate.securityContext
    delegateSecurityContext delegatePodSecurityContext mTLS.secretName
    delegateCustomCa.secretName upgraderCustomCa.secretName destinationCaPath shared_certificates.certs_path
    shared_certificates.ca_bundle shared_certificates.ci_mount_targets proxyHost proxyPort proxyScheme noProxy proxyUser
    proxyPassword ztsUrl ztsTimeoutSeconds ztsRetryCount ztsEnforce custom_envs custom_mounts custom_volumes
    custom_init_containers custom_containers nodeSelector tolerations affinity priorityClassName dnsConfig dnsPolicy
    service.port commonLabels commonAnnotations delegateLabels delegatePodLabels delegateAnnotations additionalLabels
    annotations upgrader.enabled upgrader.upgraderDockerImage upgrader.registryMirror upgrader.image.registry
    upgrader.image.repository upgrader.image.tag upgrader.image.pullPolicy upgrader.jobName upgrader.schedule
    upgrader.imagePullSecret upgrader.cronJobServiceAccountName upgrader.existingUpgraderToken
    upgrader.pod.securityContext upgrader.securityContext upgrader.tolerations upgrader.resources
    upgrader.rbac.cronjobVerbs upgrader.rbac.deploymentVerbs";

/// The paths of the properties that a schema allows, references followed.
fn schema_paths(schema: &Value, root: &Value, path: &str, into: &mut BTreeSet<String>) {
    let mut schema = schema;
    if let Some(name) = schema["$ref"].as_str() {
        schema = root.pointer(name.trim_start_matches('#')).unwrap();
    }
    match schema["properties"].as_object() {
        Some(properties) => {
            assert_eq!(
                schema["additionalProperties"], false,
                "{path:?} takes mistyped keys"
            );
            for (key, schema) in properties {
                schema_paths(schema, root, &format!("{path}.{key}"), into);
            }
        }
        None => _ = into.insert(path.trim_start_matches('.').to_owned()),
    }
}

fn value_at<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, key| value.get(key))
}

#[test]
fn schema_values_file_and_official_chart_have_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let chart = chart::write_to(dir.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(chart.join(name)).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();

    let mut allowed = BTreeSet::new();
    schema_paths(&schema, &schema, "", &mut allowed);
    for path in OFFICIAL_VALUES.split_whitespace() {
        let free = path == "rollingUpdate";
        assert!(free || allowed.contains(path), "the schema refuses {path}");
        assert!(
            value_at(&values, path).is_some(),
            "values.yaml does not say what {path} is"
        );
    }
    // Shown by the parts that are in use; all of them are what Kubernetes has.
    let shown_in_part = [
        "startupProbe.",
        "livenessProbe.",
        "readinessProbe.",
        "rollingUpdate.",
    ];
    for path in allowed.iter().filter(|path| *path != "global") {
        let shown =
            shown_in_part.iter().any(|part| path.starts_with(part)) || value_at(&values, path).is_some();
        assert!(shown, "values.yaml does not say what {path} is");
    }
    for key in values.as_object().unwrap().keys() {
        assert!(
            schema["properties"].get(key).is_some(),
            "the schema refuses {key} of values.yaml"
        );
    }
}
