//! The Secret that holds the token, and the namespace it lives in.
//!
//! Both are ours and not the chart's: so the token is in no Helm record, and the namespace exists before Helm runs.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::config::{EnvValue, TokenSource};
use serde_json::{Value, json};

use super::{HelmError, HelmSpec};
use crate::install::cluster::Connection;

/// Key of the token in the Secret, as both charts read it.
const TOKEN_KEY: &str = "DELEGATE_TOKEN";

/// Marks what this provider made.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "terraform-provider-harness");

/// Names the release a Secret or namespace was made for.
const RELEASE: &str = "harness-delegate/release";

/// Facts of the owner stand under this prefix in the annotations.
const NOTE: &str = "harness-delegate/note-";

/// Kinds that make a namespace worth keeping.
const INHABITANTS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "CronJob"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
];

/// In every namespace, made by Kubernetes itself.
const FURNITURE: &[&str] = &["kube-root-ca.crt"];

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
}

/// Makes the namespace when it is missing and may be made.
pub(super) async fn ensure_namespace(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    if cluster.namespace(&spec.namespace).await?.is_some() {
        return Ok(());
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

/// Removes the namespace when this provider made it and nobody lives there any more.
pub(super) async fn remove_namespace(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    let Some(namespace) = cluster.namespace(&spec.namespace).await? else {
        return Ok(());
    };
    let labels = namespace.metadata.labels.unwrap_or_default();
    if !spec.create_namespace || labels.get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
        return Ok(());
    }
    for kind in INHABITANTS {
        let found = cluster.list(*kind, &spec.namespace, "").await?;
        let name = |object: &kube::api::DynamicObject| object.metadata.name.clone().unwrap_or_default();
        if found
            .iter()
            .any(|object| !FURNITURE.contains(&name(object).as_str()))
        {
            return Ok(());
        }
    }
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": spec.namespace } });
    Ok(cluster.delete(&object, "").await?)
}

/// Puts the token, and a proxy's login, into our Secret. Returns what changes with its content.
pub(super) async fn apply(cluster: &Connection, spec: &HelmSpec) -> Result<String, HelmError> {
    let secrets: BTreeMap<&str, String> = spec
        .config
        .to_env()
        .into_iter()
        .filter_map(|(name, value)| match value {
            EnvValue::Secret(secret) => Some((name, BASE64.encode(secret.expose()))),
            EnvValue::Plain(_) => None,
        })
        .collect();
    if matches!(spec.config.token, TokenSource::Inline(_))
        || (spec.token_secret.is_some() && !secrets.is_empty())
    {
        let mut annotations: BTreeMap<String, &str> = spec
            .notes
            .iter()
            .map(|(name, value)| (format!("{NOTE}{name}"), value.as_str()))
            .collect();
        annotations.insert(RELEASE.to_owned(), &spec.release);
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

/// Looks at the Secret that the pods use: ours, or the owner's own.
pub(super) async fn read(cluster: &Connection, spec: &HelmSpec) -> Result<Held, HelmError> {
    let own = name(spec);
    let name = spec.token_secret.as_deref().unwrap_or(&own);
    let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
    let Some(found) = cluster.live(&object, &spec.namespace).await? else {
        return Ok(Held::default());
    };
    let annotations = found.metadata.annotations.clone().unwrap_or_default();
    let labels = found.metadata.labels.clone().unwrap_or_default();
    let notes = annotations
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(NOTE)?.to_owned(), value.clone())));
    Ok(Held {
        revision: Some(revision(&found.data["data"])),
        notes: notes.collect(),
        ours: labels.get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1)
            && annotations.get(RELEASE) == Some(&spec.release),
    })
}

/// Removes our Secret; the owner's own stays.
pub(super) async fn delete(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name(spec) } });
    Ok(cluster.delete(&object, &spec.namespace).await?)
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
