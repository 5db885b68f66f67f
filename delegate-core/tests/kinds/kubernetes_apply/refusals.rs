//! Data that is wrong.

use serde_json::{Value, json};

use super::KIND;
use crate::bench::refused;

#[tokio::test]
async fn what_kubectl_could_take_as_something_else_is_refused() {
    let with = |change: Value| {
        let mut data = json!({"name": "app", "manifests": {"inline": {"text": "{}"}}});
        for (name, value) in change.as_object().unwrap() {
            data[name] = value.clone();
        }
        data
    };
    refused(
        KIND,
        &[
            (json!({"name": "app"}), "data", "missing field `manifests`"),
            (with(json!({"name": "-app"})), "name", "lower-case letters"),
            (with(json!({"name": "App"})), "name", "lower-case letters"),
            (with(json!({"name": "a".repeat(64)})), "name", "at most 63"),
            (
                with(json!({"namespace": "--all"})),
                "namespace",
                "no name of a namespace",
            ),
            (
                with(json!({"manifests": {"inline": {"text": " \n"}}})),
                "manifests.inline.text",
                "is empty",
            ),
            (
                with(json!({"manifests": {"files": {"paths": []}}})),
                "manifests.files.paths",
                "at least one",
            ),
            (
                with(json!({"manifests": {"files": {"paths": ["a", "../b"]}}})),
                "manifests.files.paths[1]",
                "contains `..`",
            ),
            (
                with(json!({"manifests": {"kustomize": {"folder": ""}}})),
                "manifests.kustomize.folder",
                "is empty",
            ),
            (
                with(json!({"manifests": {"url": {"address": "https://h"}}})),
                "manifests",
                "unknown variant",
            ),
            (
                with(json!({"cluster": {"kubeconfig": ""}})),
                "cluster.kubeconfig",
                "is no kubeconfig",
            ),
            (
                with(json!({"cluster": {"context": "-x"}})),
                "cluster.context",
                "must be the name of a context",
            ),
            (with(json!({"wait": "soon"})), "wait", "give a number and a unit"),
            (
                with(json!({"on_failure": "undo"})),
                "on_failure",
                "unknown variant",
            ),
            (with(json!({"prune": "yes"})), "prune", "expected a boolean"),
            (with(json!({"dryrun": true})), "dryrun", "unknown field"),
            (
                with(json!({"step": {"canary": {"replicas": 0}}})),
                "step.canary.replicas",
                "from 1 to 1000",
            ),
            (
                with(json!({"step": {"canary_delete": {"x": 1}}})),
                "step.canary_delete.x",
                "unknown field",
            ),
            (
                with(json!({"step": {"blue_green": {"service": "-w"}}})),
                "step.blue_green.service",
                "no name of a Service",
            ),
            (
                with(json!({"step": {"swap": {"service": "w", "color": "red"}}})),
                "step.swap.color",
                "unknown variant",
            ),
            (
                with(json!({"step": {"canary": {"replicas": 1}}, "prune": true})),
                "prune",
                "goes with no step",
            ),
        ],
    )
    .await;
}
