//! What cannot work is refused with an error at its attribute, and nothing is changed.

use serde_json::{Value as Json, json};

use crate::asleep;
use crate::cluster::{Site, THIS, one_error};

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_made() {
    let Some(site) = Site::without_helm("m-bad").await else {
        return;
    };
    let config = || asleep(&site);
    for (wrong, expected) in [
        (
            config().set("host", "{}").unset("image").unset("replicas"),
            &["Exactly one of helm, manifest"][..],
        ),
        (
            config().set("name", "\"Team_A\""),
            &["Invalid delegate name", "lower-case"],
        ),
        (
            config().unset("token_wo").set("token_file", "\"/x\""),
            &["token_file", "manifest"],
        ),
        (config().manifest("namespace", "\"A b\""), &["lower-case letters"]),
        (config().set("replicas", "-1"), &["replicas"]),
        (
            config().manifest("create_namespace", "false"),
            &["No such namespace", "manifest.create_namespace = true"],
        ),
        (
            config().provider(
                "kubernetes",
                "{ host = \"https://127.0.0.1:9\", insecure = true }",
            ),
            &["annot reach the Kubernetes API server https://127.0.0.1:9"],
        ),
        (
            config().unset("kubernetes"),
            &["o cluster is named", "config_path"],
        ),
    ] {
        site.refuses(&wrong, expected).await;
    }
}

#[tokio::test]
async fn what_the_cluster_does_not_take_is_told_and_set_right_by_the_next_apply() {
    let Some(site) = Site::without_helm("m-refused").await else {
        return;
    };
    let broken = asleep(&site).set(
        "resources",
        r#"{ requests = { memory = "2Gi" }, limits = { memory = "1Gi" } }"#,
    );
    one_error(
        site.apply(&broken).await,
        &[
            "The cluster refused",
            &format!("Deployment/{}", site.name),
            "memory",
        ],
    );
    // It was begun: the state knows it, and so does a plan.
    assert_ne!(site.attribute("id").await, Json::Null);
    assert!(site.terraform.plan(&[]).await.changes);
    site.apply(&asleep(&site)).await.succeeds();
    site.terraform.assert_settled().await;
    // An update that the cluster does not take changes nothing at all.
    let before = site.written("configmap,deployment,secret").await;
    let broken = broken.set("tags", "[\"new\"]");
    one_error(site.apply(&broken).await, &["The cluster refused", "memory"]);
    assert_eq!(site.written("configmap,deployment,secret").await, before);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_refused_with_its_name() {
    let Some(site) = Site::without_helm("m-foreign").await else {
        return;
    };
    site.cluster
        .kubectl(&["create", "namespace", &site.namespace])
        .await;
    site.kubectl(&["create", "configmap", &site.name, "--from-literal=a=b"])
        .await;
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    one_error(
        site.apply(&asleep(&site)).await,
        &[
            "The delegate exists already",
            &format!("ConfigMap/{}", site.name),
            &format!("manifest/{}/{}/{}", context.trim(), site.namespace, site.name),
        ],
    );
    assert_eq!(
        site.objects().await.into_iter().collect::<Vec<_>>(),
        [format!("configmap/{}", site.name)]
    );
    assert_eq!(site.terraform.state().await.resource(THIS), &Json::Null);
}

#[tokio::test]
async fn the_same_delegate_twice_is_refused() {
    let Some(site) = Site::without_helm("m-twice").await else {
        return;
    };
    // Twice in one configuration: neither is made.
    let again = format!(
        "\nresource \"harness_delegate\" \"again\" {{\n  name = {0}\n  token_wo = var.token\n  replicas = 0\n  image = {1}\n  wait = {{ \
         until = \"installed\" }}\n  manifest = {{ namespace = {2} }}\n}}\n",
        json!(site.name),
        json!(site.cluster.image),
        json!(site.namespace),
    );
    one_error(
        site.apply(&asleep(&site).more(&again)).await,
        &["The same delegate twice", &site.name],
    );
    assert_eq!(site.terraform.state().await.resource(THIS), &Json::Null);
    site.apply(&asleep(&site)).await.succeeds();
    site.is_refused_to_another_state(&["The delegate exists already"])
        .await;
}
