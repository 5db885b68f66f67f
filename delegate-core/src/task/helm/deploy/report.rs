//! How a release stands: its workloads, and why pods do not run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// So many problems are told: those of one cause are alike.
const MAX_PROBLEMS: usize = 20;

/// So many workloads are told.
const MAX_WORKLOADS: usize = 200;

/// Longest text of a problem.
const MAX_CHARS: usize = 300;

/// Longest notes, in characters.
const MAX_NOTES: usize = 20_000;

/// What is read of `helm status`.
#[derive(Deserialize)]
pub(super) struct Status {
    version: u32,
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    status: String,
    #[serde(default)]
    notes: String,
    /// Objects by their kinds, as the cluster has them.
    #[serde(default)]
    resources: BTreeMap<String, Vec<Value>>,
}

/// A workload, and how much of it is ready.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Workload {
    /// Its kind, such as `Deployment`.
    kind: String,
    /// Its name.
    name: String,
    /// How many pods it is to have; of a Job, how many are to end well.
    desired: u64,
    /// How many of its newest form are ready; of a Job, have ended well.
    ready: u64,
}

#[derive(Debug)]
pub(super) struct Report {
    pub(super) revision: u32,
    pub(super) status: String,
    pub(super) notes: Option<String>,
    pub(super) workloads: Vec<Workload>,
    pub(super) problems: Vec<String>,
}

impl Report {
    pub(super) fn of(status: Status) -> Self {
        let objects: Vec<&Value> = status.info.resources.values().flatten().collect();
        let pods = objects
            .iter()
            .flat_map(|object| match object["items"].as_array() {
                Some(items) => items.iter().collect::<Vec<_>>(),
                None => vec![*object],
            });
        let notes: String = status.info.notes.chars().take(MAX_NOTES).collect();
        Self {
            revision: status.version,
            status: status.info.status,
            notes: (!notes.trim().is_empty()).then_some(notes),
            workloads: objects
                .iter()
                .filter_map(|object| Workload::of(object))
                .take(MAX_WORKLOADS)
                .collect(),
            problems: pods.flat_map(problems).take(MAX_PROBLEMS).collect(),
        }
    }
}

impl Workload {
    fn of(object: &Value) -> Option<Self> {
        let kind = object["kind"].as_str()?;
        let (spec, status) = (&object["spec"], &object["status"]);
        let count = |value: &Value| value.as_u64().unwrap_or_default();
        let (desired, ready) = match kind {
            "Deployment" => (
                spec["replicas"].as_u64().unwrap_or(1),
                count(&status["updatedReplicas"]).min(count(&status["availableReplicas"])),
            ),
            "StatefulSet" => (
                spec["replicas"].as_u64().unwrap_or(1),
                count(&status["updatedReplicas"]).min(count(&status["readyReplicas"])),
            ),
            "DaemonSet" => (
                count(&status["desiredNumberScheduled"]),
                count(&status["updatedNumberScheduled"]).min(count(&status["numberReady"])),
            ),
            "Job" => (
                spec["completions"].as_u64().unwrap_or(1),
                count(&status["succeeded"]),
            ),
            _ => return None,
        };
        Some(Self {
            kind: kind.to_owned(),
            name: object["metadata"]["name"].as_str()?.to_owned(),
            desired,
            ready,
        })
    }

    /// For the log.
    pub(super) fn said(workloads: &[Self]) -> String {
        if workloads.is_empty() {
            return "it has no workloads".to_owned();
        }
        let one = |workload: &Self| {
            format!(
                "{} {} {}/{}",
                workload.kind, workload.name, workload.ready, workload.desired
            )
        };
        workloads.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Why a pod does not run, if it is one and does not.
fn problems(pod: &Value) -> Vec<String> {
    let status = &pod["status"];
    if pod["kind"].as_str().is_some_and(|kind| kind != "Pod") || status["phase"].is_null() {
        return Vec::new();
    }
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut problems = Vec::new();
    for condition in list(&status["conditions"]) {
        if condition["type"] == "PodScheduled" && condition["status"] == "False" {
            problems.push(told(&format!("pod {name} is not scheduled"), &condition));
        }
    }
    for container in [
        list(&status["initContainerStatuses"]),
        list(&status["containerStatuses"]),
    ]
    .concat()
    {
        let of = format!(
            "pod {name}, container {}",
            container["name"].as_str().unwrap_or_default()
        );
        let (waiting, ended) = (&container["state"]["waiting"], &container["state"]["terminated"]);
        if waiting["reason"]
            .as_str()
            .is_some_and(|reason| !matches!(reason, "ContainerCreating" | "PodInitializing"))
        {
            problems.push(told(&of, waiting));
        } else if ended["exitCode"].as_i64().is_some_and(|code| code != 0) {
            problems.push(told(&format!("{of} exited with {}", ended["exitCode"]), ended));
        } else if container["state"]["running"].is_object() && container["ready"] == false {
            problems.push(format!("{of} runs and is not ready"));
        }
    }
    problems
}

fn told(what: &str, state: &Value) -> String {
    let texts = ["reason", "message"].map(|name| state[name].as_str().unwrap_or_default());
    let text: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    let text = format!("{what}: {}", text.join(": "));
    text.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn workloads_are_counted_and_pods_say_why_they_do_not_run() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "a-1"}, "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}],
            "containerStatuses": [
                {"name": "x", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "not here"}}},
                {"name": "y", "state": {"waiting": {"reason": "ContainerCreating"}}},
                {"name": "z", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}},
                {"name": "r", "ready": false, "state": {"running": {}}},
            ],
        }});
        let status = json!({"version": 4, "info": {"status": "deployed", "notes": "\n", "resources": {
            "v1/Deployment": [{"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 3},
                "status": {"updatedReplicas": 1, "availableReplicas": 3}}],
            "v1/Job": [{"kind": "Job", "metadata": {"name": "j"}, "spec": {}, "status": {"succeeded": 1}}],
            "v1/ConfigMap": [{"kind": "ConfigMap", "metadata": {"name": "c"}}],
            "v1/Pod(related)": [{"kind": "PodList", "items": [pod]}],
        }}});
        let report = Report::of(serde_json::from_value(status).unwrap());
        assert_eq!(Workload::said(&report.workloads), "Deployment a 1/3, Job j 1/1");
        assert_eq!(report.notes, None);
        assert_eq!(
            report.problems,
            [
                "pod a-1 is not scheduled: Unschedulable: no room",
                "pod a-1, container x: ErrImageNeverPull: not here",
                "pod a-1, container z exited with 3: Error",
                "pod a-1, container r runs and is not ready",
            ]
        );
    }
}
