//! The pods of a delegate: how they fare, what they say, whether they are connected.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::Api;
use kube::api::{ListParams, LogParams};

use super::{ClusterError, Connection};
use crate::install::connected::{METRICS_PATH, connected};

/// Lines of each pod's log that an error shows.
const LOG_LINES: i64 = 15;

/// Events of each pod that an error shows, newest last.
const EVENTS: usize = 8;

/// Pods that an error shows.
const PODS_SHOWN: usize = 3;

/// Longest wait for a pod's own answer. A delegate answers in milliseconds; a pod whose network has just gone never does, and
/// who waits for the delegate asks again.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How one pod fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodReport {
    /// Name of the pod.
    pub name: String,
    /// Whether Kubernetes calls it ready.
    pub ready: bool,
    /// Whether the delegate in it says that it is connected; `None` when it does not answer, or is on its way out and not asked.
    pub connected: Option<bool>,
    /// Phase, and why a container does not run.
    pub state: String,
    /// Whether the pod is on its way out: it drains, and no longer counts.
    pub leaving: bool,
}

/// The pods with these labels, each asked whether it is connected.
///
/// # Errors
/// When the API server cannot be reached or refuses. A pod that does not answer is no error.
pub async fn pods_of(
    cluster: &Connection,
    namespace: &str,
    labels: &str,
    port: u16,
) -> Result<Vec<PodReport>, ClusterError> {
    let api: Api<Pod> = cluster.typed(namespace);
    let params = ListParams::default().labels(labels);
    let pods = cluster
        .bounded(
            &format!("list the pods of the namespace {namespace}"),
            api.list(&params),
        )
        .await?;
    Ok(report_on(cluster, namespace, &pods.items, port).await)
}

/// These pods, each asked whether it is connected.
pub async fn report_on(cluster: &Connection, namespace: &str, pods: &[Pod], port: u16) -> Vec<PodReport> {
    join_all(pods.iter().map(|pod| report(cluster, namespace, pod, port))).await
}

async fn report(cluster: &Connection, namespace: &str, pod: &Pod, port: u16) -> PodReport {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    let mut state = status.phase.clone().unwrap_or_else(|| "Unknown".to_owned());
    for container in status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten()
    {
        state.push_str(&trouble(container));
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(reason) = unscheduled.and_then(|c| c.message.as_deref()) {
        let _ = write!(state, ", not scheduled: {reason}");
    }
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let running = status.phase.as_deref() == Some("Running");
    let connected = if running && !leaving {
        ask(cluster, namespace, &name, port).await
    } else {
        None
    };
    PodReport {
        name,
        ready,
        connected,
        state,
        leaving,
    }
}

/// Why a container does not run; empty when it does.
fn trouble(container: &ContainerStatus) -> String {
    let mut text = String::new();
    let state = container.state.clone().unwrap_or_default();
    if let Some(waiting) = state.waiting {
        let _ = write!(
            text,
            ", container {} waits: {}",
            container.name,
            waiting.reason.unwrap_or_default()
        );
        if let Some(message) = waiting.message {
            let _ = write!(text, " ({message})");
        }
    }
    let last = state
        .terminated
        .or_else(|| container.last_state.clone().and_then(|last| last.terminated));
    if let Some(ended) = last.filter(|ended| ended.exit_code != 0) {
        let reason = ended.reason.unwrap_or_default();
        let _ = write!(
            text,
            ", container {} ended with exit code {} ({reason})",
            container.name, ended.exit_code
        );
    }
    if container.restart_count > 0 {
        let _ = write!(text, ", {} restarts", container.restart_count);
    }
    text
}

/// Asks the delegate in a pod, through the API server, whether it is connected.
async fn ask(cluster: &Connection, namespace: &str, pod: &str, port: u16) -> Option<bool> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{METRICS_PATH}");
    let request = http::Request::get(path).body(Vec::new()).ok()?;
    let answer = cluster.bounded("ask a pod for its metrics", cluster.client.request_text(request));
    let answer = tokio::time::timeout(ANSWER_LIMIT, answer).await.ok()?;
    connected(&answer.ok()?)
}

/// What somebody needs to see when the pods do not come up: state, events, last log lines.
pub async fn troubles_of(cluster: &Connection, namespace: &str, pods: &[PodReport]) -> String {
    let mut text = String::new();
    for pod in pods.iter().filter(|pod| !pod.leaving).take(PODS_SHOWN) {
        let _ = writeln!(text, "\nPod {}: {}", pod.name, pod.state);
        for line in events_of(cluster, namespace, &pod.name).await {
            let _ = writeln!(text, "  event: {line}");
        }
        for line in log_of(cluster, namespace, &pod.name).await {
            let _ = writeln!(text, "  log: {line}");
        }
    }
    text
}

/// Events of an object, oldest first.
pub async fn events_of(cluster: &Connection, namespace: &str, name: &str) -> Vec<String> {
    let api: Api<Event> = cluster.typed(namespace);
    let params = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let Ok(mut events) = cluster.bounded("list events", api.list(&params)).await else {
        return Vec::new();
    };
    events
        .items
        .sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    let shown = events.items.len().saturating_sub(EVENTS);
    events.items[shown..]
        .iter()
        .map(|event| {
            let reason = event.reason.as_deref().unwrap_or_default();
            format!("{reason}: {}", event.message.as_deref().unwrap_or_default())
        })
        .collect()
}

async fn log_of(cluster: &Connection, namespace: &str, pod: &str) -> Vec<String> {
    let api: Api<Pod> = cluster.typed(namespace);
    let mut params = LogParams {
        tail_lines: Some(LOG_LINES),
        ..LogParams::default()
    };
    let now = cluster
        .bounded("read a pod's log", api.logs(pod, &params))
        .await
        .unwrap_or_default();
    // A container that has just been restarted says nothing yet; what the last one said is the reason.
    let text = if now.trim().is_empty() {
        params.previous = true;
        cluster
            .bounded("read a pod's last log", api.logs(pod, &params))
            .await
            .unwrap_or_default()
    } else {
        now
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(str::to_owned).collect()
}
