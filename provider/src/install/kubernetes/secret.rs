//! The Secret that holds the token.
//!
//! It is ours and not the chart's: so the token is in no Helm record. It also says whose the installation is, which
//! operation on it was the last, and whether some Terraform state has it since; and whatever else an installer has to know
//! next time. It is there, without a token, when the owner's own Secret is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::config::TokenSource;
use delegate_core::install::kubernetes::{TOKEN_KEY, token_secret};
use serde_json::{Value, json};

use super::{Home, OURS, installer, is_ours, short_digest};
use crate::install::cluster::{ClusterError, Connection, Freshness};

/// The operation that was last begun, a number; written before anything else is done.
const OPERATION: &str = "harness-delegate/operation";

/// The same number once a Terraform state is known to have what came of it.
const COMPLETE: &str = "harness-delegate/complete";

/// Facts of the owner stand under this prefix in the annotations.
const NOTE: &str = "harness-delegate/note-";

/// What is known of the Secret that is there.
#[derive(Default)]
pub(in crate::install) struct Held {
    /// Whether there is a Secret of the name, whoever made it.
    pub(in crate::install) found: bool,
    /// Changes with the Secret's content.
    pub(in crate::install) revision: Option<String>,
    /// Facts of the owner.
    pub(in crate::install) notes: BTreeMap<String, String>,
    /// Whether this provider made it for this installation.
    pub(in crate::install) ours: bool,
    /// The operation that we last began: with Helm, the revision that it was asked to make.
    pub(in crate::install) operation: Option<u32>,
    /// Whether a Terraform state is known to have it since.
    pub(in crate::install) complete: bool,
    /// All annotations, with those of the installer.
    pub(in crate::install) annotations: BTreeMap<String, String>,
}

impl Held {
    /// Whether a create may go on with what is there: we began it, and no Terraform state is known to have it.
    pub(in crate::install) fn is_unfinished(&self) -> bool {
        self.ours && !self.complete
    }
}

/// The Secret as the settings want it.
pub(in crate::install) struct Wanted {
    object: Value,
    /// Changes with what the pods read from it, and from the owner's own.
    pub(in crate::install) revision: String,
}

/// What is written down before anything is done.
pub(in crate::install) struct Intent<'a> {
    /// The operation that is about to begin.
    pub(in crate::install) operation: u32,
    /// Whether a Terraform state is known to have the installation.
    pub(in crate::install) known: bool,
    /// Annotations of the installer.
    pub(in crate::install) further: &'a [(&'static str, String)],
}

/// The Secret as the settings want it, and what the pods will see of it. Settings that leave the token as it is keep what
/// is there.
pub(in crate::install) async fn wanted(cluster: &Connection, home: Home<'_>) -> Result<Wanted, ClusterError> {
    let delegate = home.delegate;
    let mut object = token_secret(delegate, installer(None));
    if matches!(delegate.config.token, TokenSource::Elsewhere) && delegate.token_secret.is_none() {
        let found = found(cluster, home).await?;
        if let Some(token) = found.as_ref().map(|found| &found["data"][TOKEN_KEY]) {
            object["data"][TOKEN_KEY] = token.clone();
        }
    }
    let data = with_own(&object["data"], own(cluster, home).await?);
    Ok(Wanted {
        revision: revision(&data),
        object,
    })
}

/// Puts the token, and a proxy's login, into our Secret, with what is about to be done.
pub(in crate::install) async fn apply(
    cluster: &Connection,
    home: Home<'_>,
    wanted: Wanted,
    intent: Intent<'_>,
) -> Result<(), ClusterError> {
    let mut annotations: BTreeMap<String, &str> = home
        .notes
        .iter()
        .map(|(name, value)| (format!("{NOTE}{name}"), value.as_str()))
        .collect();
    let operation = intent.operation.to_string();
    annotations.insert(home.marker.0.to_owned(), home.marker.1);
    annotations.insert(OPERATION.to_owned(), &operation);
    if intent.known {
        annotations.insert(COMPLETE.to_owned(), &operation);
    }
    let further = intent.further.iter();
    annotations.extend(further.map(|(name, value)| ((*name).to_owned(), value.as_str())));
    let mut object = wanted.object;
    object["metadata"]["annotations"] = json!(annotations);
    cluster.apply(&object, home.namespace()).await?;
    Ok(())
}

async fn found(cluster: &Connection, home: Home<'_>) -> Result<Option<Arc<Value>>, ClusterError> {
    let name = named(&home.delegate.own_secret());
    cluster
        .found(&name, home.namespace(), OURS, Freshness::Recent)
        .await
}

/// Content of the owner's own Secret, where that holds the token.
async fn own(cluster: &Connection, home: Home<'_>) -> Result<Option<Value>, ClusterError> {
    let Some(name) = &home.delegate.token_secret else {
        return Ok(None);
    };
    let own = cluster.live(&named(name), home.namespace()).await?;
    Ok(own.map(|own| own.data["data"].clone()))
}

/// What the pods see: ours over the owner's.
fn with_own(ours: &Value, own: Option<Value>) -> Value {
    let mut data = own.unwrap_or_else(|| json!({}));
    if let (Some(data), Some(ours)) = (data.as_object_mut(), ours.as_object()) {
        data.extend(ours.clone());
    }
    data
}

/// Looks at our Secret, and at the owner's own where that holds the token.
pub(in crate::install) async fn read(cluster: &Connection, home: Home<'_>) -> Result<Held, ClusterError> {
    let found = found(cluster, home).await?;
    let own = own(cluster, home).await?;
    // Without the token there is nothing to tell apart.
    let missing = own.is_none() && (found.is_none() || home.delegate.token_secret.is_some());
    let data = (!missing).then(|| {
        let ours = found.as_ref().map_or(&Value::Null, |found| &found["data"]);
        with_own(ours, own)
    });
    let mut held = Held {
        found: found.is_some(),
        revision: data.as_ref().map(revision),
        ..Held::default()
    };
    let Some(found) = found else {
        return Ok(held);
    };
    let annotations = found["metadata"]["annotations"].as_object();
    held.annotations = annotations
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let annotations = &held.annotations;
    held.ours = is_ours(&found) && annotations.get(home.marker.0).map(String::as_str) == Some(home.marker.1);
    held.operation = annotations.get(OPERATION).and_then(|text| text.parse().ok());
    held.complete = annotations
        .get(OPERATION)
        .is_some_and(|begun| annotations.get(COMPLETE) == Some(begun));
    let notes = annotations
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(NOTE)?.to_owned(), value.clone())));
    held.notes = notes.collect();
    Ok(held)
}

/// Writes down that a Terraform state has the installation.
pub(in crate::install) async fn complete(cluster: &Connection, home: Home<'_>) -> Result<(), ClusterError> {
    let held = read(cluster, home).await?;
    let Some(operation) = held.operation.filter(|_| held.ours && !held.complete) else {
        return Ok(());
    };
    annotate(cluster, home, &[(COMPLETE, operation.to_string())]).await
}

/// Writes down what an installer has to know next time.
pub(in crate::install) async fn annotate(
    cluster: &Connection,
    home: Home<'_>,
    further: &[(&'static str, String)],
) -> Result<(), ClusterError> {
    let annotations: BTreeMap<&str, &str> = further
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let name = named(&home.delegate.own_secret());
    cluster
        .annotate(&name, home.namespace(), &json!(annotations))
        .await
}

/// Removes our Secret; one that is not ours stays, whatever its name.
pub(in crate::install) async fn delete(cluster: &Connection, home: Home<'_>) -> Result<(), ClusterError> {
    if read(cluster, home).await?.ours {
        cluster
            .delete(&named(&home.delegate.own_secret()), home.namespace())
            .await?;
    }
    Ok(())
}

pub(in crate::install) fn named(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } })
}

/// Tells one content from another and nothing else: keyed with the token itself, which is 128 random bits, so that not
/// even a weak proxy password can be guessed from it. It begins with a letter because charts write it without quotes, and
/// one digest in a thousand is a number to some readers of YAML (`0929e04257463765`).
fn revision(data: &Value) -> String {
    let bytes = |value: &Value| {
        BASE64
            .decode(value.as_str().unwrap_or_default())
            .unwrap_or_default()
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes(&data[TOKEN_KEY]));
    let mut context = hmac::Context::with_key(&key);
    // Sorted, as the API server gives it back.
    let sorted: BTreeMap<&String, &Value> = data.as_object().into_iter().flatten().collect();
    for (name, value) in sorted {
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(&bytes(value));
        context.update(&[0]);
    }
    format!("r{}", short_digest(context.sign().as_ref()))
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
        assert!(revision(&one).starts_with('r'), "no number, whatever the digest");
    }

    use base64::Engine as _;
}
