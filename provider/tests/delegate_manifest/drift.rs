//! What somebody changes in the cluster is seen, told without secrets, and set right; what somebody applies is theirs.

use serde_json::json;

use crate::asleep;
use crate::cluster::{Site, THIS};

#[tokio::test]
async fn changes_by_hand_are_seen_and_repaired() {
    let Some(site) = Site::without_helm("m-drift").await else {
        return;
    };
    site.apply(&asleep(&site)).await.succeeds();
    let name = site.name.as_str();
    let admin = format!("{name}-harness-namespace-admin");
    site.kubectl(&[
        "set",
        "image",
        &format!("deployment/{name}"),
        "delegate=nowhere.invalid/other:1",
    ])
    .await;
    for (kind, name, patch) in [
        (
            "configmap",
            name,
            json!({ "data": { "DELEGATE_TAGS": "somebody-elses" } }),
        ),
        (
            "role",
            &admin,
            json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["get"] }] }),
        ),
        // Not one of ours is changed, and yet the rights are others.
        (
            "rolebinding",
            &admin,
            json!({ "subjects": [
                { "kind": "ServiceAccount", "name": name, "namespace": site.namespace },
                { "kind": "ServiceAccount", "name": "default", "namespace": site.namespace },
            ] }),
        ),
        // What nobody here has set is nobody's drift.
        (
            "serviceaccount",
            name,
            json!({ "metadata": { "annotations": { "theirs": "yes" } } }),
        ),
    ] {
        let patch = patch.to_string();
        site.kubectl(&["patch", kind, name, "--type=merge", "--patch", &patch])
            .await;
    }
    let mut drift = site.drift().await;
    drift.sort();
    assert_eq!(
        drift,
        [
            format!("ConfigMap/{name} data.DELEGATE_TAGS is somebody-elses, installed with "),
            format!(
                "Deployment/{name} spec.template.spec.containers[delegate].image is nowhere.invalid/other:1, installed with {}",
                site.cluster.image
            ),
            format!("Role/{admin} rules[0].verbs[0] is get, installed with *"),
            format!("RoleBinding/{admin} subjects has 2 entries, installed with 1"),
        ]
    );
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    assert_eq!(site.attribute("drift").await, json!([]));
    let account = site.get(&["serviceaccount", name]).await;
    assert_eq!(account["metadata"]["annotations"]["theirs"], "yes");

    // Objects that are gone, and labels that are: by those the objects are looked for.
    site.kubectl(&["delete", "rolebinding", &admin]).await;
    site.kubectl(&["label", "configmap", name, "app.kubernetes.io/managed-by-"])
        .await;
    let mut drift = site.drift().await;
    drift.sort();
    assert_eq!(
        drift,
        [
            format!(
                "ConfigMap/{name} metadata.labels.app.kubernetes.io/managed-by is missing, installed with terraform-provider-harness"
            ),
            format!("RoleBinding/{admin} is missing"),
        ]
    );
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_token_changed_by_hand_is_drift_without_a_word_of_it() {
    let Some(site) = Site::without_helm("m-tamper").await else {
        return;
    };
    site.apply(&asleep(&site)).await.succeeds();
    let secret = site.secret();
    site.tamper_with_token().await;
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;

    site.kubectl(&["delete", "secret", &secret]).await;
    let drift = site.drift().await;
    assert!(
        drift.contains(&format!("Secret/{secret} is missing")),
        "{drift:?}"
    );
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;

    // Without Secret and Deployment there is no delegate; what else is left of it is in nobody's way.
    site.kubectl(&[
        "delete",
        &format!("secret/{secret}"),
        &format!("deployment/{}", site.name),
    ])
    .await;
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["create"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;

    site.cluster
        .kubectl(&["delete", "namespace", &site.namespace, "--wait=true"])
        .await;
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["create"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_field_that_somebody_applies_is_theirs_unless_it_is_taken_over() {
    let Some(site) = Site::without_helm("m-owner").await else {
        return;
    };
    site.apply(&asleep(&site)).await.succeeds();
    // Another tool with an opinion of its own, which it applies again and again.
    site.cluster
        .put(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": site.name, "namespace": site.namespace },
            "data": { "DELEGATE_DESCRIPTION": "theirs" },
        }))
        .await;
    let drift = site.drift().await;
    assert_eq!(
        drift,
        [format!(
            "ConfigMap/{} data.DELEGATE_DESCRIPTION is theirs, installed with ",
            site.name
        )]
    );
    let before = site.written("configmap,deployment,secret").await;
    let ours = asleep(&site)
        .set("description", "\"ours\"")
        .set("tags", "[\"new\"]");
    let error = site.apply(&ours).await.fails();
    for part in [
        "Somebody else sets the same fields",
        &format!("ConfigMap/{}", site.name),
        "data.DELEGATE_DESCRIPTION is set by \"somebody\"",
        "manifest.force_conflicts = true",
    ] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    assert_eq!(site.written("configmap,deployment,secret").await, before);
    let forced = ours.manifest("force_conflicts", "true");
    site.apply(&forced).await.succeeds();
    site.terraform.assert_settled().await;
    let live = site.get(&["configmap", &site.name]).await;
    assert_eq!(live["data"]["DELEGATE_DESCRIPTION"], "ours");
    // Only one field was theirs.
    assert_eq!(live["data"]["DELEGATE_TAGS"], "new");
}
