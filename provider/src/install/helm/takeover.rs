//! Taking over a release that somebody else made: by a `moved` block, an import, or `upgrade_install`.
//!
//! Nothing that runs is to be restarted by it. So, as long as the token that is given is the one in use, the release keeps
//! the way in which its pods get it; the first change of the token moves it into our Secret, and replaces the pods as any
//! change of a token does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delegate_core::config::{DelegateToken, TokenSource};
use delegate_core::install::kubernetes::TOKEN_KEY;
use serde_json::Value;

use super::{HelmError, HelmSpec, Record};
use crate::install::cluster::Connection;
use crate::install::kubernetes::secret::{Held, named};

/// Whether the pods of the release get the token as they did before.
///
/// # Errors
/// When the cluster cannot be asked for the token in use.
pub(super) async fn keeps_its_token(
    cluster: &Connection,
    spec: &HelmSpec,
    newest: Option<&Record>,
    held: &Held,
) -> Result<bool, HelmError> {
    let Some(record) = newest.filter(|record| record.info.status == "deployed") else {
        return Ok(false);
    };
    // Given anew is given anew, also when it is the same one.
    let as_before = !held.ours || (is_kept(held) && held.notes == spec.notes);
    if !as_before {
        return Ok(false);
    }
    let named = record.config["existingDelegateToken"]
        .as_str()
        .filter(|name| !name.is_empty());
    match (&spec.delegate.token_secret, &spec.delegate.config.token) {
        (Some(given), _) => Ok(named == Some(given)),
        (None, TokenSource::Inline(given)) => {
            let in_use = match named {
                Some(name) => in_secret(cluster, spec, name).await?,
                None => token(record.config["delegateToken"].as_str().unwrap_or_default()),
            };
            Ok(in_use.as_ref() == Some(given))
        }
        _ => Ok(false),
    }
}

/// Annotation of our Secret: the pods get the token as they did before the release was taken over.
const KEPT: &str = "harness-delegate/token-kept";

/// Writes that down.
pub(super) fn kept() -> (&'static str, String) {
    (KEPT, "true".to_owned())
}

/// Whether it is written down.
pub(super) fn is_kept(held: &Held) -> bool {
    held.annotations.contains_key(KEPT)
}

/// Whether Helm's record of the release holds the token itself.
pub(super) fn record_holds_token(values: &Value) -> bool {
    let given = |key: &str| values[key].as_str().is_some_and(|text| !text.is_empty());
    given("delegateToken") && !given("existingDelegateToken")
}

async fn in_secret(
    cluster: &Connection,
    spec: &HelmSpec,
    name: &str,
) -> Result<Option<DelegateToken>, HelmError> {
    let found = cluster.live(&named(name), spec.namespace()).await?;
    let text = found
        .as_ref()
        .and_then(|found| found.data["data"][TOKEN_KEY].as_str())
        .and_then(|text| BASE64.decode(text).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.as_deref().and_then(token))
}

fn token(text: &str) -> Option<DelegateToken> {
    text.parse().ok()
}
