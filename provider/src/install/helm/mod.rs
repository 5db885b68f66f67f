//! A delegate as a Helm release.
//!
//! The chart is ours, embedded, or any other with the official value names. Helm itself is run as a program, because
//! that is what the release's owner will run next; but looking needs no Helm: the record of a release and its objects
//! are read through the API server. The token lives in a Secret of ours, which the release only names.
//!
//! May touch: the namespace (made when asked for, removed only when we made it and nothing is left in it), the Secret,
//! and what the chart renders. Every step can be repeated, also after a crash in the middle of Helm's own work.

mod chart;
mod error;
mod manifest;
mod observe;
mod program;
mod recovery;
mod release;
mod rights;
mod secret;
mod spec;
mod takeover;
mod values;
mod wait;

use aws_lc_rs::digest;
pub use error::HelmError;
pub use observe::{Observed, observe};
pub use program::Helm;
pub use release::Record;
use serde_json::Value;
pub use spec::{Chart, DEFAULT_HISTORY, HelmSpec, Login, Options};
use tokio_util::sync::CancellationToken;
use values::Delivery;
pub use values::overridden;
pub use wait::{Until, WaitError, wait};

use super::cluster::Connection;

/// Checks what can be checked before anything is changed: the program, the values, the chart.
///
/// # Errors
/// The first thing that would fail later.
pub async fn check(helm: &Helm, spec: &HelmSpec, stop: &CancellationToken) -> Result<(), HelmError> {
    rendered(helm, spec, stop).await.map(|_| ())
}

/// The chart, and what it renders to as far as the cluster has no say.
async fn rendered(
    helm: &Helm,
    spec: &HelmSpec,
    stop: &CancellationToken,
) -> Result<(chart::Local, Vec<Value>), HelmError> {
    let delivery = Delivery::Secret {
        name: &secret::name(spec),
        revision: "unknown",
    };
    let values = values::values(spec, delivery).map_err(HelmError::Values)?;
    let chart = chart::local(helm, &spec.chart, stop).await?;
    let text = helm.render(spec, &chart, &values, stop).await?;
    let objects = manifest::objects(&text).map_err(HelmError::Values)?;
    Ok((chart, objects))
}

/// Looks before anything is changed: [`check`], and whether the release is ours to change. `create` refuses a release that
/// somebody else installed, or that another Terraform state has, unless it is to be taken over.
///
/// # Errors
/// The first thing that would fail later.
pub async fn prepare(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    create: bool,
    stop: &CancellationToken,
) -> Result<Prepared, HelmError> {
    let (chart, objects) = rendered(helm, spec, stop).await?;
    let history = release::history(cluster, &spec.namespace, &spec.release).await?;
    let held = secret::read(cluster, spec).await?;
    let may_take = !create || spec.options.takes_over() || recovery::is_unfinished(&held);
    if !history.is_empty() && !may_take {
        return Err(HelmError::Foreign {
            release: spec.release.clone(),
            namespace: spec.namespace.clone(),
            context: cluster.context().to_owned(),
        });
    }
    recovery::nobody_is_at_it(spec, &history, &held)?;
    if !spec.create_namespace && cluster.namespace(&spec.namespace).await?.is_none() {
        return Err(HelmError::NoNamespace(spec.namespace.clone()));
    }
    let kept = takeover::keeps_its_token(cluster, spec, history.last(), &held).await?;
    Ok(Prepared {
        history,
        chart,
        objects,
        kept,
    })
}

/// A release that may be installed.
pub struct Prepared {
    history: Vec<Record>,
    chart: chart::Local,
    objects: Vec<Value>,
    /// Whether the pods go on with the token as they get it now.
    kept: bool,
}

impl Prepared {
    /// Whether Helm's record of the release will go on to hold the token, because the release was taken over with it.
    pub fn leaves_token_in_record(&self) -> bool {
        let newest = self.history.last();
        self.kept && newest.is_some_and(|record| takeover::record_holds_token(&record.config))
    }
}

/// Installs the release, or brings it to `spec`.
///
/// # Errors
/// The first step that failed; everything before it stays, and the next call goes on from there.
pub async fn install(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    prepared: Prepared,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    let Prepared {
        history,
        chart,
        objects,
        kept,
    } = prepared;
    let found = history
        .last()
        .map(|record| record.config.clone())
        .unwrap_or_default();
    secret::ensure_namespace(cluster, spec, stop).await?;
    let operation = recovery::recover(cluster, helm, spec, history, stop).await?;
    let intent = secret::Intent {
        operation,
        kept,
        chart: chart::digest(&spec.chart).await,
    };
    let revision = secret::apply(cluster, spec, &intent).await?;
    let name = secret::name(spec);
    let delivery = Delivery::of(kept.then_some(&found), &name, &revision);
    let values = values::values(spec, delivery).map_err(HelmError::Values)?;
    rights::release_bindings(cluster, spec, &objects).await?;
    helm.upgrade(cluster, spec, &chart, &values, stop).await
}

/// Writes down that a Terraform state has the release. Until then a create takes it for one that a crash left behind, and
/// completes it.
///
/// # Errors
/// When the cluster refuses.
pub async fn complete(cluster: &Connection, spec: &HelmSpec) -> Result<(), HelmError> {
    secret::complete(cluster, spec).await
}

/// Removes the release and what was made for it; fine when there is none.
///
/// # Errors
/// When Helm or the cluster refuses; what is left is found by the next call.
pub async fn uninstall(
    cluster: &Connection,
    helm: &Helm,
    spec: &HelmSpec,
    stop: &CancellationToken,
) -> Result<(), HelmError> {
    let selector = match release::history(cluster, &spec.namespace, &spec.release)
        .await?
        .last()
    {
        Some(record) => observe::selector_of(cluster, spec, record).await?,
        None => None,
    };
    helm.uninstall(cluster, &spec.namespace, &spec.release, stop)
        .await?;
    if let Some(selector) = selector {
        wait::until_no_pod(cluster, &spec.namespace, &selector, stop).await?;
    }
    // Last of all: while it is there, an interrupted removal is found and completed.
    if !secret::remove_namespace(cluster, spec, stop).await? {
        secret::delete(cluster, spec).await?;
    }
    Ok(())
}

/// The first 16 hex digits of a SHA-256.
fn short_digest(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
