//! A canary, and two colors.

use serde_json::{Value, json};

use super::{KIND, NONE, actions, config_map, data, deployment, value_of};
use crate::kubernetes::Namespace;

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}
    })
}

/// The names of the ready pods that a Service leads to, without what is random in them.
fn behind(namespace: &Namespace, service: &str) -> Vec<String> {
    let service = namespace.get(&format!("service/{service}"));
    let selector = service["spec"]["selector"].as_object().unwrap().iter();
    let selector: Vec<String> = selector
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    let args = ["get", "pods", "--output=json", "--selector", &selector.join(",")];
    let pods: Value = serde_json::from_str(&namespace.kubectl(&args).unwrap()).unwrap();
    let ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        pod["metadata"]["deletionTimestamp"].is_null()
            && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let name = |pod: &Value| {
        let name = pod["metadata"]["generateName"].as_str().unwrap();
        let (name, _) = name.trim_end_matches('-').rsplit_once('-').unwrap();
        name.to_owned()
    };
    let mut names: Vec<String> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(ready)
        .map(name)
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_canary_gets_its_share_and_goes_again() {
    let Some(namespace) = Namespace::make() else {
        return;
    };
    let delegate = namespace.delegate();
    let objects = [service("web"), deployment(&namespace.image, "web")];
    delegate
        .run(KIND, data(&namespace, &objects, &json!({})))
        .await
        .well();
    let canary = json!({"step": {"canary": {"replicas": 2}}});
    let ahead = delegate
        .run(KIND, data(&namespace, &objects, &canary))
        .await
        .well();
    assert_eq!(actions(&ahead), ["applied Deployment web-canary"]);
    assert_eq!(behind(&namespace, "web"), ["web", "web-canary", "web-canary"]);
    // The stable one was left alone, also by its own controller.
    assert_eq!(namespace.get("deployment/web")["status"]["readyReplicas"], 1);
    let delete = data(&namespace, &objects, &json!({"step": {"canary_delete": {}}}));
    for _ in 0..2 {
        let gone = delegate.run(KIND, delete.clone()).await.well();
        assert_eq!(actions(&gone), ["pruned Deployment web-canary"]);
        assert_eq!(namespace.get("deployment/web-canary"), Value::Null);
    }

    let bad = [service("web"), deployment(NONE, "web")];
    let back = json!({"step": {"canary": {"replicas": 1}}, "wait": "1s", "on_failure": "rollback"});
    let failed = delegate.run(KIND, data(&namespace, &bad, &back)).await;
    failed.says("Deployment web-canary in").says("are removed again");
    assert_eq!(failed.field("rolled_back"), true);
    assert_eq!(namespace.get("deployment/web-canary"), Value::Null);
    assert_eq!(namespace.get("deployment/web")["status"]["readyReplicas"], 1);
    let none = data(&namespace, &[config_map("a", "1")], &canary);
    delegate.run(KIND, none).await.says("have no Deployment");
}

#[tokio::test]
async fn of_two_colors_one_is_in_use_until_they_are_swapped() {
    let Some(namespace) = Namespace::make() else {
        return;
    };
    let delegate = namespace.delegate();
    let objects = [
        config_map("settings", "1"),
        service("web"),
        deployment(&namespace.image, "web"),
    ];
    let step = |step: Value| data(&namespace, &objects, &json!({"step": step}));
    let deploy = step(json!({"blue_green": {"service": "web"}}));
    let first = delegate.run(KIND, deploy.clone()).await.well();
    assert_eq!(first.var("color"), "blue");
    assert_eq!(value_of(&namespace, "settings"), "1");
    assert_eq!(behind(&namespace, "web"), ["web-blue"]);
    assert_eq!(behind(&namespace, "web-stage"), ["web-blue"]);
    // What is not rolled out is not brought into use.
    let to = |color: &str| step(json!({"swap": {"service": "web", "color": color}}));
    delegate
        .run(KIND, to("green"))
        .await
        .says("Deployment web-green in")
        .says("is not rolled out");
    assert_eq!(behind(&namespace, "web"), ["web-blue"]);
    for _ in 0..2 {
        let next = delegate.run(KIND, deploy.clone()).await.well();
        assert_eq!(next.var("color"), "green");
        assert_eq!(behind(&namespace, "web"), ["web-blue"]);
        assert_eq!(behind(&namespace, "web-stage"), ["web-green"]);
    }
    for (color, used, staged) in [
        ("green", "web-green", "web-blue"),
        ("green", "web-green", "web-blue"),
        ("blue", "web-blue", "web-green"),
    ] {
        let swapped = delegate.run(KIND, to(color)).await.well();
        assert_eq!(swapped.field("color"), color);
        assert_eq!(
            actions(&swapped),
            ["applied Service web", "applied Service web-stage"]
        );
        assert_eq!(behind(&namespace, "web"), [used]);
        assert_eq!(behind(&namespace, "web-stage"), [staged]);
    }
    let none = step(json!({"blue_green": {"service": "other"}}));
    delegate.run(KIND, none).await.says("have no Service other");
}
