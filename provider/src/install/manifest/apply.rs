//! One object at a time: may it be applied, apply it, remove it.

use std::sync::Arc;

use delegate_core::install::kubernetes::NAME_LABEL;
use serde_json::Value;

use super::inventory::ObjectId;
use super::{ManifestError, ManifestSpec};
use crate::install::cluster::{Apply, ClusterError, Connection, Freshness, Owned, kind_of, name_of, title};
use crate::install::kubernetes::difference::differences;
use crate::install::kubernetes::{OURS, is_ours};

/// Whatever has the name of an object, from a list of all; of it, the metadata.
pub(super) async fn existing(
    cluster: &Connection,
    spec: &ManifestSpec,
    object: &Value,
) -> Result<Option<Arc<Value>>, ClusterError> {
    match cluster.named(kind_of(object), spec.namespace()).await {
        Ok(named) => Ok(named.get(name_of(object)).cloned()),
        Err(ClusterError::Refused { code: 403, .. }) => {
            cluster
                .found(object, spec.namespace(), OURS, Freshness::Recent)
                .await
        }
        Err(error) => Err(error),
    }
}

/// Tries to apply an object that is to be changed, without changing it.
///
/// # Errors
/// What an [`apply`] would end with.
pub(super) async fn check(
    cluster: &Connection,
    spec: &ManifestSpec,
    object: &Value,
) -> Result<(), ManifestError> {
    let live = cluster
        .found(object, spec.namespace(), OURS, Freshness::Recent)
        .await?;
    let Some(live) = live else { return Ok(()) };
    if differences(object, Some(&live)).is_empty() || binds_another_role(object, &live) {
        return Ok(());
    }
    match cluster.apply_as(object, spec.namespace(), Apply::Would).await {
        Err(ClusterError::Conflict { fields, .. }) => may_take_over(spec, object, fields),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

/// Makes an object be as given. A field that somebody changed once is set right; one that somebody applies is theirs.
pub(super) async fn apply(
    cluster: &Connection,
    spec: &ManifestSpec,
    object: &Value,
) -> Result<(), ManifestError> {
    let namespace = spec.namespace();
    match cluster.apply_as(object, namespace, Apply::Ask).await {
        Ok(_) => Ok(()),
        Err(ClusterError::Conflict { fields, .. }) => {
            may_take_over(spec, object, fields)?;
            cluster.apply_as(object, namespace, Apply::Force).await?;
            Ok(())
        }
        Err(refused @ ClusterError::Refused { code: 422, .. }) => {
            let live = cluster.found(object, namespace, OURS, Freshness::Recent).await?;
            if !live.is_some_and(|live| binds_another_role(object, &live)) {
                return Err(refused.into());
            }
            // A binding cannot be pointed at another role.
            cluster.delete(object, namespace).await?;
            cluster.apply_as(object, namespace, Apply::Ask).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn binds_another_role(object: &Value, live: &Value) -> bool {
    !object["roleRef"].is_null() && object["roleRef"] != live["roleRef"]
}

fn may_take_over(spec: &ManifestSpec, object: &Value, fields: Vec<Owned>) -> Result<(), ManifestError> {
    let applied: Vec<Owned> = fields.into_iter().filter(|field| field.applied).collect();
    if applied.is_empty() || spec.force_conflicts {
        return Ok(());
    }
    Err(ManifestError::Conflict {
        object: title(object),
        fields: applied,
    })
}

/// Removes an object that was applied for this delegate; one without any mark of that stays, whatever its name.
pub(super) async fn remove(
    cluster: &Connection,
    spec: &ManifestSpec,
    id: &ObjectId,
) -> Result<(), ManifestError> {
    let object = id.object();
    let found = cluster
        .found(&object, spec.namespace(), OURS, Freshness::Recent)
        .await?;
    let name = spec.delegate.config.name.as_str();
    match found {
        // Either label may have been taken off by hand.
        Some(found) if is_ours(&found) || found["metadata"]["labels"][NAME_LABEL] == name => {
            Ok(cluster.delete(&object, spec.namespace()).await?)
        }
        _ => Ok(()),
    }
}
