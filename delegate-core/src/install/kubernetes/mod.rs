//! A delegate in Kubernetes, as data: the settings of one, the objects they come to, and the values that make the embedded
//! chart come to the same objects.
//!
//! [`objects`] and [`values`] are two writings of one [`KubernetesSpec`]; a test holds `helm template` of the chart with the
//! one against the other, object by object. Nothing here does I/O, and nothing here ever holds the token: objects name the
//! Secret that holds it, which only [`token_secret`] writes.

mod deployment;
mod rights;
mod settings;
mod values;
pub mod yaml;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
pub use deployment::{SCRATCH, default_image, default_resources};
use serde_json::{Map, Value, json};
pub use values::{ChartKind, REVISION_ANNOTATION, values, values_without_token};

use crate::config::{DelegateConfig, EnvValue};

/// Key under which the charts, and the objects here, read the token from a Secret.
pub const TOKEN_KEY: &str = "DELEGATE_TOKEN";

/// Label that says what made an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Label that every object of a delegate and its pods have; its value is the delegate's name.
pub const NAME_LABEL: &str = "harness.io/name";

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct KubernetesSpec {
    /// Settings of the delegate. Its name must be a DNS label: it names the objects.
    pub config: DelegateConfig,
    /// Namespace of everything that has one.
    pub namespace: String,
    /// Image of the delegate; `harness-delegate` of this version when absent.
    pub image: Option<String>,
    /// Pods.
    pub replicas: u32,
    /// `CLUSTER_ADMIN`, `CLUSTER_VIEWER`, `NAMESPACE_ADMIN` (when absent), or the name of a Role in the namespace.
    pub permissions: Option<String>,
    /// Kubernetes resources of the container; [the chart's](default_resources) when absent.
    pub resources: Option<Value>,
    /// Further variables of the owner.
    pub env: BTreeMap<String, String>,
    /// Secret with the client certificate, `client.crt` and `client.key`.
    pub mtls_secret: Option<String>,
    /// Secret with extra authorities.
    pub ca_secret: Option<String>,
    /// Secret of the owner that holds the token, instead of [ours](KubernetesSpec::own_secret).
    pub token_secret: Option<String>,
}

impl KubernetesSpec {
    /// Name of the Secret that is made for the delegate.
    pub fn own_secret(&self) -> String {
        format!("{}-delegate-token", self.config.name)
    }

    /// Name of the Secret that holds the token.
    pub fn secret_with_token(&self) -> String {
        self.token_secret.clone().unwrap_or_else(|| self.own_secret())
    }

    /// Port of health and metrics in the pods. The objects and both charts have it fixed; a variable of the owner can move it
    /// all the same, and then the probes find nothing.
    pub fn http_port(&self) -> u16 {
        let given = self.env.get("DELEGATE_HTTP_PORT");
        given
            .and_then(|port| port.parse().ok())
            .unwrap_or(self.config.http_port)
    }

    /// The label selector of the pods, as a query.
    pub fn pod_selector(&self) -> String {
        let labels = self.selector_labels();
        let pairs: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        pairs.join(",")
    }

    fn selector_labels(&self) -> Map<String, Value> {
        let name = json!(self.config.name.as_str());
        ["app.kubernetes.io/instance", "app.kubernetes.io/name", NAME_LABEL]
            .into_iter()
            .map(|label| (label.to_owned(), name.clone()))
            .collect()
    }
}

/// What is not the delegate's own setting: who installs, and what the token is at the moment.
#[derive(Debug, Clone, Copy)]
pub struct Installer<'a> {
    /// Value of the label `app.kubernetes.io/managed-by`.
    pub managed_by: &'a str,
    /// Anything that changes with the Secret of the token: it is put on the pods, which are replaced by a change.
    pub secret_revision: Option<&'a str>,
}

/// The objects of a delegate, in the order in which they are to be made: what the pods read comes before the pods. The
/// namespace and the Secret of the token are not among them.
pub fn objects(spec: &KubernetesSpec, installer: Installer<'_>) -> Vec<Value> {
    let name = spec.config.name.as_str();
    let mut objects = vec![object(spec, installer, ("v1", "ServiceAccount"), name, json!({}))];
    objects.push(object(
        spec,
        installer,
        ("v1", "ConfigMap"),
        name,
        json!({ "data": settings::of_delegate(spec) }),
    ));
    let proxy = settings::of_proxy(spec);
    if !proxy.is_empty() {
        let name = format!("{name}-proxy");
        objects.push(object(
            spec,
            installer,
            ("v1", "ConfigMap"),
            &name,
            json!({ "data": proxy }),
        ));
    }
    objects.extend(rights::objects(spec, installer));
    objects.push(object(
        spec,
        installer,
        ("apps/v1", "Deployment"),
        name,
        json!({ "spec": deployment::spec(spec, installer) }),
    ));
    objects
}

/// Our own Secret, with everything of the settings that must not be shown: the token when it is among them, and the login
/// of a proxy. The value is for the API server, or for a file that only its owner reads.
pub fn token_secret(spec: &KubernetesSpec, installer: Installer<'_>) -> Value {
    let data: Map<String, Value> = spec
        .config
        .to_env()
        .into_iter()
        .filter_map(|(name, value)| match value {
            EnvValue::Secret(secret) => Some((name.to_owned(), json!(BASE64.encode(secret.expose())))),
            EnvValue::Plain(_) => None,
        })
        .collect();
    object(
        spec,
        installer,
        ("v1", "Secret"),
        &spec.own_secret(),
        json!({ "type": "Opaque", "data": data }),
    )
}

/// An object with the labels that all of a delegate's have.
fn object(
    spec: &KubernetesSpec,
    installer: Installer<'_>,
    (api_version, kind): (&str, &str),
    name: &str,
    content: Value,
) -> Value {
    let mut labels = spec.selector_labels();
    labels.insert(MANAGED_BY_LABEL.to_owned(), json!(installer.managed_by));
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": name, "namespace": spec.namespace, "labels": labels },
    });
    if kind.starts_with("Cluster") {
        object["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.shift_remove("namespace"));
    }
    if let (Some(object), Value::Object(content)) = (object.as_object_mut(), content) {
        object.extend(content);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenSource;

    fn spec() -> KubernetesSpec {
        let token = TokenSource::Inline("000102030405060708090a0b0c0d0e0f".parse().unwrap());
        let url = "https://manager.example".parse().unwrap();
        KubernetesSpec {
            config: DelegateConfig::new("acc".parse().unwrap(), "team-a".parse().unwrap(), token, url),
            namespace: "ns".into(),
            image: None,
            replicas: 1,
            permissions: None,
            resources: None,
            env: BTreeMap::new(),
            mtls_secret: None,
            ca_secret: None,
            token_secret: None,
        }
    }

    const INSTALLER: Installer<'_> = Installer {
        managed_by: "tests",
        secret_revision: Some("1"),
    };

    #[test]
    fn the_token_is_in_its_secret_and_nowhere_else() {
        let spec = spec();
        let (hex, inner) = (
            "000102030405060708090a0b0c0d0e0f",
            BASE64.encode("000102030405060708090a0b0c0d0e0f"),
        );
        let everything = format!(
            "{:?}{}",
            objects(&spec, INSTALLER),
            values(&spec, ChartKind::Ours, Some("1"))
        );
        assert!(!everything.contains(hex) && !everything.contains(&inner));
        let secret = token_secret(&spec, INSTALLER);
        let data = secret["data"][TOKEN_KEY].as_str().unwrap();
        assert!(!data.is_empty());
        assert_eq!(secret["metadata"]["name"], "team-a-delegate-token");
    }

    #[test]
    fn what_the_pods_read_comes_before_them() {
        let kinds: Vec<String> = objects(&spec(), INSTALLER)
            .iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            kinds,
            ["ServiceAccount", "ConfigMap", "Role", "RoleBinding", "Deployment"]
        );
    }

    #[test]
    fn objects_of_the_whole_cluster_have_no_namespace() {
        let mut spec = spec();
        spec.permissions = Some("CLUSTER_VIEWER".into());
        let objects = objects(&spec, INSTALLER);
        let binding = objects
            .iter()
            .find(|object| object["kind"] == "ClusterRoleBinding")
            .unwrap();
        assert_eq!(binding["metadata"].get("namespace"), None);
        assert_eq!(binding["subjects"][0]["namespace"], "ns");
    }
}
