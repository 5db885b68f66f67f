//! Waiting for a delegate to become what was asked for, and saying why when it does not.

use std::time::Duration;

use delegate_core::install::kubernetes::KubernetesSpec;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Workload;
use crate::install::cluster::{ClusterError, Connection, PodReport, events_of, pods_of, troubles_of};

/// Between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Longest wait for the pods of a removed delegate: a drain of the chart's default grace period, and a little.
const GONE_LIMIT: Duration = Duration::from_secs(630);

/// How far to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Not at all.
    Installed,
    /// Until Kubernetes calls the pods ready.
    Ready,
    /// Until every delegate says of itself that it is connected to its manager, in a pod that is ready too: it connects
    /// sooner than Kubernetes looks at it.
    Connected,
}

/// Why the wait ended without success; `E` is why the installation could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum WaitError<E> {
    /// The time was over.
    #[error("{0}")]
    TimedOut(String),
    /// It was asked to stop.
    #[error(
        "interrupted while waiting for the delegate; what was installed is kept, and the next apply goes on from there"
    )]
    Stopped,
    /// Looking failed.
    #[error(transparent)]
    Looking(#[from] E),
}

/// Waits until the delegate is as far as asked. `look` says how its pods fare; `None` when it is not there.
///
/// # Errors
/// When the time is over, with the state, the events and the last log lines of the pods; when it was asked to stop.
pub(in crate::install) async fn wait<E, F: Future<Output = Result<Option<Workload>, E>>>(
    cluster: &Connection,
    delegate: &KubernetesSpec,
    until: Until,
    limit: Duration,
    stop: &CancellationToken,
    look: impl Fn() -> F,
) -> Result<(), WaitError<E>> {
    if until == Until::Installed {
        return Ok(());
    }
    let deadline = Instant::now() + limit;
    loop {
        let seen = tokio::select! {
            () = stop.cancelled() => return Err(WaitError::Stopped),
            seen = look() => seen?,
        };
        if seen.as_ref().is_some_and(|seen| seen.reached(until)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(tokio::select! {
                () = stop.cancelled() => WaitError::Stopped,
                text = why_not(cluster, delegate, seen.as_ref(), until, limit) => WaitError::TimedOut(text),
            });
        }
        tokio::select! {
            () = stop.cancelled() => return Err(WaitError::Stopped),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The text of a wait that failed: what was awaited, what is there, and where to look.
async fn why_not(
    cluster: &Connection,
    delegate: &KubernetesSpec,
    seen: Option<&Workload>,
    until: Until,
    limit: Duration,
) -> String {
    let goal = match until {
        Until::Installed => "installed",
        Until::Ready => "ready",
        Until::Connected => "connected to its manager",
    };
    let (name, namespace) = (&delegate.config.name, &delegate.namespace);
    let mut text = format!(
        "the delegate {name} in the namespace {namespace} was not {goal} within {} s",
        limit.as_secs()
    );
    let Some(seen) = seen else {
        return format!("{text}: it is not there");
    };
    let count =
        |fits: fn(&PodReport) -> bool| seen.pods.iter().filter(|pod| !pod.leaving && fits(pod)).count();
    text.push_str(&format!(
        ": {} of {} pods are ready, {} say that they are connected",
        count(|pod| pod.ready),
        seen.replicas,
        count(|pod| pod.connected == Some(true)),
    ));
    if until == Until::Connected && count(|pod| pod.ready) > 0 {
        text.push_str(&format!(
            "; check that {} can be reached from the pods and that the token is valid",
            delegate.config.manager_url
        ));
    }
    if let Some(selector) = seen.selector.as_ref().filter(|_| seen.pods.is_empty()) {
        // No pod at all: the reason (a quota, an admission hook) is told to the ReplicaSet.
        let sets = cluster
            .list(("apps/v1", "ReplicaSet"), namespace, selector)
            .await
            .unwrap_or_default();
        for name in sets.into_iter().filter_map(|set| set.metadata.name) {
            for line in events_of(cluster, namespace, &name).await {
                text.push_str(&format!("\n  event of {name}: {line}"));
            }
        }
    }
    text.push_str(&troubles_of(cluster, namespace, &seen.pods).await);
    text
}

/// Waits until no pod with these labels is left, so that a removed delegate has really drained.
pub(in crate::install) async fn until_no_pod(
    cluster: &Connection,
    namespace: &str,
    labels: &str,
    stop: &CancellationToken,
) -> Result<(), ClusterError> {
    let deadline = Instant::now() + GONE_LIMIT;
    while !pods_of(cluster, namespace, labels, 0).await?.is_empty() && Instant::now() < deadline {
        tokio::select! {
            () = stop.cancelled() => return Err(ClusterError::Stopped("the wait for the pods to drain".to_owned())),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    Ok(())
}
