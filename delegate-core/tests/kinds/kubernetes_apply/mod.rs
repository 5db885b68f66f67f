//! `KUBERNETES_APPLY` with the real kubectl, in a real cluster.

mod refusals;
mod steps;

use std::fs;

use delegate_core::process::Environment;
use delegate_core::task::{KubernetesApply, TaskKind as _};
use serde_json::{Value, json};

use crate::delegate::{Delegate, Started};
use crate::kubernetes::Namespace;

const KIND: &str = "KUBERNETES_APPLY";

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

/// One pod of this image, which stays.
fn deployment(image: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                    "containers": [{
                        "name": "main", "image": image, "imagePullPolicy": "Never",
                        "command": ["/bin/bash", "-c", "exec sleep 3600"]
                    }]
                }
            }
        }
    })
}

/// An image that no cluster has.
const NONE: &str = "localhost/there-is-none:1";

fn inline(objects: &[Value]) -> Value {
    let text: Vec<String> = objects.iter().map(Value::to_string).collect();
    json!({"inline": {"text": text.join("\n")}})
}

/// A task's data; `change` is laid over it.
fn data(namespace: &Namespace, objects: &[Value], change: &Value) -> Value {
    let mut data = json!({"name": "app", "namespace": namespace.name, "manifests": inline(objects)});
    for (name, value) in change.as_object().unwrap() {
        data[name] = value.clone();
    }
    data
}

fn actions(outcome: &crate::bench::Outcome) -> Vec<String> {
    let objects = outcome.field("objects").as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    objects
        .iter()
        .map(|told| {
            format!(
                "{} {} {}",
                text(&told["action"]),
                text(&told["kind"]),
                text(&told["name"])
            )
        })
        .collect()
}

fn value_of(namespace: &Namespace, config_map: &str) -> Value {
    namespace.get(&format!("configmap/{config_map}"))["data"]["key"].clone()
}

#[tokio::test]
async fn objects_are_applied_rolled_out_and_pruned_and_a_strangers_stay() {
    let Some(namespace) = Namespace::make() else {
        return;
    };
    let delegate = namespace.delegate();
    let objects = [
        config_map("one", "1"),
        config_map("two", "2"),
        deployment(&namespace.image, "web"),
    ];
    let first = delegate
        .run(KIND, data(&namespace, &objects, &json!({})))
        .await
        .well();
    assert_eq!(
        actions(&first),
        [
            "applied ConfigMap one",
            "applied ConfigMap two",
            "applied Deployment web"
        ]
    );
    assert_eq!(first.field("objects")[0]["namespace"], json!(namespace.name));
    let web = namespace.get("deployment/web");
    assert_eq!(
        web["status"]["readyReplicas"], 1,
        "it was not waited for: {}",
        first.log
    );
    let managers = web["metadata"]["managedFields"].to_string();
    assert!(managers.contains("\"harness-delegate\""), "{managers}");
    assert!(first.log.contains("successfully rolled out"), "{}", first.log);

    // Somebody else's, and one of another set, are not ours.
    namespace.kubectl(&["create", "configmap", "strange"]).unwrap();
    let other = data(&namespace, &[config_map("other", "1")], &json!({"name": "other"}));
    delegate.run(KIND, other).await.well();
    // Without `prune`, nothing goes, and it is not forgotten.
    let fewer = [config_map("one", "new")];
    let kept = delegate
        .run(KIND, data(&namespace, &fewer, &json!({})))
        .await
        .well();
    assert_eq!(actions(&kept), ["applied ConfigMap one"]);
    assert_eq!(value_of(&namespace, "two"), "2");
    let pruned = delegate
        .run(KIND, data(&namespace, &fewer, &json!({"prune": true})))
        .await
        .well();
    let done = actions(&pruned);
    assert_eq!(
        done,
        [
            "applied ConfigMap one",
            "pruned ConfigMap two",
            "pruned Deployment web"
        ]
    );
    assert_eq!(value_of(&namespace, "one"), "new");
    assert_eq!(namespace.get("configmap/two"), Value::Null);
    for stays in ["configmap/strange", "configmap/other"] {
        assert_ne!(namespace.get(stays), Value::Null, "{stays} is gone");
    }
    // It is gone, and nobody looks for it again.
    let again = delegate
        .run(KIND, data(&namespace, &fewer, &json!({"prune": true})))
        .await
        .well();
    assert_eq!(actions(&again), ["applied ConfigMap one"]);
}

#[tokio::test]
async fn a_rollout_that_fails_says_why_and_goes_back_to_what_was_good() {
    let Some(namespace) = Namespace::make() else {
        return;
    };
    let delegate = namespace.delegate();
    let good = [
        config_map("settings", "good"),
        deployment(&namespace.image, "web"),
    ];
    let bad = [
        config_map("settings", "bad"),
        config_map("new", "bad"),
        deployment(NONE, "web"),
    ];
    // There is nothing to go back to yet.
    let back = json!({"on_failure": "rollback", "wait": "1s"});
    let first = delegate.run(KIND, data(&namespace, &bad, &back)).await;
    first
        .says("Deployment web in")
        .says("there is nothing to roll back to");
    assert_eq!(first.field("rolled_back"), false);
    let prune = json!({"prune": true});
    delegate.run(KIND, data(&namespace, &good, &prune)).await.well();
    assert_eq!(namespace.get("configmap/new"), Value::Null);

    let back = json!({"on_failure": "rollback", "wait": "8s"});
    let task = delegate.start(KIND, &data(&namespace, &bad, &back));
    // On a slow machine its time may be over before the pod says anything.
    let complains = complains(&namespace, &task).await;
    let failed = task.end().await;
    let reason = failed.failed();
    let begin = format!("Deployment web in {} is not rolled out: ", namespace.name);
    assert!(reason.starts_with(&begin), "{reason}");
    if complains {
        let said = "container main: ErrImageNeverPull: ";
        assert!(
            reason[begin.len()..].starts_with("pod web-") && reason.contains(said),
            "{reason}"
        );
        assert!(failed.log.contains(said), "{}", failed.log);
    }
    assert!(
        reason.ends_with("what was good last is applied again, and rolled out"),
        "{reason}"
    );
    assert_eq!(failed.field("rolled_back"), true);
    assert_eq!(value_of(&namespace, "settings"), "good");
    assert_eq!(namespace.get("configmap/new"), Value::Null);
    let web = namespace.get("deployment/web");
    let image = &web["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(
        (image, &web["status"]["readyReplicas"]),
        (&json!(namespace.image), &json!(1))
    );

    // Without it, what was applied stays to be looked at.
    let kept = delegate
        .run(KIND, data(&namespace, &bad, &json!({"wait": "1s"})))
        .await;
    kept.says("is not rolled out");
    assert_eq!(value_of(&namespace, "settings"), "bad");
}

/// Waits until a pod says that its image is not there; false when the task ends before.
async fn complains(namespace: &Namespace, task: &Started) -> bool {
    while !task.is_over() {
        let pods = namespace.get("pods");
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let waiting = |pod: &Value| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImageNeverPull"
        };
        if pods.any(waiting) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_conflict_is_named_and_a_dry_run_changes_nothing() {
    let Some(namespace) = Namespace::make() else {
        return;
    };
    let delegate = namespace.delegate();
    let literal = ["create", "configmap", "owned", "--from-literal=key=theirs"];
    namespace.kubectl(&literal).unwrap();
    let objects = [config_map("first", "1"), config_map("owned", "ours")];
    let dry = delegate
        .run(KIND, data(&namespace, &objects, &json!({"dry_run": true})))
        .await;
    dry.says("trying the manifests failed").says("force_conflicts");
    assert_eq!(namespace.get("configmap/first"), Value::Null);
    let conflict = delegate.run(KIND, data(&namespace, &objects, &json!({}))).await;
    let reason = conflict.failed();
    assert!(
        reason.contains("conflict with \"kubectl-create\"") && reason.contains(".data.key"),
        "{reason}"
    );
    assert!(
        reason.ends_with(&format!("; not applied: ConfigMap owned in {}", namespace.name)),
        "{reason}"
    );
    assert_eq!(actions(&conflict), ["applied ConfigMap first"]);
    assert_eq!(value_of(&namespace, "owned"), "theirs");
    let force = json!({"force_conflicts": true});
    delegate
        .run(KIND, data(&namespace, &objects, &force))
        .await
        .well();
    assert_eq!(value_of(&namespace, "owned"), "ours");
    let fewer = data(
        &namespace,
        &objects[1..],
        &json!({"dry_run": true, "prune": true}),
    );
    let dry = delegate.run(KIND, fewer).await.well();
    assert_eq!(
        actions(&dry),
        ["applied ConfigMap owned", "pruned ConfigMap first"]
    );
    assert_eq!(dry.field("dry_run"), true);
    assert_eq!(value_of(&namespace, "first"), "1");
}

#[tokio::test]
async fn manifests_come_from_the_workspace_and_the_login_from_the_data() {
    let Some(namespace) = Namespace::make() else {
        return;
    };
    // It has no cluster of its own.
    let mut delegate = Delegate::new();
    delegate.settings.environment.set("KUBECONFIG", "/nowhere");
    let folder = delegate.path("workspace/app");
    fs::create_dir_all(folder.join("more")).unwrap();
    fs::write(
        folder.join("a.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: \"yes\"}\n",
    )
    .unwrap();
    fs::write(folder.join("more/b.json"), config_map("b", "2").to_string()).unwrap();
    let kubeconfig = namespace.kubeconfig();
    let task = |manifests: Value| {
        json!({
            "name": "app", "namespace": namespace.name, "manifests": manifests,
            "cluster": {"kubeconfig": kubeconfig}
        })
    };
    let files = delegate
        .run(KIND, task(json!({"files": {"paths": ["app"]}})))
        .await
        .well();
    assert_eq!(actions(&files), ["applied ConfigMap a", "applied ConfigMap b"]);
    assert_eq!(value_of(&namespace, "a"), "yes");
    for line in kubeconfig.lines().filter(|line| line.contains("token:")) {
        let token = line.split_once("token:").unwrap().1.trim();
        assert!(!token.is_empty());
        files.hides(token);
    }
    fs::write(
        folder.join("kustomization.yaml"),
        "resources: [a.yaml]\nnamePrefix: made-\n",
    )
    .unwrap();
    let made = delegate
        .run(KIND, task(json!({"kustomize": {"folder": "app"}})))
        .await
        .well();
    assert_eq!(actions(&made), ["applied ConfigMap made-a"]);

    // A secret of the data gets to the cluster as it is, and to nobody else.
    let mut secret = task(inline(&[config_map("c", "<+secrets.getValue(\"none\")>")]));
    secret["manifests"]["inline"]["text"] = json!(config_map("c", "plain-and-hidden").to_string());
    delegate.settings.own_secrets = vec!["plain-and-hidden".to_owned().into()];
    let hidden = delegate.run(KIND, secret).await.well();
    hidden.hides("plain-and-hidden");
    assert_eq!(value_of(&namespace, "c"), "plain-and-hidden");

    for (manifests, words) in [
        (json!({"files": {"paths": ["none"]}}), "is not there"),
        (json!({"kustomize": {"folder": "none"}}), "is not there"),
    ] {
        let outcome = delegate.run(KIND, task(manifests)).await;
        assert!(outcome.refusal().contains(words), "{}", outcome.error());
    }
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Nonsense", "metadata": {"name": "x"}});
    delegate
        .run(KIND, task(inline(&[unknown])))
        .await
        .says("the cluster does not know the kind");
    let mut context = task(inline(&[config_map("c", "1")]));
    context["cluster"]["context"] = json!("none");
    delegate.run(KIND, context).await.says("cluster.context");
    let mut nowhere = task(inline(&[config_map("c", "1")]));
    nowhere["namespace"] = json!("there-is-no-such-namespace");
    delegate
        .run(KIND, nowhere)
        .await
        .says("there is no such namespace");
}

#[test]
fn the_kind_is_offered_where_the_program_is() {
    let missing = KubernetesApply.check(&Environment::empty());
    assert_eq!(missing, Err("the program kubectl is not in PATH".to_owned()));
}
