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
mod observe;
mod program;
mod recovery;
mod release;
mod rights;
mod spec;
mod takeover;
mod values;

use std::time::Duration;

pub use error::HelmError;
pub use observe::{Observed, observe};
pub use program::Helm;
pub use release::Record;
use serde_json::Value;
pub use spec::{Chart, DEFAULT_HISTORY, HelmSpec, Login, Options};
use tokio_util::sync::CancellationToken;
use values::Delivery;
pub use values::{leaves_arguments_alone, overridden};

use super::cluster::Connection;
use super::kubernetes::secret::{self, Intent};
use super::kubernetes::{self, Until, WaitError, difference, namespace, until_no_pod};

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
    let delivery = Delivery::Secret { revision: "unknown" };
    let values = values::values(spec, delivery).map_err(HelmError::Values)?;
    let chart = chart::local(helm, &spec.chart, stop).await?;
    let text = helm.render(spec, &chart, &values, stop).await?;
    let objects = difference::objects(&text).map_err(HelmError::Values)?;
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
    let history = release::history(cluster, spec.namespace(), &spec.release).await?;
    let held = secret::read(cluster, spec.home()).await?;
    let may_take = !create || spec.options.takes_over() || held.is_unfinished();
    if !history.is_empty() && !may_take {
        return Err(HelmError::Foreign {
            release: spec.release.clone(),
            namespace: spec.namespace().to_owned(),
            context: cluster.context().to_owned(),
        });
    }
    recovery::nobody_is_at_it(spec, &history, &held)?;
    if !spec.create_namespace && !namespace::exists(cluster, spec.namespace(), stop).await? {
        return Err(HelmError::NoNamespace(spec.namespace().to_owned()));
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
    namespace::ensure(cluster, spec.home(), stop).await?;
    let operation = recovery::recover(cluster, helm, spec, history, stop).await?;
    let digest = chart::digest(&spec.chart).await;
    let mut further: Vec<_> = digest.map(|digest| (chart::DIGEST, digest)).into_iter().collect();
    further.extend(kept.then(takeover::kept));
    let wanted = secret::wanted(cluster, spec.home()).await?;
    let revision = wanted.revision.clone();
    let intent = Intent {
        operation,
        known: false,
        further: &further,
    };
    secret::apply(cluster, spec.home(), wanted, intent).await?;
    let delivery = Delivery::of(kept.then_some(&found), &revision);
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
    Ok(secret::complete(cluster, spec.home()).await?)
}

/// Waits until the release is as far as asked.
///
/// # Errors
/// When the time is over, with the reason as far as it can be found; when it was asked to stop.
pub async fn wait(
    cluster: &Connection,
    spec: &HelmSpec,
    until: Until,
    limit: Duration,
    stop: &CancellationToken,
) -> Result<(), WaitError<HelmError>> {
    let look = || async { Ok(observe(cluster, spec).await?.map(|seen| seen.workload)) };
    kubernetes::wait(cluster, &spec.delegate, until, limit, stop, look).await
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
    let selector = match release::history(cluster, spec.namespace(), &spec.release)
        .await?
        .last()
    {
        Some(record) => observe::selector_of(cluster, spec, record).await?,
        None => None,
    };
    helm.uninstall(cluster, spec.namespace(), &spec.release, stop)
        .await?;
    if let Some(selector) = selector {
        until_no_pod(cluster, spec.namespace(), &selector, stop).await?;
    }
    // Last of all: while it is there, an interrupted removal is found and completed.
    Ok(namespace::remove_with_secret(cluster, spec.home(), stop).await?)
}
