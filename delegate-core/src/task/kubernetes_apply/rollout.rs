//! Whether what was applied is rolled out; and if not, why.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::kubectl::Kubectl;
use super::object::{Id, Objects};
use crate::task::Level;
use crate::task::halt::Halt;
use crate::task::said::quoted;

/// Pods that are looked at when they are not ready: the next ones have the same trouble.
const MAX_PODS: usize = 5;

/// Last lines of a container that are shown.
const LOG_LINES: &str = "--tail=10";

/// Last warnings of the API server that are shown.
const MAX_EVENTS: usize = 5;

/// Waits until all of them are rolled out, for so long together. Zero does not wait.
pub(super) async fn wait(cluster: &Kubectl<'_>, objects: &Objects, patience: Duration) -> Result<(), Halt> {
    if patience.is_zero() {
        return Ok(());
    }
    let end = Instant::now() + patience;
    for (id, object) in objects.iter().filter(|(id, object)| rolls_out(id, object)) {
        // To the program, zero is without end.
        let left = end.saturating_duration_since(Instant::now()).as_secs().max(1);
        let namespace = id.namespace.as_deref().unwrap_or_default();
        let (workload, timeout) = (id.said(), format!("--timeout={left}s"));
        let command = cluster.command_in(namespace, &["rollout", "status", &timeout, &workload]);
        let doing = format!("waiting for {id}");
        if let Err(complaint) = cluster.run(command, &doing).await? {
            let why = why(cluster, id, object).await?;
            let said = match why {
                Some(why) => why,
                None => quoted(complaint.lines().last().unwrap_or_default()),
            };
            return Err(Halt::failed(format!(
                "{id} is not rolled out: {said}; the log of this task has what its pods say"
            )));
        }
    }
    Ok(())
}

/// Whether it is something that one can wait for.
fn rolls_out(id: &Id, object: &Value) -> bool {
    id.said().contains(".apps/")
        && ["Deployment", "StatefulSet", "DaemonSet"].contains(&&*id.kind)
        // Its pods are replaced when somebody removes them.
        && object["spec"]["updateStrategy"]["type"] != "OnDelete"
}

/// Writes to the log what is wrong with its pods; returns the first of it.
async fn why(cluster: &Kubectl<'_>, id: &Id, object: &Value) -> Result<Option<String>, Halt> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let labels = labels.into_iter().flatten();
    let selector: Vec<String> = labels
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
        .collect();
    let doing = "looking at the pods";
    let mut first = None;
    let selector = format!("--selector={}", selector.join(","));
    let pods = list(
        cluster,
        namespace,
        &["get", "pods", &selector, "--output=json"],
        doing,
    )
    .await?;
    let log = &cluster.context().log;
    for pod in pods.iter().filter(|pod| !is_ready(pod)).take(MAX_PODS) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let problem = problem(pod).unwrap_or_else(|| "is not ready".to_owned());
        let line = format!("pod {name}: {problem}");
        log.line(Level::Error, &line).await;
        first.get_or_insert_with(|| quoted(&line));
        // A container that never ran has no log, which the program says.
        let args = ["logs", "--all-containers", "--prefix", LOG_LINES, name];
        if let Ok(text) = cluster.ask(cluster.command_in(namespace, &args), doing).await? {
            log.line(Level::Info, &text).await;
        }
    }
    let args = [
        "get",
        "events",
        "--field-selector=type=Warning",
        "--sort-by=.lastTimestamp",
        "--output=json",
    ];
    let events = list(cluster, namespace, &args, doing).await?;
    let of_this = |event: &&Value| {
        let about = event["involvedObject"]["name"].as_str();
        about.is_some_and(|about| about == id.name || about.starts_with(&format!("{}-", id.name)))
    };
    let events: Vec<&Value> = events.iter().filter(of_this).collect();
    for event in &events[events.len().saturating_sub(MAX_EVENTS)..] {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let line = format!("{}: {}", text("reason"), text("message"));
        log.line(Level::Warn, &line).await;
        first.get_or_insert_with(|| quoted(&line));
    }
    Ok(first)
}

/// The items of an answer; none when there is no answer, since this only explains.
async fn list(
    cluster: &Kubectl<'_>,
    namespace: &str,
    args: &[&str],
    doing: &str,
) -> Result<Vec<Value>, Halt> {
    let answer = cluster.ask(cluster.command_in(namespace, args), doing).await?;
    let value: Value = answer
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    Ok(value["items"].as_array().cloned().unwrap_or_default())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What keeps a pod from being ready, as far as it says.
fn problem(pod: &Value) -> Option<String> {
    let status = &pod["status"];
    let containers = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|name| status[name].as_array().into_iter().flatten());
    for container in containers {
        let name = container["name"].as_str().unwrap_or_default();
        for state in [
            &container["state"]["waiting"],
            &container["state"]["terminated"],
            &container["lastState"]["terminated"],
        ] {
            let Some(reason) = state["reason"].as_str() else {
                continue;
            };
            if ["ContainerCreating", "PodInitializing", "Completed"].contains(&reason) {
                continue;
            }
            let code = state["exitCode"]
                .as_i64()
                .map(|code| format!(" with exit code {code}"));
            let message = state["message"]
                .as_str()
                .map(|message| format!(": {}", message.trim()));
            return Some(format!(
                "container {name}: {reason}{}{}",
                code.unwrap_or_default(),
                message.unwrap_or_default()
            ));
        }
    }
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")
        .and_then(|condition| condition["message"].as_str())
        .map(|message| format!("is not scheduled: {message}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_pod_from_being_ready_is_said_as_it_says_it() {
        let pod = |state: Value| json!({"status": {"containerStatuses": [{"name": "c", "state": state}]}});
        let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image\n"}});
        assert_eq!(
            problem(&pod(waiting)).unwrap(),
            "container c: ErrImagePull: no such image"
        );
        let ended = json!({"terminated": {"reason": "Error", "exitCode": 3}});
        assert_eq!(
            problem(&pod(ended)).unwrap(),
            "container c: Error with exit code 3"
        );
        assert_eq!(
            problem(&pod(json!({"waiting": {"reason": "ContainerCreating"}}))),
            None
        );
        let pending = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]}});
        assert_eq!(problem(&pending).unwrap(), "is not scheduled: no node");
    }
}
