//! The Secret that holds the token, and the namespace it lives in.
//!
//! Both are ours and not the chart's: so the token is in no Helm record, and the namespace exists before Helm runs. The
//! Secret also says whose the release is: which revision we asked Helm for, and whether some Terraform state is known to
//! have it. It is there, without a token, when the owner's own Secret is used. It is the first that comes and the last that
//! goes, so that whatever a crash leaves is found again.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::config::{EnvValue, TokenSource};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{HelmError, HelmSpec};
use crate::install::cluster::Connection;

/// Key of the token in the Secret, as both charts read it.
pub(super) const TOKEN_KEY: &str = "DELEGATE_TOKEN";

/// Marks what this provider made.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "terraform-provider-harness");

/// Names the release a Secret or namespace was made for.
const RELEASE: &str = "harness-delegate/release";

/// The revision that Helm was last asked to make; written before Helm is run.
const OPERATION: &str = "harness-delegate/operation";

/// The same number once a Terraform state is known to have the release.
const COMPLETE: &str = "harness-delegate/complete";

/// Says that the pods get the token as they did before the release was taken over.
const KEPT: &str = "harness-delegate/token-kept";

/// Digest of the chart of this machine that was installed.
const CHART: &str = "harness-delegate/chart-digest";

/// Between two looks at a namespace that goes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Facts of the owner stand under this prefix in the annotations.
const NOTE: &str = "harness-delegate/note-";

/// Kinds that make a namespace worth keeping: whatever runs, whatever holds data, whatever gives rights.
const INHABITANTS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
];

/// In every namespace, made by Kubernetes itself.
const FURNITURE: &[&str] = &["kube-root-ca.crt", "default"];

/// Name of our Secret.
pub(super) fn name(spec: &HelmSpec) -> String {
    format!("{}-delegate-token", spec.config.name)
}

/// What is known of the Secret that is there.
#[derive(Default)]
pub(super) struct Held {
    /// Changes with the Secret's content.
    pub(super) revision: Option<String>,
    /// Facts of the owner.
    pub(super) notes: BTreeMap<String, String>,
    /// Whether this provider made it for this release.
    pub(super) ours: bool,
    /// The revision that we last asked Helm to make.
    pub(super) operation: Option<u32>,
    /// Whether some Terraform state is known to have it.
    pub(super) complete: bool,
    /// Whether the pods get the token as they did before the release was taken over.
    pub(super) kept: bool,
    /// Digest of the chart of this machine that was installed.
    pub(super) chart: Option<String>,
}

/// What is written down before Helm is run.
pub(super) struct Intent {
    /// The revision that Helm is asked to make.
    pub(super) operation: u32,
    /// Whether the pods get the token as they did before the release was taken over.
    pub(super) kept: bool,
    /// Digest of the chart, when it is one of this machine.
    pub(super) chart: Option<String>,
}

/// Makes the namespace when it is missing and may be made. One that is being removed is waited for.
pub(super) async fn ensure_namespace(
    cluster: &Connection,
    spec: &HelmSpec,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    if let Some(found) = cluster.namespace(&spec.namespace).await? {
        if found.metadata.deletion_timestamp.is_none() {
            return Ok(());
        }
        until_gone(cluster, spec, stop).await?;
    }
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": spec.namespace,
            "labels": { MANAGED_BY.0: MANAGED_BY.1 },
            "annotations": { RELEASE: spec.release },
        },
    });
    cluster.apply(&namespace, "").await?;
    Ok(())
}

/// Waits until there is no such namespace; the caller bounds the time.
async fn until_gone(
    cluster: &Connection,
    spec: &HelmSpec,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    while cluster.namespace(&spec.namespace).await?.is_some() {
        tokio::select! {
            () = stop.cancelled() => {
                return Err(HelmError::Stopped { command: "the wait for the namespace to go".to_owned() });
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(())
}

/// Removes the namespace, and our Secret in it, when this provider made it and nobody else lives there any more; waits until
/// it is gone, because what comes next may want the name. Says whether it is gone.
pub(super) async fn remove_namespace(
    cluster: &Connection,
    spec: &HelmSpec,
    stop: &CancellationToken,
) -> Result<bool, HelmError> {
    let Some(namespace) = cluster.namespace(&spec.namespace).await? else {
        return Ok(true);
    };
    let labels = namespace.metadata.labels.unwrap_or_default();
    if !spec.create_namespace || labels.get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
        return Ok(false);
    }
    let ours = read(cluster, spec).await?.ours;
    let own = if ours { name(spec) } else { String::new() };
    for kind in INHABITANTS {
        let found = cluster.list(*kind, &spec.namespace, "").await?;
        let stays = |object: &DynamicObject| {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let ours = kind.1 == "Secret" && name == own;
            object.metadata.deletion_timestamp.is_none() && !FURNITURE.contains(&name) && !ours
        };
        if found.iter().any(stays) {
            return Ok(false);
        }
    }
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": spec.namespace } });
    cluster.delete(&object, "").await?;
    until_gone(cluster, spec, stop).await?;
    Ok(true)
}

/// Puts the token, and a proxy's login, into our Secret, with the revision that Helm is about to make. Returns what changes
/// with the content that the pods see.
pub(super) async fn apply(
    cluster: &Connection,
    spec: &HelmSpec,
    intent: &Intent,
) -> Result<String, HelmError> {
    let secrets: BTreeMap<&str, String> = spec
        .config
        .to_env()
        .into_iter()
        .filter_map(|(name, value)| match value {
            EnvValue::Secret(secret) => Some((name, BASE64.encode(secret.expose()))),
            EnvValue::Plain(_) => None,
        })
        .collect();
    if matches!(spec.config.token, TokenSource::Inline(_)) || spec.token_secret.is_some() {
        let mut annotations: BTreeMap<String, &str> = spec
            .notes
            .iter()
            .map(|(name, value)| (format!("{NOTE}{name}"), value.as_str()))
            .collect();
        let operation = intent.operation.to_string();
        annotations.insert(RELEASE.to_owned(), &spec.release);
        annotations.insert(OPERATION.to_owned(), &operation);
        if intent.kept {
            annotations.insert(KEPT.to_owned(), "true");
        }
        if let Some(digest) = &intent.chart {
            annotations.insert(CHART.to_owned(), digest);
        }
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name(spec), "labels": { MANAGED_BY.0: MANAGED_BY.1 }, "annotations": annotations },
            "type": "Opaque",
            "data": secrets,
        });
        cluster.apply(&object, &spec.namespace).await?;
    }
    Ok(read(cluster, spec).await?.revision.unwrap_or_default())
}

/// Looks at our Secret, and at the owner's own where that holds the token.
pub(super) async fn read(cluster: &Connection, spec: &HelmSpec) -> Result<Held, HelmError> {
    let found = cluster.live(&named(&name(spec)), &spec.namespace).await?;
    let token = match &spec.token_secret {
        Some(own) => cluster.live(&named(own), &spec.namespace).await?,
        None => found.clone(),
    };
    let content = |object: &DynamicObject| object.data["data"].clone();
    let mut data = token.as_ref().map(content);
    if let (Some(Value::Object(data)), Some(Value::Object(login))) = (&mut data, found.as_ref().map(content))
    {
        data.extend(login);
    }
    let mut held = Held {
        revision: data.as_ref().map(revision),
        ..Held::default()
    };
    let Some(found) = found else {
        return Ok(held);
    };
    let annotations = found.metadata.annotations.unwrap_or_default();
    let labels = found.metadata.labels.unwrap_or_default();
    held.ours = labels.get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1)
        && annotations.get(RELEASE) == Some(&spec.release);
    held.operation = annotations.get(OPERATION).and_then(|text| text.parse().ok());
    held.complete = annotations
        .get(OPERATION)
        .is_some_and(|asked| annotations.get(COMPLETE) == Some(asked));
    held.kept = annotations.contains_key(KEPT);
    held.chart = annotations.get(CHART).cloned();
    let notes = annotations
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(NOTE)?.to_owned(), value)));
    held.notes = notes.collect();
    Ok(held)
}

/// Writes down that a Terraform state has the release.
pub(super) async fn complete(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    let held = read(cluster, spec).await?;
    let Some(operation) = held.operation.filter(|_| held.ours) else {
        return Ok(());
    };
    let annotations = json!({ COMPLETE: operation.to_string() });
    Ok(cluster
        .annotate(&named(&name(spec)), &spec.namespace, &annotations)
        .await?)
}

/// Removes our Secret; one that is not ours stays, whatever its name.
pub(super) async fn delete(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    if read(cluster, spec).await?.ours {
        cluster.delete(&named(&name(spec)), &spec.namespace).await?;
    }
    Ok(())
}

pub(super) fn named(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } })
}

/// Tells one content from another and nothing else: keyed with the token itself, which is 128 random bits, so that not
/// even a weak proxy password can be guessed from it.
fn revision(data: &Value) -> String {
    let bytes = |value: &Value| {
        BASE64
            .decode(value.as_str().unwrap_or_default())
            .unwrap_or_default()
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes(&data[TOKEN_KEY]));
    let mut context = hmac::Context::with_key(&key);
    for (name, value) in data.as_object().into_iter().flatten() {
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(&bytes(value));
        context.update(&[0]);
    }
    super::short_digest(context.sign().as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::revision;

    #[test]
    fn the_revision_changes_with_any_part_of_the_secret() {
        let encode = |text: &str| super::BASE64.encode(text);
        let one = json!({ "DELEGATE_TOKEN": encode("a"), "PROXY_PASSWORD": encode("b") });
        let two = json!({ "DELEGATE_TOKEN": encode("a"), "PROXY_PASSWORD": encode("c") });
        let three = json!({ "DELEGATE_TOKEN": encode("x"), "PROXY_PASSWORD": encode("b") });
        assert_eq!(revision(&one), revision(&one.clone()));
        assert_ne!(revision(&one), revision(&two));
        assert_ne!(revision(&one), revision(&three));
    }

    use base64::Engine as _;
}
