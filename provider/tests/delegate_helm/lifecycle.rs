//! From nothing to a delegate that works, through its changes, and back to nothing.

use base64::Engine as _;
use std::collections::BTreeSet;

use serde_json::json;

use crate::cluster::{Site, THIS};

/// Create, prove it, and destroy: nothing is left.
async fn comes_works_and_goes(site: &Site) {
    // The chart's own pace of a rollout, and rights, as a newcomer has them.
    let config = site.config().values("").set("permissions", "\"NAMESPACE_ADMIN\"");
    site.apply(&config).await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    assert_eq!(site.attribute("ready_replicas").await, 1);
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let id = format!("helm/{}/{}/{}", context.trim(), site.namespace, site.name);
    assert_eq!(site.attribute("id").await, json!(id));
    let kube_system = site.cluster.get(&["namespace", "kube-system"]).await;
    assert_eq!(site.attribute("target_id").await, kube_system["metadata"]["uid"]);
    assert_eq!(site.pods().await.iter().filter(|(_, ready)| *ready).count(), 1);
    site.terraform.assert_settled().await;

    let result = site
        .task("kubectl create configmap made-by-a-task --from-literal=who=$(id -u)")
        .await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    let made = site.get(&["configmap", "made-by-a-task"]).await;
    assert_eq!(made["data"]["who"], "1001");
    site.kubectl(&["delete", "configmap", "made-by-a-task"]).await;

    site.terraform.destroy().await.succeeds();
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{:?}",
        site.objects().await
    );
}

#[tokio::test]
async fn a_delegate_comes_works_and_goes_with_helm_3() {
    let Some(site) = Site::with_helm("whole3", 3).await else {
        return;
    };
    comes_works_and_goes(&site).await;
}

#[tokio::test]
async fn a_delegate_comes_works_and_goes_with_helm_4() {
    let Some(site) = Site::with_helm("whole4", 4).await else {
        return;
    };
    comes_works_and_goes(&site).await;
}

#[tokio::test]
async fn a_namespace_that_was_there_before_stays() {
    let Some(site) = Site::new("guest").await else {
        return;
    };
    site.cluster
        .kubectl(&["create", "namespace", &site.namespace])
        .await;
    site.apply(&site.config().set("wait", r#"{ until = "installed" }"#))
        .await
        .succeeds();
    site.terraform.destroy().await.succeeds();
    assert!(site.cluster.has_namespace(&site.namespace).await);
    assert_eq!(site.objects().await, BTreeSet::new());
}

#[tokio::test]
async fn a_namespace_with_another_tenant_stays() {
    let Some(site) = Site::new("tenant").await else {
        return;
    };
    site.apply(&site.config().set("wait", r#"{ until = "installed" }"#))
        .await
        .succeeds();
    // No pod and no Secret: a claim of somebody's data is reason enough.
    site.cluster
        .put(&json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": "data", "namespace": site.namespace },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } },
        }))
        .await;
    site.terraform.destroy().await.succeeds();
    assert!(site.cluster.has_namespace(&site.namespace).await);
    assert_eq!(site.objects().await, BTreeSet::new());
    site.kubectl(&["get", "persistentvolumeclaim", "data"]).await;
}

#[tokio::test]
async fn replicas_and_tags_are_updated_in_place() {
    let Some(site) = Site::new("update").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.config()
        .set("replicas", "2")
        .set("tags", r#"["linux", "prod"]"#)
        .set("description", "\"of tests\"")
        .write(&site);
    let plan = site.terraform.plan(&[]).await;
    assert_eq!(plan.actions(THIS), ["update"]);
    site.terraform.apply().await.succeeds();
    assert_eq!(site.attribute("ready_replicas").await, 2);
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
    let settings = site.get(&["configmap", &site.name]).await;
    assert_eq!(settings["data"]["DELEGATE_TAGS"], "linux,prod");
    assert_eq!(
        site.manager.task("prod", "true").await["command_execution_status"],
        "SUCCESS"
    );
    assert_eq!(site.pods().await.len(), 2);
    let revisions = site.revisions().await;
    assert_eq!(
        revisions
            .last()
            .map(|(revision, status)| (*revision, status.as_str())),
        Some((2, "deployed"))
    );
}

#[tokio::test]
async fn another_token_replaces_the_pods() {
    let Some(mut site) = Site::new("rotate").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    let before = site.pods().await;
    let second = site.manager.say(&["token", "create", "second"]).await;
    let second = second.split_whitespace().last().expect("a token").to_owned();
    site.terraform.set_env("TF_VAR_token", second.clone());
    // The same version: nobody asked for it yet.
    site.terraform.assert_settled().await;
    site.apply(&site.config().set("token_wo_version", "2"))
        .await
        .succeeds();
    let after = site.pods().await;
    assert_eq!(after.len(), 1);
    assert_ne!(before[0].0, after[0].0);
    site.terraform.assert_settled().await;
    let secret = site
        .get(&["secret", &format!("{}-delegate-token", site.name)])
        .await;
    assert_eq!(
        secret["data"]["DELEGATE_TOKEN"],
        base64::engine::general_purpose::STANDARD.encode(second)
    );
}

#[tokio::test]
async fn another_name_is_another_delegate_in_the_same_namespace() {
    let Some(mut site) = Site::new("rename").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    let old = site.name.clone();
    site.name = format!("{old}-b");
    site.config().write(&site);
    let plan = site.terraform.plan(&[]).await;
    assert_eq!(plan.actions(THIS), ["delete", "create"]);
    site.terraform.apply().await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
    let objects = site.objects().await;
    assert!(
        objects.contains(&format!("deployment.apps/{}", site.name)),
        "{objects:?}"
    );
    assert!(
        !objects.contains(&format!("deployment.apps/{old}")),
        "{objects:?}"
    );
}
