//! Which cluster: the provider's, the resource's, and never another one than before.

use serde_json::json;

use crate::cluster::Site;

#[tokio::test]
async fn the_resource_names_its_own_cluster_over_the_providers() {
    let Some(site) = Site::new("own").await else {
        return;
    };
    let kubeconfig = json!(site.cluster.kubeconfig.display().to_string());
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let config = site
        .config()
        .provider(
            "kubernetes",
            "{ host = \"https://127.0.0.1:9\", token = \"of-the-other-cluster\" }",
        )
        .set(
            "kubernetes",
            format!(
                "{{ config_path = {kubeconfig}, config_context = {} }}",
                json!(context.trim())
            ),
        );
    site.apply(&config).await.succeeds();
    site.terraform.assert_settled().await;
    // The same cluster by the provider's block: a change of words, and no other place.
    site.apply(&site.config()).await.succeeds();
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
    assert!(!site.cluster.has_namespace(&site.namespace).await);
}

#[tokio::test]
async fn a_cluster_with_another_identity_is_refused_and_left_alone() {
    let Some(site) = Site::new("moved").await else {
        return;
    };
    site.apply(&site.config().set("wait", r#"{ until = "installed" }"#))
        .await
        .succeeds();
    site.refuses_another_cluster(&[
        &["plan", "-no-color"],
        &["apply", "-no-color", "-auto-approve"],
        &["destroy", "-no-color", "-auto-approve"],
        &["destroy", "-no-color", "-auto-approve", "-refresh=false"],
    ])
    .await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_keeps_the_state() {
    let Some(site) = Site::new("silent").await else {
        return;
    };
    site.apply(&site.config().set("wait", r#"{ until = "installed" }"#))
        .await
        .succeeds();
    site.keeps_its_state_without_an_answer(site.config()).await;
}

#[tokio::test]
async fn settings_that_are_known_only_after_apply_are_no_obstacle() {
    let Some(site) = Site::new("unknown").await else {
        return;
    };
    let config = site
        .config()
        .provider("endpoint", "terraform_data.url.output")
        .set("description", "terraform_data.url.id")
        .more(&format!(
            "\nresource \"terraform_data\" \"url\" {{\n  input = {}\n}}\n",
            json!(site.manager.url)
        ));
    site.apply(&config).await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
}
