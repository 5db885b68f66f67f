//! The pods of a delegate. Every number here is a default of the embedded chart, where its reason is given; a test keeps the
//! two the same.

use serde_json::{Map, Value, json};

use super::settings::{checksum, checksum_of_no_secret, further, termination_seconds};
use super::{Installer, KubernetesSpec};
use crate::config::DEFAULT_HTTP_PORT;

/// What a container with a read-only root may write to, besides `/tmp`; its working folder and home.
pub const SCRATCH: &str = "/var/lib/harness-delegate";

/// Mode of mounted Secrets: 0440.
const SECRET_MODE: u32 = 0o440;

/// User of the container.
const USER: u32 = 1001;

/// The `spec` of the Deployment.
pub(super) fn spec(spec: &KubernetesSpec, installer: Installer<'_>) -> Value {
    let labels = spec.selector_labels();
    let mut pod = json!({
        "serviceAccountName": spec.config.name.as_str(),
        "terminationGracePeriodSeconds": termination_seconds(&spec.config),
        "restartPolicy": "Always",
        "securityContext": { "fsGroup": USER },
        "containers": [container(spec)],
    });
    let (volumes, _) = storage(spec);
    if !volumes.is_empty() {
        pod["volumes"] = Value::Array(volumes);
    }
    json!({
        "replicas": spec.replicas,
        "minReadySeconds": 10,
        "strategy": { "type": "RollingUpdate" },
        "selector": { "matchLabels": labels },
        "template": {
            "metadata": { "labels": labels, "annotations": annotations(spec, installer) },
            "spec": pod,
        },
    })
}

/// The image of a delegate that is given none.
pub fn default_image() -> String {
    format!("harness-delegate:{}", crate::VERSION)
}

/// The resources of a container that is given none.
pub fn default_resources() -> Value {
    json!({ "limits": { "memory": "512Mi" }, "requests": { "cpu": "0.1", "memory": "512Mi" } })
}

fn annotations(spec: &KubernetesSpec, installer: Installer<'_>) -> Map<String, Value> {
    let mut annotations = Map::from_iter([
        ("checksum/configmap".to_owned(), json!(checksum(spec))),
        ("checksum/secret".to_owned(), json!(checksum_of_no_secret())),
        ("prometheus.io/path".to_owned(), json!("/api/metrics")),
        (
            "prometheus.io/port".to_owned(),
            json!(DEFAULT_HTTP_PORT.to_string()),
        ),
        ("prometheus.io/scrape".to_owned(), json!("true")),
    ]);
    if let Some(revision) = installer.secret_revision {
        annotations.insert("checksum/delegate-token".to_owned(), json!(revision));
    }
    annotations
}

fn container(spec: &KubernetesSpec) -> Value {
    let name = spec.config.name.as_str();
    let resources = match &spec.resources {
        Some(Value::Object(given)) if !given.is_empty() => Value::Object(given.clone()),
        _ => default_resources(),
    };
    let mut container = json!({
        "name": "delegate",
        "image": spec.image.clone().unwrap_or_else(default_image),
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "ports": [
            { "name": "http", "containerPort": 8080 },
            { "name": "api", "containerPort": DEFAULT_HTTP_PORT },
        ],
        "resources": resources,
        "startupProbe": probe(2, 200, 2),
        "livenessProbe": probe(10, 6, 5),
        "readinessProbe": probe(5, 3, 5),
        "envFrom": [
            { "configMapRef": { "name": name } },
            { "secretRef": { "name": spec.secret_with_token() } },
            { "configMapRef": { "name": format!("{name}-proxy"), "optional": true } },
            { "secretRef": { "name": format!("{name}-proxy"), "optional": true } },
            { "configMapRef": { "name": format!("{name}-shared-certificates"), "optional": true } },
        ],
    });
    let env = env(spec);
    if !env.is_empty() {
        container["env"] = Value::Array(env);
    }
    let (_, mounts) = storage(spec);
    if !mounts.is_empty() {
        container["volumeMounts"] = Value::Array(mounts);
    }
    container
}

fn probe(period: u32, failures: u32, timeout: u32) -> Value {
    json!({
        "httpGet": { "path": "/api/health", "port": DEFAULT_HTTP_PORT, "scheme": "HTTP" },
        "initialDelaySeconds": 0,
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    })
}

/// Variables that are neither in a ConfigMap nor in the Secret. They win over both.
pub(super) fn own_env(spec: &KubernetesSpec) -> Vec<Value> {
    let mut env: Vec<Value> = further(&spec.config)
        .into_iter()
        .filter(|(name, _)| !spec.env.contains_key(*name))
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    env.extend(
        spec.env
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value })),
    );
    let has_login = spec
        .config
        .proxy
        .as_ref()
        .is_some_and(|proxy| proxy.credentials.is_some());
    if has_login {
        let secret = spec.own_secret();
        env.extend(["PROXY_USER", "PROXY_PASSWORD"].map(
            |name| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": secret, "key": name } } }),
        ));
    }
    env
}

fn env(spec: &KubernetesSpec) -> Vec<Value> {
    let own = own_env(spec);
    let mut env = Vec::new();
    if !names(&own, "WORKING_DIR") {
        env.push(json!({ "name": "WORKING_DIR", "value": SCRATCH }));
        if !names(&own, "HOME") {
            env.push(json!({ "name": "HOME", "value": SCRATCH }));
        }
    }
    env.extend(own);
    env
}

fn names(env: &[Value], name: &str) -> bool {
    env.iter().any(|variable| variable["name"] == name)
}

/// Volumes and their mounts, side by side.
fn storage(spec: &KubernetesSpec) -> (Vec<Value>, Vec<Value>) {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    let mut scratch = |name: &str, path: &str| {
        volumes.push(json!({ "name": name, "emptyDir": {} }));
        mounts.push(json!({ "name": name, "mountPath": path }));
    };
    scratch("delegate-tmp", "/tmp");
    if !names(&own_env(spec), "WORKING_DIR") {
        scratch("delegate-work", SCRATCH);
    }
    let mut mount = |name: &str, secret: &Option<String>, path: &str| {
        if let Some(secret) = secret {
            volumes.push(
                json!({ "name": name, "secret": { "secretName": secret, "defaultMode": SECRET_MODE } }),
            );
            mounts.push(json!({ "name": name, "mountPath": path, "readOnly": true }));
        }
    };
    mount("custom-ca", &spec.ca_secret, "/opt/harness-delegate/ca-bundle/");
    mount("client-certificate", &spec.mtls_secret, "/etc/mtls");
    (volumes, mounts)
}
