//! Objects of any kind: apply, get, delete.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PropagationPolicy,
};
use kube::discovery::{self, Scope};
use serde_json::Value;

use super::{ClusterError, Connection, chain};

/// Name under which the API server keeps what we set.
pub const FIELD_MANAGER: &str = "terraform-provider-harness";

/// Kinds that a delegate's charts are made of: `(kind, plural, namespaced)`. Any other is looked up at the API server.
const KNOWN_KINDS: &[(&str, &str, bool)] = &[
    ("ClusterRole", "clusterroles", false),
    ("ClusterRoleBinding", "clusterrolebindings", false),
    ("ConfigMap", "configmaps", true),
    ("CronJob", "cronjobs", true),
    ("DaemonSet", "daemonsets", true),
    ("Deployment", "deployments", true),
    ("HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("Ingress", "ingresses", true),
    ("Job", "jobs", true),
    ("Namespace", "namespaces", false),
    ("NetworkPolicy", "networkpolicies", true),
    ("PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("Pod", "pods", true),
    ("PodDisruptionBudget", "poddisruptionbudgets", true),
    ("ReplicaSet", "replicasets", true),
    ("Role", "roles", true),
    ("RoleBinding", "rolebindings", true),
    ("Secret", "secrets", true),
    ("Service", "services", true),
    ("ServiceAccount", "serviceaccounts", true),
    ("StatefulSet", "statefulsets", true),
];

impl Connection {
    /// Makes an object be as given, by server-side apply under our field manager; takes over fields of others, because
    /// what is applied here is ours by name.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn apply(&self, object: &Value, namespace: &str) -> Result<DynamicObject, ClusterError> {
        let (api, name) = self.api_of(object, namespace).await?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let action = format!("apply {}", title(object));
        self.bounded(&action, api.patch(&name, &params, &Patch::Apply(object)))
            .await
    }

    /// The live form of an object; `None` when there is none.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses: that is not the same as nothing there.
    pub async fn live(&self, object: &Value, namespace: &str) -> Result<Option<DynamicObject>, ClusterError> {
        let (api, name) = self.api_of(object, namespace).await?;
        let action = format!("get {}", title(object));
        self.bounded(&action, api.get_opt(&name)).await
    }

    /// Sets annotations of an object and leaves everything else as it is.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses, also when there is no such object.
    pub async fn annotate(
        &self,
        object: &Value,
        namespace: &str,
        annotations: &Value,
    ) -> Result<(), ClusterError> {
        let (api, name) = self.api_of(object, namespace).await?;
        let patch = Patch::Merge(serde_json::json!({ "metadata": { "annotations": annotations } }));
        let (action, params) = (format!("annotate {}", title(object)), PatchParams::default());
        self.bounded(&action, api.patch(&name, &params, &patch))
            .await
            .map(|_| ())
    }

    /// Deletes an object; fine when there is none. It is out of sight at once, what it owns follows.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn delete(&self, object: &Value, namespace: &str) -> Result<(), ClusterError> {
        let (api, name) = self.api_of(object, namespace).await?;
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match self
            .bounded(&format!("delete {}", title(object)), api.delete(&name, &params))
            .await
        {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Objects of a kind with these labels.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn list(
        &self,
        (api_version, kind): (&str, &str),
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let sample =
            serde_json::json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "" } });
        let (api, _) = self.api_of(&sample, namespace).await?;
        let params = ListParams::default().labels(labels);
        let action = format!("list {kind} objects in the namespace {namespace}");
        Ok(self.bounded(&action, api.list(&params)).await?.items)
    }

    /// Objects of a kind with these labels, in all namespaces.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn list_everywhere(
        &self,
        (api_version, kind): (&str, &str),
        labels: &str,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let known = KNOWN_KINDS.iter().find(|(known, ..)| *known == kind);
        let resource = match known {
            Some((_, plural, _)) => ApiResource::from_gvk_with_plural(&gvk, plural),
            None => ApiResource::from_gvk(&gvk),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let params = ListParams::default().labels(labels);
        let action = format!("list {kind} objects in all namespaces");
        Ok(self.bounded(&action, api.list(&params)).await?.items)
    }

    /// A typed API of a namespace, for what has a Rust type.
    pub(super) fn typed<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType: Default>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Whether a namespace exists.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn namespace(&self, name: &str) -> Result<Option<Namespace>, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        self.bounded(&format!("get the namespace {name}"), api.get_opt(name))
            .await
    }

    async fn api_of(
        &self,
        object: &Value,
        namespace: &str,
    ) -> Result<(Api<DynamicObject>, String), ClusterError> {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let gvk = GroupVersionKind::gvk(group, version, &kind);
        let known = KNOWN_KINDS.iter().find(|(known, ..)| *known == kind);
        let (resource, namespaced) = if let Some((_, plural, namespaced)) = known {
            (ApiResource::from_gvk_with_plural(&gvk, plural), *namespaced)
        } else {
            let (resource, found) = discovery::pinned_kind(&self.client, &gvk)
                .await
                .map_err(|error| {
                    let (server, cause) = (&self.server, chain(&error));
                    ClusterError::Target(format!(
                        "the cluster {server} does not know the kind {kind} of {api_version}: {cause}"
                    ))
                })?;
            (resource, found.scope == Scope::Namespaced)
        };
        let own = text("/metadata/namespace");
        let namespace = if own.is_empty() { namespace } else { &own };
        let api = if namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        };
        Ok((api, name))
    }
}

/// `Kind/name`, as users know an object.
pub fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{}/{}", text("/kind"), text("/metadata/name"))
}
