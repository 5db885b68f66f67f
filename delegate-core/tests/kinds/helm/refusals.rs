//! What is no task for helm.

use serde_json::{Value, json};

use crate::bench::refused;

fn deploy(more: Value) -> Value {
    let mut data = json!({"release": "app", "chart": {"path": "app"}});
    data.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    data
}

fn repository(more: Value) -> Value {
    let mut chart = json!({"url": "https://charts.example.com", "name": "app"});
    chart
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    deploy(json!({"chart": {"repository": chart}}))
}

#[tokio::test]
async fn what_is_no_deployment_is_refused_with_its_field() {
    refused(
        "HELM_DEPLOY",
        &[
            (json!({}), "data", "missing field `release`"),
            (json!({"release": "app"}), "chart", "is missing"),
            (deploy(json!({"release": "-x"})), "release", "lower-case letters"),
            (
                deploy(json!({"namespace": "A"})),
                "namespace",
                "lower-case letters",
            ),
            (
                deploy(json!({"command": "rollback"})),
                "chart",
                "for `deploy` only",
            ),
            (
                json!({"release": "app", "command": "uninstall", "values": {"a": 1}}),
                "values",
                "for `deploy` only",
            ),
            (deploy(json!({"revision": 1})), "revision", "for `rollback` only"),
            (
                deploy(json!({"chart": {"path": "../x"}})),
                "chart.path",
                "contains `..`",
            ),
            (
                deploy(json!({"chart": {"oci": {"url": "https://x/y"}}})),
                "chart.oci.url",
                "oci://HOST/PATH",
            ),
            (
                deploy(json!({"chart": {"oci": {"url": "oci://u:p@x/y"}}})),
                "chart.oci.url",
                "without a login",
            ),
            (
                repository(json!({"url": "ftp://x"})),
                "chart.repository.url",
                "https or http",
            ),
            (
                repository(json!({"url": "http://x", "login": {"user": "u", "password": "p"}})),
                "chart.repository.login",
                "in the clear",
            ),
            (
                repository(json!({"login": {"user": "u:", "password": "p"}})),
                "chart.repository.login.user",
                "a colon",
            ),
            (
                repository(json!({"name": "--post-renderer"})),
                "chart.repository.name",
                "name of a chart",
            ),
            (
                repository(json!({"ca": "/etc/ca.pem"})),
                "chart.repository.ca",
                "not its path",
            ),
            (
                repository(json!({"version": ""})),
                "chart.repository.version",
                "a version",
            ),
            (
                deploy(json!({"secret_values": {"a..b": "x"}})),
                "secret_values",
                "a path that is none",
            ),
            (
                deploy(json!({"secret_values": {"a": "x", "a.b": "y"}})),
                "secret_values",
                "through another one",
            ),
            (deploy(json!({"timeout": "10ms"})), "timeout", "a second at least"),
            (
                deploy(json!({"cluster": {"kubeconfig": "/home/ci/.kube/config"}})),
                "cluster.kubeconfig",
                "not its path",
            ),
            (
                deploy(json!({"cluster": {"context": ""}})),
                "cluster.context",
                "name of a context",
            ),
            (deploy(json!({"max_history": 0})), "max_history", "nonzero"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_push_is_refused_with_its_field() {
    let push = |more: Value| {
        let mut data = json!({"chart": "app", "to": {"oci": {"url": "oci://x/y"}}});
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        data
    };
    let oci = |more: Value| {
        let mut oci = json!({"url": "oci://x/y"});
        oci.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        push(json!({"to": {"oci": oci}}))
    };
    refused(
        "HELM_PUSH",
        &[
            (json!({}), "data", "missing field `chart`"),
            (json!({"chart": "app"}), "data", "missing field `to`"),
            (push(json!({"chart": "/"})), "chart", "a place of its own"),
            (push(json!({"version": "v1.2.3"})), "version", "without a `v`"),
            (push(json!({"version": "1.2"})), "version", "semantic version"),
            (push(json!({"app_version": ""})), "app_version", "not empty"),
            (
                push(json!({"chart": "a.tgz", "version": "1.2.3"})),
                "version",
                "packed already",
            ),
            (
                push(json!({"chart": "a.tgz", "dependencies": true})),
                "dependencies",
                "packed already",
            ),
            (push(json!({"to": {"ftp": {}}})), "to", "expected `oci`"),
            (oci(json!({"url": "oci://host"})), "to.oci.url", "oci://HOST/PATH"),
            (
                oci(json!({"url": "oci://h/p@sha256:1"})),
                "to.oci.url",
                "without a login",
            ),
            (
                oci(json!({"login": {"user": "u", "password": "a\nb"}})),
                "to.oci.login.password",
                "more than one line",
            ),
            (oci(json!({"ca": "x"})), "to.oci.ca", "PEM form"),
        ],
    )
    .await;
}
