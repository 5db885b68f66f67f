//! `HELM_DEPLOY` in a real cluster.

use std::process::{Command, Stdio};

use serde_json::json;

use super::site::{Site, helm, helms};

const KIND: &str = "HELM_DEPLOY";

#[tokio::test]
async fn a_release_is_installed_taken_back_and_removed() {
    for helm in helms() {
        let Some(site) = Site::new(&helm) else { return };
        let data = site.task(json!({
            "values": site.runs(), "secret_values": {"database.password": "word-of-the-database"},
        }));
        let first = site.delegate.run(KIND, data).await.well();
        assert_eq!(
            first.field("workloads"),
            &json!([{"kind": "Deployment", "name": "app", "desired": 1, "ready": 1}])
        );
        assert_eq!(
            (
                first.var("revision"),
                first.var("chart_version"),
                first.var("app_version")
            ),
            ("1", "0.1.0", "1.0")
        );
        assert_eq!(first.text("status"), "deployed");
        assert_eq!(first.text("notes").trim(), "the word is one");
        assert_eq!(site.word(), "one");
        let password = site.kubectl(&["get", "secret", "app", "--output=jsonpath={.data.password}"]);
        assert_eq!(password, "d29yZC1vZi10aGUtZGF0YWJhc2U=");
        assert!(
            site.delegate.watched().contains("secret-values.json"),
            "nothing was watched"
        );
        site.delegate.keeps_no(&first, "word-of-the-database");

        // One that never becomes ready says why, and is taken back. First the cluster must have come to know why.
        let mut never = site.task(json!({"values": Site::never(), "timeout": "2s", "on_failure": "keep"}));
        let kept = site.delegate.run(KIND, never.clone()).await;
        kept.says("the release stays as it is");
        site.until_refused().await;
        never["on_failure"] = json!("rollback");
        let failed = site.delegate.run(KIND, never).await;
        failed.says("ErrImageNeverPull").says("rolled back to revision 1");
        assert_eq!(failed.field("rolled_back_to"), 1);
        assert_eq!(
            (failed.field("revision"), failed.text("status")),
            (&json!(4), "deployed")
        );
        assert_eq!(site.word(), "one");

        // One that never comes to the cluster changes nothing.
        let data = site.task(json!({"values": {"word": "x"}, "chart": {"path": "none"}}));
        let failed = site.delegate.run(KIND, data).await;
        failed.says("nothing was changed");
        assert_eq!(failed.field("rolled_back_to"), &json!(null));

        let gone = json!({"command": "uninstall", "chart": null});
        let outcome = site.delegate.run(KIND, site.task(gone.clone())).await.well();
        assert_eq!(outcome.field("uninstalled"), true);
        let outcome = site.delegate.run(KIND, site.task(gone)).await.well();
        assert_eq!(outcome.field("uninstalled"), false);
        assert_eq!(
            site.kubectl(&["get", "configmap", "app", "--ignore-not-found"]),
            ""
        );
    }
}

#[tokio::test]
async fn a_release_goes_back_to_what_it_was_on_request() {
    let Some(helm) = helm(3) else { return };
    let Some(site) = Site::new(&helm) else { return };
    for word in ["one", "two", "three"] {
        let data = site.task(json!({"values": {"word": word}, "wait": false}));
        site.delegate.run(KIND, data).await.well();
        assert_eq!(site.word(), word);
    }
    let back = site.task(json!({"command": "rollback", "wait": false, "chart": null}));
    let outcome = site.delegate.run(KIND, back).await.well();
    assert_eq!(
        (outcome.field("rolled_back_to"), outcome.field("revision")),
        (&json!(2), &json!(4))
    );
    assert_eq!(site.word(), "two");
    let back = site.task(json!({"command": "rollback", "revision": 1, "wait": false, "chart": null}));
    site.delegate.run(KIND, back).await.well();
    assert_eq!(site.word(), "one");
    let other = site.task(json!({"command": "rollback", "release": "other", "chart": null}));
    site.delegate
        .run(KIND, other)
        .await
        .says("there is no such release");
}

#[tokio::test]
async fn a_first_installation_that_fails_goes_away_or_stays_and_is_no_obstacle() {
    let Some(helm) = helm(4) else { return };
    let Some(site) = Site::new(&helm) else { return };
    let data = site.task(json!({"values": Site::never(), "timeout": "5s"}));
    let failed = site.delegate.run(KIND, data.clone()).await;
    failed.says("the release was uninstalled");
    assert_eq!(failed.field("uninstalled"), true);
    let mut kept = data;
    kept["on_failure"] = json!("keep");
    let failed = site.delegate.run(KIND, kept).await;
    failed.says("the release stays as it is");
    assert_eq!(failed.text("status"), "failed");
    assert_eq!(failed.field("workloads")[0]["ready"], 0);
    let data = site.task(json!({"values": {"word": "good"}, "wait": false}));
    let outcome = site.delegate.run(KIND, data).await.well();
    assert!(
        outcome.text("recovered").contains("no revision ever was good"),
        "{}",
        outcome.everything()
    );
    assert_eq!(site.word(), "good");
}

#[tokio::test]
async fn what_a_killed_helm_left_is_put_in_order_and_one_that_runs_is_left_alone() {
    let Some(helm) = helm(3) else { return };
    let Some(site) = Site::new(&helm) else { return };
    let good = site.task(json!({"values": {"word": "good"}, "wait": false}));
    site.delegate.run(KIND, good.clone()).await.well();
    let mut killed = Command::new(&helm)
        .args(["upgrade", "app", "--namespace", &site.namespace, "--wait"])
        .arg("--set=word=two,image=nowhere.example.com/none:1")
        .arg(site.delegate.path("workspace/app"))
        .env("KUBECONFIG", &site.kubeconfig)
        .env("HELM_CACHE_HOME", site.delegate.path("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    site.until_pending().await;
    killed.kill().unwrap();
    killed.wait().unwrap();

    let outcome = site.delegate.run(KIND, good.clone()).await;
    outcome
        .says("another operation of helm works on the release")
        .says("`pending`");
    let mut sure = good;
    sure["pending"] = json!("0s");
    let outcome = site.delegate.run(KIND, sure).await.well();
    assert!(
        outcome.text("recovered").contains("was left pending-upgrade"),
        "{}",
        outcome.everything()
    );
    assert_eq!(
        (site.word().as_str(), outcome.text("status")),
        ("good", "deployed")
    );
}

#[tokio::test]
async fn an_aborted_deployment_is_no_obstacle_for_the_next() {
    let Some(helm) = helm(4) else { return };
    let Some(site) = Site::new(&helm) else { return };
    let good = site.task(json!({"values": {"word": "good"}, "wait": false}));
    site.delegate.run(KIND, good.clone()).await.well();
    let never = site.task(json!({"values": Site::never()}));
    let started = site.delegate.start(KIND, &never);
    site.until_pending().await;
    started.cancel.cancel();
    let outcome = started.end().await.ended("ABORTED");
    assert!(
        outcome.error().contains("the next task puts it in order"),
        "{}",
        outcome.everything()
    );
    let mut next = good;
    next["pending"] = json!("0s");
    site.delegate.run(KIND, next).await.well();
    assert_eq!(site.word(), "good");
}
