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
use super::{Helm, HelmError, HelmSpec, secret};
use crate::install::cluster::Connection;

/// How long somebody else's operation is given before it counts as interrupted: twice Helm's own default time limit.
pub(super) const FOREIGN_PENDING: Duration = Duration::from_mins(10);

/// Whether this provider installed the release: the Secret of its token says so.
///
/// Without a Secret of ours (the owner's own is used) the release's own values must name this very delegate.
pub(super) async fn is_ours(
    cluster: &Connection,
    spec: &HelmSpec,
    history: &[Record],
) -> Result<bool, HelmError> {
    if secret::read(cluster, spec).await?.ours {
        return Ok(true);
    }
    let names_us = |record: &Record| {
        record.config["accountId"] == spec.config.account_id.as_str()
            && record.config["delegateName"] == spec.config.name.as_str()
            && record.config["existingDelegateToken"] == json!(spec.token_secret)
    };
    Ok(spec.token_secret.is_some() && history.last().is_some_and(names_us))
}

/// Puts the history in order, so that `helm upgrade --install` works.
pub(super) async fn recover(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    mut history: Vec<Record>,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    if history
        .last()
        .is_some_and(|newest| newest.info.status == "uninstalling")
    {
        helm.uninstall(cluster, &spec.namespace, &spec.release, stop)
            .await?;
        return Ok(());
    }
    while let Some(newest) = history.pop_if(|newest| newest.is_pending()) {
        if is_recent(&newest) && !is_ours(cluster, spec, std::slice::from_ref(&newest)).await? {
            return Err(HelmError::Busy {
                release: spec.release.clone(),
                since: newest.info.last_deployed,
            });
        }
        forget(cluster, spec, &newest).await?;
    }
    // Only failed attempts: Helm calls that a release without a deployed revision and upgrades it no more.
    if history.iter().all(|record| record.info.status == "failed") {
        for record in &history {
            forget(cluster, spec, record).await?;
        }
    }
    Ok(())
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
    Ok(cluster.delete(&object, &spec.namespace).await?)
}
