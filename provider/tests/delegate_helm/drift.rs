//! What somebody changes in the cluster is seen, told without secrets, and set right.

use std::os::unix::fs::PermissionsExt;

use crate::cluster::{Site, THIS};
use crate::terraform::Run;

async fn is_seen_and_repaired(site: &Site) {
    site.apply(&site.config().set("permissions", "\"NAMESPACE_ADMIN\""))
        .await
        .succeeds();
    let name = site.name.as_str();
    let deployment = format!("deployment/{name}");
    site.kubectl(&["scale", &deployment, "--replicas=3"]).await;
    site.kubectl(&["set", "image", &deployment, "delegate=nowhere.invalid/other:1"])
        .await;
    let patch = r#"{"data":{"DELEGATE_TAGS":"somebody-elses"}}"#;
    site.kubectl(&["patch", "configmap", name, "--type=merge", "--patch", patch])
        .await;
    site.kubectl(&["delete", "role", &format!("{name}-harness-namespace-admin")])
        .await;

    let mut drift = site.drift().await;
    drift.sort();
    assert_eq!(
        drift,
        [
            format!("ConfigMap/{name} data.DELEGATE_TAGS is somebody-elses, installed with "),
            format!("Deployment/{name} spec.replicas is 3, installed with 1"),
            format!(
                "Deployment/{name} spec.template.spec.containers[delegate].image is nowhere.invalid/other:1, installed with {}",
                site.cluster.image
            ),
            format!("Role/{name}-harness-namespace-admin is missing"),
        ]
    );
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);

    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    assert_eq!(site.attribute("drift").await, serde_json::json!([]));
    assert_eq!(site.attribute("connected").await, true);
    assert_eq!(site.pods().await.len(), 1);
    let live = site.get(&[&deployment]).await;
    assert_eq!(live["spec"]["replicas"], 1);
    let settings = site.get(&["configmap", name]).await;
    assert_eq!(settings["data"]["DELEGATE_TAGS"], "");
    site.kubectl(&["get", "role", &format!("{name}-harness-namespace-admin")])
        .await;
}

#[tokio::test]
async fn a_change_by_hand_is_seen_and_repaired_with_helm_3() {
    let Some(site) = Site::with_helm("drift3", 3).await else {
        return;
    };
    is_seen_and_repaired(&site).await;
}

#[tokio::test]
async fn a_change_by_hand_is_seen_and_repaired_with_helm_4() {
    let Some(site) = Site::with_helm("drift4", 4).await else {
        return;
    };
    is_seen_and_repaired(&site).await;
}

#[tokio::test]
async fn helm_4_takes_over_from_helm_3_and_back() {
    let Some(mut site) = Site::with_helm("majors", 3).await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    for major in [4, 3] {
        site.helm = crate::cluster::helm(major).expect("both majors are set up together");
        site.kubectl(&["scale", &format!("deployment/{}", site.name), "--replicas=2"])
            .await;
        site.apply(&site.config().set("description", format!("\"by {major}\"")))
            .await
            .succeeds();
        site.terraform.assert_settled().await;
        let live = site.get(&["deployment", &site.name]).await;
        assert_eq!(live["spec"]["replicas"], 1, "Helm {major}");
    }
}

#[tokio::test]
async fn a_token_changed_by_hand_is_drift_without_a_word_of_it() {
    let Some(site) = Site::new("tamper").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    let secret = site.secret();
    site.tamper_with_token().await;
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    assert_eq!(site.attribute("connected").await, true);

    site.kubectl(&["delete", "secret", &secret]).await;
    assert!(!site.drift().await.is_empty());
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_release_that_is_gone_is_made_again() {
    let Some(site) = Site::new("gone").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.cluster
        .kubectl(&["delete", "namespace", &site.namespace, "--wait=true"])
        .await;
    let plan = site.terraform.plan(&[]).await;
    assert_eq!(plan.actions(THIS), ["create"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_release_uninstalled_by_hand_leaves_nothing_after_destroy() {
    let Some(site) = Site::new("byhand").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.helm(&["uninstall", &site.name, "--wait"]).await;
    assert!(site.terraform.plan(&[]).await.changes);
    site.terraform.destroy().await.succeeds();
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{:?}",
        site.objects().await
    );
}

#[tokio::test]
async fn a_plan_without_changes_runs_no_helm_and_asks_little() {
    let Some(mut site) = Site::new("quiet").await else {
        return;
    };
    let (script, calls) = (site.terraform.path("helm"), site.terraform.path("calls"));
    let text = format!(
        "#!/bin/sh\necho \"$1\" >>'{}'\nexec '{}' \"$@\"\n",
        calls.display(),
        site.helm.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    site.helm = script;
    site.apply(&site.config()).await.succeeds();
    assert!(std::fs::read_to_string(&calls).unwrap().contains("upgrade"));
    std::fs::remove_file(&calls).unwrap();
    site.terraform.set_env("TF_LOG", "DEBUG");
    let plan: Run = site
        .terraform
        .run(&["plan", "-no-color", "-detailed-exitcode"])
        .await;
    assert_eq!(plan.status.code(), Some(0), "{plan}");
    assert!(
        !calls.exists(),
        "Helm was run: {:?}",
        std::fs::read_to_string(&calls)
    );
    let requests = plan
        .stderr
        .lines()
        .filter(|line| line.contains("asking the API server"))
        .count();
    eprintln!("a plan without changes of one delegate asks the API server {requests} times");
    assert!((1..=12).contains(&requests), "{requests} requests:\n{plan}");
}
