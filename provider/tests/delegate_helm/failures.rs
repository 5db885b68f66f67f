//! A delegate that does not come up: the error shows why, and nothing is lost.

use serde_json::Value as Json;

use crate::cluster::{Config, Manager, Site, THIS};

/// That this apply fails with all of `expected` in the error, the state knows the delegate, and the good configuration heals it.
async fn fails_and_heals(site: &Site, broken: Config, expected: &[&str]) {
    let error = site.apply(&broken).await.fails();
    for part in expected {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    assert!(error.contains(&site.name), "{error}");
    assert_ne!(site.attribute("id").await, Json::Null);
    assert_eq!(site.attribute("connected").await, false);
    assert!(site.terraform.plan(&[]).await.changes);
    site.apply(&site.config()).await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_told_with_the_pods_events() {
    let Some(site) = Site::new("noimage").await else {
        return;
    };
    let broken = site
        .config()
        .set("image", "\"nowhere.invalid/none:1\"")
        .set("wait", r#"{ timeout = "15s" }"#);
    fails_and_heals(
        &site,
        broken,
        &[
            "0 of 1 pods are ready",
            "container delegate waits",
            "event:",
            "nowhere.invalid/none:1",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_token_that_the_manager_refuses_is_told_with_the_delegates_last_words() {
    let Some(site) = Site::new("badtoken").await else {
        return;
    };
    let broken = site
        .config()
        .set("token_wo", "\"00112233445566778899aabbccddeeff\"")
        .set("token_wo_version", "7")
        .set("wait", r#"{ timeout = "15s" }"#);
    fails_and_heals(&site, broken, &["exit code 3", "log:", "token"]).await;
}

#[tokio::test]
async fn a_manager_that_cannot_be_reached_is_named() {
    let Some(site) = Site::new("nomanager").await else {
        return;
    };
    let broken = site
        .config()
        .provider("endpoint", "\"http://10.244.0.1:9\"")
        .set("wait", r#"{ timeout = "10s" }"#);
    fails_and_heals(&site, broken, &["http://10.244.0.1:9", "connected", "log:"]).await;
}

#[tokio::test]
async fn an_update_that_fails_keeps_the_delegate_and_the_next_apply_heals_it() {
    let Some(site) = Site::new("badupdate").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    let broken = site
        .config()
        .set("image", "\"nowhere.invalid/none:1\"")
        .set("wait", r#"{ timeout = "5s" }"#);
    let error = site.apply(&broken).await.fails();
    assert!(error.contains("nowhere.invalid/none:1"), "{error}");
    assert!(!site.terraform.state().await.is_tainted(THIS));
    // The old pod serves on: a rollout takes it away only when the new one is ready.
    assert_eq!(site.task("true").await["command_execution_status"], "SUCCESS");
    // The same configuration again is not "nothing to do".
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    site.apply(&site.config()).await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_manager_that_goes_away_shows_in_the_next_plan_and_changes_nothing() {
    let Some(mut site) = Site::new("away").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.manager.kill().await;
    crate::cluster::until("the delegate notices", async || {
        site.terraform
            .run(&["apply", "-refresh-only", "-auto-approve", "-no-color"])
            .await
            .succeeds();
        (site.attribute("connected").await == false).then_some(())
    })
    .await;
    // Not connected is no difference of the installation: applying would mend nothing.
    assert!(!site.terraform.plan(&[]).await.changes);
    site.manager = Manager::start().await;
}
