//! What the delegate may do in the cluster.

use serde_json::{Value, json};

use super::{Installer, KubernetesSpec, object};

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";

/// The bindings of the delegate's service account, and the Role where there is none to bind to.
pub(super) fn objects(spec: &KubernetesSpec, installer: Installer<'_>) -> Vec<Value> {
    let name = spec.config.name.as_str();
    let binding = |kind: &str, own: &str, role_kind: &str, role: &str| {
        let content = json!({
            "roleRef": { "apiGroup": GROUP, "kind": role_kind, "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": spec.namespace }],
        });
        object(spec, installer, (VERSION, kind), own, content)
    };
    match spec.permissions.as_deref().unwrap_or("NAMESPACE_ADMIN") {
        "CLUSTER_ADMIN" => vec![binding(
            "ClusterRoleBinding",
            &format!("{name}-cluster-admin"),
            "ClusterRole",
            "cluster-admin",
        )],
        "CLUSTER_VIEWER" => vec![binding(
            "ClusterRoleBinding",
            &format!("{name}-cluster-viewer"),
            "ClusterRole",
            "view",
        )],
        "NAMESPACE_ADMIN" => {
            let own = format!("{name}-harness-namespace-admin");
            let all = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
            vec![
                object(spec, installer, (VERSION, "Role"), &own, all),
                binding("RoleBinding", &own, "Role", &own),
            ]
        }
        role => vec![binding(
            "RoleBinding",
            &format!("{name}-custom-roleBinding"),
            "Role",
            role,
        )],
    }
}
