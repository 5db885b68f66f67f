//! How Helm goes about it: undo, history, rights that change, and values that win over arguments.

use serde_json::json;

use crate::cluster::{Config, Site, THIS};

/// A delegate without pods: what is tested is the release.
fn quiet(site: &Site) -> Config {
    site.config()
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#)
}

#[tokio::test]
async fn an_atomic_change_that_does_not_work_is_undone() {
    for major in [3, 4] {
        let Some(site) = Site::with_helm("atomic", major).await else {
            return;
        };
        let config = site.config().helm("atomic", "true");
        site.apply(&config).await.succeeds();
        let pods = site.pods().await;
        let broken = config
            .clone()
            .set("image", "\"nowhere.invalid/none:1\"")
            .set("wait", r#"{ timeout = "6s" }"#);
        site.apply(&broken).await.fails();
        // Helm has put it back by itself, and the plan knows that it is not what was asked for.
        let deployment = site.get(&["deployment", &site.name]).await;
        assert_eq!(
            deployment["spec"]["template"]["spec"]["containers"][0]["image"],
            site.cluster.image.as_str()
        );
        assert_eq!(site.pods().await, pods);
        assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
        site.apply(&config).await.succeeds();
        site.terraform.assert_settled().await;
    }
}

#[tokio::test]
async fn no_more_revisions_are_kept_than_was_asked_for() {
    let Some(site) = Site::new("history").await else {
        return;
    };
    for round in 0..4 {
        let config = quiet(&site)
            .helm("max_history", "2")
            .set("description", format!("\"{round}\""));
        site.apply(&config).await.succeeds();
    }
    let revisions = site.revisions().await;
    assert_eq!(revisions.len(), 2, "{revisions:?}");
    assert_eq!(revisions.last().map(|(revision, _)| *revision), Some(4));
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn rights_can_be_given_by_another_role() {
    for major in [3, 4] {
        let Some(site) = Site::with_helm("roles", major).await else {
            return;
        };
        let binding = format!("{}-custom-roleBinding", site.name);
        for role in ["reader", "writer", "reader"] {
            site.apply(&quiet(&site).set("permissions", format!("\"{role}\"")))
                .await
                .succeeds();
            let found = site.get(&["rolebinding", &binding]).await;
            assert_eq!(found["roleRef"]["name"], role);
        }
        site.terraform.assert_settled().await;
    }
}

#[tokio::test]
async fn values_that_win_over_an_argument_are_named() {
    let Some(site) = Site::new("both").await else {
        return;
    };
    let both = quiet(&site)
        .values("replicas: 0\ntags: from-values\n")
        .set("tags", r#"["from-arguments"]"#);
    both.write(&site);
    let plan = site.terraform.plan(&[]).await;
    let text = plan.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("helm.values[0] sets tags, which the argument tags sets too"),
        "{text}"
    );
    assert!(
        !text.contains("sets replicas"),
        "the same said twice is no contradiction: {text}"
    );
    site.terraform.apply().await.succeeds();
    let settings = site.get(&["configmap", &site.name]).await;
    assert_eq!(settings["data"]["DELEGATE_TAGS"], "from-values");
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn the_same_release_twice_is_refused_before_anything_is_made() {
    let Some(site) = Site::new("double").await else {
        return;
    };
    let quoted = |text: &str| serde_json::json!(text).to_string();
    let second = |name: &str, release: &str| {
        format!(
            "resource \"harness_delegate\" \"second\" {{\n  name = {}\n  replicas = 0\n  token_wo = var.token\n  wait = {{ until = \
             \"installed\" }}\n  helm = {{ namespace = {}, release = {} }}\n}}\n",
            quoted(name),
            quoted(&site.namespace),
            quoted(release)
        )
    };
    let other = format!("{}-b", site.name);
    for text in [second(&other, &site.name), second(&site.name, &other)] {
        quiet(&site).more(&text).write(&site);
        let error = site.terraform.run(&["plan", "-no-color"]).await.fails();
        for part in ["The same delegate twice", site.name.as_str()] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        assert!(!site.cluster.has_namespace(&site.namespace).await);
    }
    // One that is there already keeps its place, whatever the order.
    site.apply(&quiet(&site)).await.succeeds();
    quiet(&site)
        .set("description", "\"x\"")
        .more(&second(&other, &site.name))
        .write(&site);
    let error = site.terraform.apply().await.fails();
    assert!(
        error.contains("The same delegate twice") || error.contains("The release exists already"),
        "{error}"
    );
    site.apply(&quiet(&site).set("description", "\"x\""))
        .await
        .succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_change_of_token_image_tags_and_replicas_loses_no_running_task() {
    let Some(mut site) = Site::new("drain").await else {
        return;
    };
    site.apply(&site.config().set("permissions", "\"NAMESPACE_ADMIN\""))
        .await
        .succeeds();
    let before = site.pods().await;
    let script = "kubectl create configmap has-begun; until kubectl get configmap go-on; do sleep 0.2; done; echo finished";
    let task = site.manager.submit(&site.name, script);
    crate::cluster::until("the task to begin", async || {
        let found = ["-n", &site.namespace, "get", "configmap", "has-begun"];
        site.cluster.try_kubectl(&found).await.ok()
    })
    .await;
    let token = site.manager.say(&["token", "create", "second"]).await;
    let token = token.split_whitespace().last().unwrap().to_owned();
    site.terraform.set_env("TF_VAR_token", token);
    // The same image by its whole name: another one, for whoever compares names.
    let image = match site.cluster.image.as_str() {
        whole if whole.contains('/') => whole.to_owned(),
        short => format!("docker.io/library/{short}"),
    };
    let changed = site
        .config()
        .set("permissions", "\"NAMESPACE_ADMIN\"")
        .set("token_wo_version", "2")
        .set("image", json!(image).to_string())
        .set("tags", r#"["new"]"#)
        .set("replicas", "2");
    changed.write(&site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    let apply = site.terraform.start(&["apply", "-no-color", "-auto-approve"]);
    crate::cluster::until("the old pod to be told to end", async || {
        site.pods()
            .await
            .iter()
            .all(|pod| pod.0 != before[0].0)
            .then_some(())
    })
    .await;
    site.kubectl(&["create", "configmap", "go-on"]).await;
    let output = task.wait_with_output().await.unwrap();
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(
        result["command_execution_status"],
        "SUCCESS",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    apply.end().await.succeeds();
    assert_eq!(site.pods().await.len(), 2);
    let deployment = site.get(&["deployment", &site.name]).await;
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        image
    );
    assert_eq!(
        site.manager.task("new", "true").await["command_execution_status"],
        "SUCCESS"
    );
    site.terraform.assert_settled().await;
}
