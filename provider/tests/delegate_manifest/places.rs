//! Which cluster, and what is known of it when.

use serde_json::json;

use crate::asleep;
use crate::cluster::Site;

#[tokio::test]
async fn a_cluster_with_another_identity_is_refused_and_one_that_is_silent_keeps_the_state() {
    let Some(site) = Site::without_helm("m-moved").await else {
        return;
    };
    site.apply(&asleep(&site)).await.succeeds();
    site.terraform.assert_settled().await;
    let state = site.terraform.state_file();
    site.refuses_another_cluster(&[
        &["plan", "-no-color"],
        &["destroy", "-no-color", "-auto-approve", "-refresh=false"],
    ])
    .await;
    site.terraform.write("terraform.tfstate", &state);
    site.keeps_its_state_without_an_answer(asleep(&site)).await;
}

#[tokio::test]
async fn settings_that_are_known_only_after_apply_are_no_obstacle() {
    let Some(site) = Site::without_helm("m-unknown").await else {
        return;
    };
    let kubeconfig = json!(site.cluster.kubeconfig.display().to_string());
    let config = asleep(&site)
        .provider("endpoint", "terraform_data.of.output.url")
        .provider("kubernetes", "{ config_path = terraform_data.of.output.path }")
        .set("description", "terraform_data.of.id")
        .set("tags", "[terraform_data.of.id]")
        .manifest("namespace", "terraform_data.of.output.namespace")
        .more(&format!(
            "\nresource \"terraform_data\" \"of\" {{\n  input = {{\n    url = {}\n    path = {kubeconfig}\n    namespace = {}\n  }}\n}}\n",
            json!(site.manager.url),
            json!(site.namespace),
        ));
    site.apply(&config).await.succeeds();
    site.terraform.assert_settled().await;
    let settings = site.get(&["configmap", &site.name]).await;
    assert_eq!(settings["data"]["MANAGER_HOST_AND_PORT"], *site.manager.url);
}
