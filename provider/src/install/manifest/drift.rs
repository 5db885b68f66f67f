//! What somebody has changed.
//!
//! Every field that was applied is compared with the live object, which a shared list has. Where the two differ, the API
//! server is asked what an apply would make of it, because it alone knows that `1000m` and `1` are the same: no change
//! there is no drift.

use std::sync::Arc;

use futures_util::future::try_join_all;
use serde_json::Value;

use super::inventory::{Inventory, is_as_rendered};
use super::{ManifestError, ManifestSpec, apply};
use crate::install::cluster::{Apply, ClusterError, Connection, title};
use crate::install::kubernetes::difference::differences;
use crate::install::kubernetes::is_ours;
use crate::install::kubernetes::secret::Held;

/// One short line a difference, without secrets; none when the place is as it was made.
pub(super) async fn lines(
    cluster: &Connection,
    spec: &ManifestSpec,
    held: &Held,
    rendered: &[Value],
    live: &[Option<Arc<Value>>],
) -> Result<Vec<String>, ManifestError> {
    let pairs = rendered.iter().zip(live);
    let found = pairs.map(|(wanted, live)| of_object(cluster, spec, wanted, live.as_deref()));
    let mut lines: Vec<String> = try_join_all(found).await?.concat();
    if !held.ours {
        let whose = if held.found {
            "was not made for this resource"
        } else {
            "is missing"
        };
        lines.push(format!("Secret/{} {whose}", spec.delegate.own_secret()));
        return Ok(lines);
    }
    for id in Inventory::of(held)
        .without(&Inventory::of_objects(rendered))
        .iter()
    {
        let object = id.object();
        let found = apply::existing(cluster, spec, &object).await?;
        if found.is_some_and(|found| is_ours(&found)) {
            lines.push(format!("{} is left over from an earlier apply", title(&object)));
        }
    }
    if lines.is_empty() && !is_as_rendered(held, rendered) {
        lines.push(
            "the objects were made by another version of the provider, or with other settings".to_owned(),
        );
    }
    Ok(lines)
}

async fn of_object(
    cluster: &Connection,
    spec: &ManifestSpec,
    wanted: &Value,
    live: Option<&Value>,
) -> Result<Vec<String>, ManifestError> {
    let lines = differences(wanted, live);
    let Some(live) = live.filter(|_| !lines.is_empty()) else {
        return Ok(lines);
    };
    match cluster
        .apply_as(wanted, spec.namespace(), Apply::WouldForce)
        .await
    {
        Ok(applied) if content(&applied) == content(live) => Ok(Vec::new()),
        // What cannot be applied differs all the same: a reader without the right to change, a binding to another role.
        Ok(_) | Err(ClusterError::Refused { .. }) => Ok(lines),
        Err(error) => Err(error.into()),
    }
}

/// An object without what the API server keeps for itself.
fn content(object: &Value) -> Value {
    let mut content = object.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = content["metadata"].as_object_mut() {
        for name in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(name);
        }
    }
    content
}
