//! From nothing to a delegate that works, through its changes, and back to nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::asleep;
use crate::cluster::{Site, THIS};

#[tokio::test]
async fn a_delegate_comes_works_changes_and_goes() {
    let Some(mut site) = Site::without_helm("m-whole").await else {
        return;
    };
    site.manifest_config().write(&site);
    let mut unknown = site.terraform.plan(&[]).await.unknown(THIS);
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "connected",
            "drift",
            "id",
            "ready_replicas",
            "target_id",
            "version"
        ],
        "everything else is known before the apply"
    );
    site.terraform.apply().await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    assert_eq!(site.attribute("ready_replicas").await, 1);
    assert_eq!(site.attribute("drift").await, json!([]));
    let context = site.cluster.kubectl(&["config", "current-context"]).await;
    let id = format!("manifest/{}/{}/{}", context.trim(), site.namespace, site.name);
    assert_eq!(site.attribute("id").await, json!(id));
    let kube_system = site.cluster.get(&["namespace", "kube-system"]).await;
    assert_eq!(site.attribute("target_id").await, kube_system["metadata"]["uid"]);
    site.terraform.assert_settled().await;

    // Its rights end at the namespace, and there they are whole.
    let result = site
        .task("kubectl create configmap made-by-a-task --from-literal=who=$(id -u)")
        .await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    let made = site.get(&["configmap", "made-by-a-task"]).await;
    assert_eq!(made["data"]["who"], "1001");
    site.kubectl(&["delete", "configmap", "made-by-a-task"]).await;

    // Another token, tags and size: in place, with other pods.
    let before = site.pods().await;
    let second = site.manager.say(&["token", "create", "second"]).await;
    let second = second.split_whitespace().last().expect("a token").to_owned();
    site.terraform.set_env("TF_VAR_token", second.clone());
    site.terraform.assert_settled().await;
    site.manifest_config()
        .set("token_wo_version", "2")
        .set("tags", r#"["linux", "prod"]"#)
        .set("replicas", "2")
        .write(&site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    site.terraform.apply().await.succeeds();
    let after = site.pods().await;
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.iter().all(|(name, ready)| *ready && *name != before[0].0));
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
    let secret = site
        .get(&["secret", &format!("{}-delegate-token", site.name)])
        .await;
    assert_eq!(secret["data"]["DELEGATE_TOKEN"], BASE64.encode(second));
    assert_eq!(
        site.manager.task("prod", "true").await["command_execution_status"],
        "SUCCESS"
    );

    site.terraform.destroy().await.succeeds();
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{:?}",
        site.objects().await
    );
}

#[tokio::test]
async fn what_is_no_longer_part_of_the_delegate_goes_and_the_rest_stays() {
    let Some(site) = Site::without_helm("m-prune").await else {
        return;
    };
    // Somebody else's things in the same namespace, made before.
    site.cluster
        .kubectl(&["create", "namespace", &site.namespace])
        .await;
    site.kubectl(&["create", "configmap", "theirs", "--from-literal=a=b"])
        .await;
    let proxied = asleep(&site).set(
        "proxy",
        r#"{ host = "proxy.example", port = 3128, user = "me", password_wo = "hidden", no_proxy = [".svc"] }"#,
    );
    site.apply(&proxied).await.succeeds();
    site.terraform.assert_settled().await;
    let name = &site.name;
    let proxy = format!("configmap/{name}-proxy");
    let role = format!("role.rbac.authorization.k8s.io/{name}-harness-namespace-admin");
    let binding = format!("rolebinding.rbac.authorization.k8s.io/{name}-custom-roleBinding");
    let objects = site.objects().await;
    assert!(objects.contains(&proxy) && objects.contains(&role), "{objects:?}");
    // Two changes of rights: to a Role of the owner's, and from that to another one, which no binding survives.
    for owned in ["deployer", "auditor"] {
        site.apply(&asleep(&site).set("permissions", format!("\"{owned}\"")))
            .await
            .succeeds();
        site.terraform.assert_settled().await;
        let objects = site.objects().await;
        assert!(
            !objects.contains(&proxy) && !objects.contains(&role),
            "{objects:?}"
        );
        assert!(objects.contains(&binding), "{objects:?}");
        let live = site
            .get(&["rolebinding", &format!("{name}-custom-roleBinding")])
            .await;
        assert_eq!(live["roleRef"]["name"], owned);
    }
    site.apply(&asleep(&site).set("permissions", "\"CLUSTER_VIEWER\""))
        .await
        .succeeds();
    let wide = format!("clusterrolebinding/{name}-cluster-viewer");
    site.cluster.kubectl(&["get", &wide]).await;
    assert!(!site.objects().await.contains(&binding));
    site.terraform.assert_settled().await;

    site.terraform.destroy().await.succeeds();
    assert!(site.cluster.try_kubectl(&["get", &wide]).await.is_err());
    let left = site.objects().await;
    assert_eq!(
        left.iter().map(String::as_str).collect::<Vec<_>>(),
        ["configmap/theirs"]
    );
    assert!(site.cluster.has_namespace(&site.namespace).await);
}

#[tokio::test]
async fn another_name_or_namespace_is_another_delegate() {
    let Some(mut site) = Site::without_helm("m-rename").await else {
        return;
    };
    site.apply(&asleep(&site)).await.succeeds();
    let old = site.name.clone();
    site.name = format!("{old}-b");
    asleep(&site).write(&site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["delete", "create"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    let objects = site.objects().await;
    let deployment = |name: &str| format!("deployment.apps/{name}");
    assert!(
        objects.contains(&deployment(&site.name)) && !objects.contains(&deployment(&old)),
        "{objects:?}"
    );
    // The same name again, made anew in one apply: what goes and what comes do not get into each other's way.
    let replace = ["apply", "-no-color", "-auto-approve", &format!("-replace={THIS}")];
    site.terraform.run(&replace).await.succeeds();
    site.terraform.assert_settled().await;

    let old = site.namespace.clone();
    site.namespace = format!("{old}-b");
    let new = site.namespace.clone();
    site.also_remove(&new);
    asleep(&site).write(&site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["delete", "create"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    assert!(!site.cluster.has_namespace(&old).await);
    assert!(site.cluster.has_namespace(&new).await);
}

#[tokio::test]
async fn the_way_of_installing_can_be_changed() {
    let Some(site) = Site::new("m-mode").await else {
        return;
    };
    let no_pods = |config: crate::cluster::Config| {
        config
            .set("replicas", "0")
            .set("wait", r#"{ until = "installed" }"#)
    };
    site.apply(&no_pods(site.config())).await.succeeds();
    // What goes is still a release.
    let helm = serde_json::json!(site.helm.display().to_string()).to_string();
    no_pods(site.manifest_config())
        .provider("helm_binary", helm)
        .write(&site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["delete", "create"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    assert!(site.revisions().await.is_empty());
    site.apply(&no_pods(site.config())).await.succeeds();
    site.terraform.assert_settled().await;
    assert_eq!(site.revisions().await.len(), 1);
}
