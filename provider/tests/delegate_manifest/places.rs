//! Which cluster, and what is known of it when.

use serde_json::{Value as Json, json};

use crate::asleep;
use crate::cluster::{Site, THIS};

#[tokio::test]
async fn a_cluster_with_another_identity_is_refused_and_one_that_is_silent_keeps_the_state() {
    let Some(site) = Site::without_helm("m-moved").await else {
        return;
    };
    site.apply(&asleep(&site)).await.succeeds();
    site.terraform.assert_settled().await;
    let (state, uid) = (site.terraform.state_file(), site.attribute("target_id").await);
    let uid = uid.as_str().expect("an id");
    // The state of a delegate in a cluster of the same address that was made anew.
    let moved = state.replace(uid, "11111111-2222-3333-4444-555555555555");
    site.terraform.write("terraform.tfstate", &moved);
    let before = site.written("deployment,secret,configmap").await;
    for arguments in [
        &["plan", "-no-color"][..],
        &["destroy", "-no-color", "-auto-approve", "-refresh=false"],
    ] {
        let error = site.terraform.run(arguments).await.fails();
        for part in [
            "This is another place",
            "11111111-2222-3333-4444-555555555555",
            uid,
            "state rm",
        ] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
    assert_eq!(site.written("deployment,secret,configmap").await, before);
    assert_ne!(site.terraform.state().await.resource(THIS), &Json::Null);

    site.terraform.write("terraform.tfstate", &state);
    asleep(&site)
        .provider(
            "kubernetes",
            "{ host = \"https://127.0.0.1:9\", insecure = true }",
        )
        .write(&site);
    for arguments in [
        &["plan", "-no-color"][..],
        &["destroy", "-no-color", "-auto-approve"],
    ] {
        let error = site.terraform.run(arguments).await.fails();
        assert!(
            error.contains("annot reach the Kubernetes API server https://127.0.0.1:9"),
            "{error}"
        );
    }
    assert_eq!(site.terraform.state_file(), state);
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
