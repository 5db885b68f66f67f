//! A release that is there becomes Terraform's.

use crate::cluster::{Site, THIS};

/// The same delegate in a state of its own, with nothing known of it.
fn forgotten(site: &Site) {
    for file in ["terraform.tfstate", "terraform.tfstate.backup"] {
        let _ = std::fs::remove_file(site.terraform.path(file));
    }
}

#[tokio::test]
async fn a_delegate_is_imported_by_its_id_and_the_plan_is_empty() {
    let Some(site) = Site::new("import").await else {
        return;
    };
    let config = site
        .config()
        .helm("release", format!("\"{}-release\"", site.name))
        .set("tags", r#"["linux", "prod"]"#)
        .set("description", "\"a delegate\"")
        .set("replicas", "2")
        .set("permissions", "\"CLUSTER_VIEWER\"")
        .set("env", r#"{ TEAM = "a" }"#)
        .set("init_script", "\"true\"")
        .set(
            "resources",
            r#"{ requests = { memory = "64Mi" }, limits = { memory = "256Mi" } }"#,
        )
        .unset("wait")
        // The text of somebody's documents cannot be had back from what Helm made of them.
        .unset_helm("values");
    site.apply(&config).await.succeeds();
    let id = site.attribute("id").await;
    forgotten(&site);
    site.terraform
        .import(THIS, id.as_str().expect("an id"))
        .await
        .succeeds();
    for (name, expected) in [
        ("id", id.clone()),
        ("tags", serde_json::json!(["linux", "prod"])),
        ("replicas", serde_json::json!(2)),
        ("permissions", serde_json::json!("CLUSTER_VIEWER")),
        ("env", serde_json::json!({ "TEAM": "a" })),
        ("token_wo_version", serde_json::json!(1)),
        ("connected", serde_json::json!(true)),
        ("drift", serde_json::json!([])),
    ] {
        assert_eq!(site.attribute(name).await, expected, "{name}");
    }
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
    assert!(!site.cluster.has_namespace(&site.namespace).await);
}

/// The pods that stay, by their names: how ready they are is another matter.
async fn names(site: &Site) -> Vec<String> {
    site.pods().await.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_release_that_a_person_installed_is_imported_and_kept() {
    let Some(site) = Site::new("adopt").await else {
        return;
    };
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../delegate-core/chart");
    let (tag, url) = (&site.cluster.image, &site.manager.url);
    let values = format!(
        "accountId: acceptance\ndelegateName: {}\nmanagerEndpoint: {url}\ndelegateDockerImage: {tag}\ndelegateToken: {}\nminReadySeconds: 0\n",
        site.name, site.manager.token
    );
    site.terraform.write("by-hand.yaml", &values);
    let file = site.terraform.path("by-hand.yaml");
    site.helm(&[
        "install",
        &site.name,
        chart,
        "--create-namespace",
        "--values",
        file.to_str().expect("text"),
    ])
    .await;
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let id = format!("helm/{}/{}/{}", context.trim(), site.namespace, site.name);
    site.config().write(&site);
    site.terraform.import(THIS, &id).await.succeeds();
    let pods = names(&site).await;
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    // Nothing is restarted for it, and what that leaves to do is told.
    let applied = site.terraform.apply().await.succeeds();
    assert!(
        applied.stdout.contains("The token is still in the Helm release"),
        "{applied}"
    );
    assert_eq!(site.attribute("connected").await, true);
    assert_eq!(names(&site).await, pods);
    site.terraform.assert_settled().await;
    // What has nothing to do with the token leaves the pods alone too.
    site.apply(&site.config().helm("max_history", "5"))
        .await
        .succeeds();
    assert_eq!(names(&site).await, pods);
    // A token that is given anew moves out of the release.
    let anew = site.config().set("token_wo_version", "2");
    let applied = site.apply(&anew).await.succeeds();
    assert!(!applied.stdout.contains("still in the Helm release"), "{applied}");
    assert_ne!(names(&site).await, pods);
    site.terraform.assert_settled().await;
    let newest = site
        .records()
        .await
        .into_iter()
        .max_by_key(|record| record["version"].as_u64())
        .expect("a record");
    assert!(!newest.to_string().contains(&site.manager.token));
    // The namespace was not made by Terraform.
    site.terraform.destroy().await.succeeds();
    assert!(site.cluster.has_namespace(&site.namespace).await);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_imported() {
    let Some(site) = Site::new("noimport").await else {
        return;
    };
    site.config().write(&site);
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let error = site
        .terraform
        .import(THIS, &format!("helm/{}/{}/none", context.trim(), site.namespace))
        .await
        .fails();
    assert!(error.contains("non-existent remote object"), "{error}");
    let error = site
        .terraform
        .import(THIS, &format!("helm/elsewhere/{}/none", site.namespace))
        .await
        .fails();
    assert!(error.contains("no context \"elsewhere\""), "{error}");
    let error = site.terraform.import(THIS, "helm/incomplete").await.fails();
    assert!(error.contains("helm/<context>/<namespace>/<release>"), "{error}");
}
