//! What cannot work is refused with one error at its attribute, and nothing is changed.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};

use crate::cluster::{Config, Site, THIS, helm, one_error};

/// That the plan is refused with one error that has all of `expected`.
async fn refused_at_plan(site: &Site, config: &Config, expected: &[&str]) {
    config.write(site);
    let run = site.terraform.run(&["plan", "-no-color"]).await;
    one_error(run, expected);
    assert!(!site.cluster.has_namespace(&site.namespace).await);
}

fn program(site: &Site, name: &str, text: &str) -> String {
    let path = site.terraform.path(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    json!(path.display().to_string()).to_string()
}

#[tokio::test]
async fn a_helm_that_cannot_be_used_is_refused_at_plan() {
    let Some(site) = Site::new("nohelm").await else {
        return;
    };
    let missing = site.config().provider("helm_binary", "\"helm-of-nobody\"");
    refused_at_plan(
        &site,
        &missing,
        &["Helm cannot be used", "helm-of-nobody", "helm_binary"],
    )
    .await;
    let old = program(&site, "helm2", "#!/bin/sh\necho v2.17.0\n");
    refused_at_plan(
        &site,
        &site.config().provider("helm_binary", old),
        &["Helm cannot be used", "v2.17.0", "helm_binary"],
    )
    .await;
    let other = program(
        &site,
        "nothelm",
        "#!/bin/sh\necho 'unknown option' >&2\nexit 64\n",
    );
    refused_at_plan(
        &site,
        &site.config().provider("helm_binary", other),
        &["nknown option", "nothelm"],
    )
    .await;
}

#[tokio::test]
async fn values_that_cannot_be_used_are_refused_at_plan() {
    for major in [3, 4] {
        let Some(site) = Site::with_helm("values", major).await else {
            return;
        };
        let wrong_type = site.config().values("replicas: many\n");
        refused_at_plan(&site, &wrong_type, &["replicas"]).await;
        let unknown = site.config().values("replicaz: 2\n");
        refused_at_plan(&site, &unknown, &["replicaz"]).await;
        let contradiction = site.config().values("securityContext: {runAsRoot: false}\ndelegate: {securityContext: {runAsUser: 0, runAsNonRoot: true}}\n");
        refused_at_plan(&site, &contradiction, &["contradicts itself"]).await;
        let owned = site.config().values("delegateToken: hunter2\n");
        refused_at_plan(&site, &owned, &["helm.values[0] sets delegateToken", "token_wo"]).await;
        let broken = site.config().values("a: [\n");
        refused_at_plan(&site, &broken, &["helm.values[0] is not YAML"]).await;
    }
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_is_told_and_nothing_is_kept() {
    let Some(site) = Site::new("nocluster").await else {
        return;
    };
    let kubeconfig = json!(site.cluster.kubeconfig.display().to_string());
    let other = |value: String| site.config().provider("kubernetes", value);
    let wrong = other(format!(
        "{{ config_path = {kubeconfig}, config_context = \"elsewhere\" }}"
    ));
    site.refuses(&wrong, &["no context \"elsewhere\"", "kubernetes.config_context"])
        .await;
    let missing = other("{ config_path = \"/nowhere/kubeconfig\" }".to_owned());
    site.refuses(&missing, &["annot read the kubeconfig /nowhere/kubeconfig"])
        .await;
    let closed = other("{ host = \"https://127.0.0.1:9\", insecure = true }".to_owned());
    site.refuses(
        &closed,
        &[
            "annot reach the Kubernetes API server https://127.0.0.1:9",
            "efused",
        ],
    )
    .await;
    let server = site
        .cluster
        .kubectl(&[
            "config",
            "view",
            "--minify",
            "-o",
            "jsonpath={.clusters[0].cluster.server}",
        ])
        .await;
    let stranger = other(format!(
        "{{ host = \"{server}\", insecure = true, token = \"nobody\" }}"
    ));
    site.refuses(&stranger, &["refused to", "nauthorized"]).await;
    let none = site.config().unset("kubernetes");
    site.refuses(&none, &["o cluster is named", "config_path"]).await;
}

#[tokio::test]
async fn a_missing_namespace_that_is_not_to_be_made_is_refused() {
    let Some(site) = Site::new("nons").await else {
        return;
    };
    let config = site.config().helm("create_namespace", "false");
    site.refuses(&config, &["No such namespace", "helm.create_namespace = true"])
        .await;
}

#[tokio::test]
async fn a_release_of_somebody_else_is_refused_with_the_way_to_import_it() {
    let Some(site) = Site::new("foreign").await else {
        return;
    };
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../delegate-core/chart");
    let set = |text: &str| ["--set".to_owned(), text.to_owned()];
    let values = [
        set("accountId=acceptance"),
        set("replicas=0"),
        set(&format!("delegateName={}", site.name)),
        set("existingDelegateToken=mine"),
    ]
    .concat();
    let mut arguments = vec!["install", &site.name, chart, "--create-namespace"];
    arguments.extend(values.iter().map(String::as_str));
    site.helm(&arguments).await;
    let kinds = "deployment,secret,configmap,role,rolebinding,serviceaccount";
    let before = site.written(kinds).await;
    let error = site.apply(&site.config()).await.fails();
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    for part in [
        "The release exists already",
        &format!("helm/{}/{}/{}", context.trim(), site.namespace, site.name),
    ] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    assert_eq!(site.written(kinds).await, before);
    assert_eq!(site.terraform.state().await.resource(THIS), &Json::Null);
}

#[tokio::test]
async fn a_delegate_of_another_state_is_refused() {
    let Some(site) = Site::new("twice").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.is_refused_to_another_state(&["The release exists already"])
        .await;
}

#[tokio::test]
async fn both_majors_of_helm_are_set_up_together() {
    // Everything that is skipped without the one is skipped without the other, so a half set-up machine shows here.
    let both = [3, 4].map(|major| helm(major).is_some());
    assert_eq!(both[0], both[1], "Helm 3: {}, Helm 4: {}", both[0], both[1]);
}
