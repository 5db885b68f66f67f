//! After a crash: a release that Helm itself would refuse to touch is put in order first.
//!
//! Helm writes a revision as `pending-…` before it works and refuses every further operation while the newest one is
//! pending; and it refuses to upgrade a release that was never deployed. In both cases the record is all that is wrong:
//! the objects carry the release's name, so a fresh install adopts them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::release::Record;
use super::{Helm, HelmError, HelmSpec};
use crate::install::cluster::Connection;
use crate::install::kubernetes::secret::Held;

/// How long somebody else's operation is given before it counts as interrupted: twice Helm's own default time limit.
pub(super) const FOREIGN_PENDING: Duration = Duration::from_mins(10);

/// Refuses a release on which somebody else runs Helm right now. Our own operation is known by its revision; whoever ran
/// it is dead, or we would not be here.
pub(super) fn nobody_is_at_it(spec: &HelmSpec, history: &[Record], held: &Held) -> Result<(), HelmError> {
    let newest = history.last().filter(|newest| newest.is_pending());
    let Some(newest) = newest else { return Ok(()) };
    if is_recent(newest) && !(held.ours && held.operation == Some(newest.version)) {
        return Err(HelmError::Busy {
            release: spec.release.clone(),
            since: newest.info.last_deployed.clone(),
        });
    }
    Ok(())
}

/// Puts the history in order, so that `helm upgrade --install` works. Returns the revision that it will make.
pub(super) async fn recover(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    mut history: Vec<Record>,
    stop: &CancellationToken,
) -> Result<u32, HelmError> {
    let newest = history.last().map(|newest| newest.info.status.as_str());
    if newest == Some("uninstalling") {
        helm.uninstall(cluster, spec.namespace(), &spec.release, stop)
            .await?;
        return Ok(1);
    }
    while let Some(newest) = history.pop_if(|newest| newest.is_pending()) {
        forget(cluster, spec, &newest).await?;
    }
    // Only failed attempts: Helm calls that a release without a deployed revision and upgrades it no more.
    if history.iter().all(|record| record.info.status == "failed") {
        for record in history.drain(..) {
            forget(cluster, spec, &record).await?;
        }
    }
    Ok(history.last().map_or(1, |newest| newest.version + 1))
}

fn is_recent(record: &Record) -> bool {
    let Ok(since) = record.info.last_deployed.parse::<Timestamp>() else {
        return false;
    };
    let age = Timestamp::now().duration_since(since);
    age.unsigned_abs() < FOREIGN_PENDING
}

async fn forget(cluster: &Connection, spec: &HelmSpec, record: &Record) -> Result<(), HelmError> {
    let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": record.secret } });
    Ok(cluster.delete(&object, spec.namespace()).await?)
}
