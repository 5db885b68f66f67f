//! Objects of any kind: apply, get, list, delete.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PartialObjectMeta,
    Patch, PatchParams, PropagationPolicy,
};
use kube::discovery::{self, Scope};
use serde_json::Value;
use tokio::time::Instant;

use super::reads::{Key, Listed, VALIDITY};
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

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// Fields that others have set to something else are taken over.
    Force,
    /// They are a conflict.
    Ask,
    /// As `Ask`, and nothing is changed.
    Would,
    /// As `Force`, and nothing is changed.
    WouldForce,
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy)]
pub enum Freshness {
    /// As old as one refresh of many delegates takes.
    Recent,
    /// Asked for after this call.
    Now,
}

impl Freshness {
    fn since(self) -> Instant {
        let now = Instant::now();
        match self {
            Self::Recent => now.checked_sub(VALIDITY).unwrap_or(now),
            Self::Now => now,
        }
    }
}

impl Connection {
    /// Makes an object be as given, by server-side apply under our field manager; takes over fields of others, because
    /// what is applied here is ours by name.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn apply(&self, object: &Value, namespace: &str) -> Result<Arc<Value>, ClusterError> {
        self.apply_as(object, namespace, Apply::Force).await
    }

    /// Makes an object be as given, or says what would come of it. Returns it as it is then.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses; [`ClusterError::Conflict`] when somebody else has set one of the
    /// fields to something else and it is not to be taken over.
    pub async fn apply_as(
        &self,
        object: &Value,
        namespace: &str,
        how: Apply,
    ) -> Result<Arc<Value>, ClusterError> {
        let (api, name) = self.api_of(object, namespace).await?;
        let params = PatchParams {
            force: matches!(how, Apply::Force | Apply::WouldForce),
            dry_run: matches!(how, Apply::Would | Apply::WouldForce),
            ..PatchParams::apply(FIELD_MANAGER)
        };
        let verb = if params.dry_run { "try to apply" } else { "apply" };
        let action = format!("{verb} {}", title(object));
        let applied = self
            .bounded(&action, api.patch(&name, &params, &Patch::Apply(object)))
            .await?;
        let applied = Arc::new(plain(applied, kind_of(object)));
        if !params.dry_run {
            let namespace = namespace_of(object, namespace);
            self.reads
                .wrote(kind_of(object), &namespace, &name, Some(&applied));
        }
        Ok(applied)
    }

    /// The live form of an object, from a list that is shared: of the objects of its kind and namespace with the label. What
    /// that does not have is asked for when a list of all names has it, because a label can be taken off.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn found(
        &self,
        object: &Value,
        namespace: &str,
        selector: &'static str,
        freshness: Freshness,
    ) -> Result<Option<Arc<Value>>, ClusterError> {
        let listed = self.listed(kind_of(object), namespace, selector, freshness).await;
        match listed {
            Ok(listed) => {
                if let Some(found) = listed.get(name_of(object)) {
                    return Ok(Some(Arc::clone(found)));
                }
                let all = self.named(kind_of(object), namespace).await?;
                if !all.contains_key(name_of(object)) {
                    return Ok(None);
                }
            }
            // Whoever may not list may still get what it made.
            Err(ClusterError::Refused { code: 403, .. }) => {}
            Err(error) => return Err(error),
        }
        let live = self.live(object, namespace).await?;
        Ok(live.map(|live| Arc::new(plain(live, kind_of(object)))))
    }

    /// The objects of a kind with the label, by name, from a list that is shared.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn listed(
        &self,
        kind: (&str, &str),
        namespace: &str,
        selector: &'static str,
        freshness: Freshness,
    ) -> Result<Listed, ClusterError> {
        let key = key(kind, namespace, selector, true);
        let ask = async {
            let found = self.list(kind, &key.namespace, selector).await?;
            let named = |object: DynamicObject| {
                let name = object.metadata.name.clone().unwrap_or_default();
                (name, Arc::new(plain(object, kind)))
            };
            Ok(found.into_iter().map(named).collect())
        };
        self.reads.list(key.clone(), freshness.since(), ask).await
    }

    /// All objects of a kind, by name, from a list that is shared; of each only its metadata.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn named(&self, kind: (&str, &str), namespace: &str) -> Result<Listed, ClusterError> {
        let key = key(kind, namespace, "", false);
        let ask = async {
            let (api, _) = self.api_of(&sample(kind), &key.namespace).await?;
            let action = format!("list {} objects in the namespace {namespace}", kind.1);
            let found = self
                .bounded(&action, api.list_metadata(&ListParams::default()))
                .await?;
            let named = |mut object: PartialObjectMeta<DynamicObject>| {
                slim(&mut object.metadata);
                let name = object.metadata.name.clone().unwrap_or_default();
                (name, Arc::new(serde_json::json!({ "metadata": object.metadata })))
            };
            Ok(found.items.into_iter().map(named).collect())
        };
        self.reads.list(key.clone(), Freshness::Recent.since(), ask).await
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
        let annotated = self.bounded(&action, api.patch(&name, &params, &patch)).await?;
        let annotated = Arc::new(plain(annotated, kind_of(object)));
        let namespace = namespace_of(object, namespace);
        self.reads
            .wrote(kind_of(object), &namespace, &name, Some(&annotated));
        Ok(())
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
            _ => {
                let namespace = namespace_of(object, namespace);
                self.reads.wrote(kind_of(object), &namespace, &name, None);
                Ok(())
            }
        }
    }

    /// Objects of a kind with these labels.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub async fn list(
        &self,
        kind: (&str, &str),
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let (api, _) = self.api_of(&sample(kind), namespace).await?;
        let params = ListParams::default().labels(labels);
        let action = format!("list {} objects in the namespace {namespace}", kind.1);
        let mut found = self.bounded(&action, api.list(&params)).await?.items;
        for object in &mut found {
            slim(&mut object.metadata);
        }
        Ok(found)
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

/// `(apiVersion, kind)` of an object.
pub fn kind_of(object: &Value) -> (&str, &str) {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    (text("apiVersion"), text("kind"))
}

/// Name of an object.
pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn sample((api_version, kind): (&str, &str)) -> Value {
    serde_json::json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "" } })
}

fn is_namespaced(kind: &str) -> bool {
    let known = KNOWN_KINDS.iter().find(|(known, ..)| *known == kind);
    known.is_none_or(|(.., namespaced)| *namespaced)
}

/// Namespace of an object: its own, else the one that is looked at; empty when its kind has none.
fn namespace_of(object: &Value, namespace: &str) -> String {
    if !is_namespaced(kind_of(object).1) {
        return String::new();
    }
    let own = object["metadata"]["namespace"].as_str();
    own.filter(|own| !own.is_empty()).unwrap_or(namespace).to_owned()
}

fn key((api_version, kind): (&str, &str), namespace: &str, selector: &'static str, whole: bool) -> Key {
    Key {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: if is_namespaced(kind) {
            namespace.to_owned()
        } else {
            String::new()
        },
        selector,
        whole,
    }
}

/// Drops what is the larger half of an object in a list, and is asked for by nobody: who manages which field.
fn slim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
}

/// An object as JSON, with its kind, which the elements of a list lack.
fn plain(object: DynamicObject, (api_version, kind): (&str, &str)) -> Value {
    let mut object = serde_json::to_value(object).unwrap_or_default();
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object
}
