//! An apply or a destroy that dies at any moment is healed by the next one.

use std::time::{Duration, Instant};

use crate::asleep;
use crate::cluster::{Config, Site, kill_tree, until};
use crate::terraform::{INTERRUPTED_WITHIN, ends_within};

/// Runs Terraform and kills it, with everything it started, this long after its start.
async fn killed_after(site: &Site, config: &Config, arguments: &[&str], moment: Duration) {
    config.write(site);
    let running = site.terraform.start(arguments);
    // Not waiting for luck: any moment is a good one.
    tokio::time::sleep(moment).await;
    kill_tree(site);
    running.end().await;
    let _ = std::fs::remove_file(site.terraform.path(".terraform.tfstate.lock.info"));
}

#[tokio::test]
async fn an_apply_or_destroy_killed_at_any_moment_is_healed() {
    let Some(site) = Site::without_helm("m-killed").await else {
        return;
    };
    let small = asleep(&site);
    let other = asleep(&site)
        .set("permissions", "\"CLUSTER_VIEWER\"")
        .set("tags", "[\"other\"]");
    // How long each takes without a murder, on this machine at this moment.
    let started = Instant::now();
    site.apply(&small).await.succeeds();
    let whole = started.elapsed();
    site.terraform.destroy().await.succeeds();
    for round in 1..=8_u32 {
        // Towards the end of a run, where the work is.
        let moment = whole * (round + 4) / 12;
        let apply = &["apply", "-no-color", "-auto-approve"];
        let destroy = &["destroy", "-no-color", "-auto-approve"];
        killed_after(&site, &small, apply, moment).await;
        killed_after(&site, &other, apply, moment).await;
        site.apply(&other).await.succeeds();
        site.terraform.assert_settled().await;
        assert!(
            !site
                .objects()
                .await
                .iter()
                .any(|object| object.contains("namespace-admin")),
            "what a killed apply had made is left: {:?}",
            site.objects().await
        );
        killed_after(&site, &other, destroy, moment).await;
        site.terraform.destroy().await.succeeds();
        assert!(
            !site.cluster.has_namespace(&site.namespace).await,
            "{:?}",
            site.objects().await
        );
    }
}

#[tokio::test]
async fn ctrl_c_during_the_wait_ends_soon_and_keeps_what_is_there() {
    let Some(site) = Site::without_helm("m-ctrlc").await else {
        return;
    };
    site.manifest_config()
        .set("image", "\"nowhere.invalid/none:1\"")
        .set("wait", r#"{ timeout = "10m" }"#)
        .write(&site);
    ends_within(INTERRUPTED_WITHIN, async || {
        site.terraform.destroy().await.succeeds();
        let running = site.terraform.start(&["apply", "-no-color", "-auto-approve"]);
        until("a pod", async || {
            let found = site
                .cluster
                .try_kubectl(&["-n", &site.namespace, "get", "pods", "-o", "name"])
                .await;
            found.ok().filter(|names| !names.trim().is_empty())
        })
        .await;
        let (took, run) = running.interrupted().await;
        let error = run.fails();
        assert!(error.contains("next apply goes on from there"), "{error}");
        assert_ne!(site.attribute("id").await, serde_json::Value::Null);
        took
    })
    .await;
    site.apply(&asleep(&site)).await.succeeds();
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
    assert!(!site.cluster.has_namespace(&site.namespace).await);
}
