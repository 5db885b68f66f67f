//! A Helm that died in the middle, and Helm of somebody else.

use std::time::Duration;

use jiff::Timestamp;

use crate::charts;
use crate::cluster::{Site, kill_tree, processes, until};
use crate::terraform::{INTERRUPTED_WITHIN, ends_within};

/// An hour ago: no operation of Helm takes as long.
fn long_ago() -> Timestamp {
    Timestamp::now() - jiff::Span::new().hours(1)
}

/// That the next apply brings a release in this state back.
async fn is_healed(label: &str, major: u32, from: u64, to: u64, status: &str) {
    let Some(site) = Site::with_helm(label, major).await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.forge_revision(from, to, status, long_ago()).await;
    let drift = site.drift().await;
    assert!(
        drift
            .iter()
            .any(|line| line.starts_with(&format!("the release is {status}"))),
        "{drift:?}"
    );
    site.terraform.apply().await.succeeds();
    assert_eq!(
        site.revisions().await.last().map(|(_, status)| status.clone()),
        Some("deployed".to_owned())
    );
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_release_left_pending_install_is_healed() {
    is_healed("pinst", 3, 1, 1, "pending-install").await;
}

#[tokio::test]
async fn a_release_left_pending_upgrade_is_healed_by_helm_3() {
    is_healed("pupg3", 3, 1, 2, "pending-upgrade").await;
}

#[tokio::test]
async fn a_release_left_pending_upgrade_is_healed_by_helm_4() {
    is_healed("pupg4", 4, 1, 2, "pending-upgrade").await;
}

#[tokio::test]
async fn a_release_whose_only_revision_failed_is_healed() {
    is_healed("fail1", 3, 1, 1, "failed").await;
}

#[tokio::test]
async fn a_release_whose_last_revision_failed_is_healed() {
    is_healed("fail2", 4, 1, 2, "failed").await;
}

#[tokio::test]
async fn a_release_left_uninstalling_is_healed() {
    is_healed("unin", 3, 1, 1, "uninstalling").await;
}

#[tokio::test]
async fn a_release_left_between_two_revisions_is_healed() {
    // Killed after the old revision was written as superseded and before the new one was written as deployed.
    let Some(site) = Site::new("between").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.forge_revision(1, 2, "pending-upgrade", long_ago()).await;
    site.forge_revision(1, 1, "superseded", long_ago()).await;
    site.terraform.apply().await.succeeds();
    assert_eq!(
        site.revisions().await.last().map(|(_, status)| status.clone()),
        Some("deployed".to_owned())
    );
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn an_apply_killed_in_the_middle_of_helm_is_healed_at_once() {
    let Some(site) = Site::new("killed").await else {
        return;
    };
    // A hook that never ends holds Helm in the middle of its work.
    let chart = charts::embedded(&site, charts::with_endless_hook);
    let stuck = site
        .config()
        .helm("chart", format!("{{ path = \"{}\" }}", chart.display()));
    stuck.write(&site);
    let running = site.terraform.start(&["apply", "-no-color", "-auto-approve"]);
    until("the hook", async || {
        let job = format!("job/{}-endless", site.name);
        let found = site
            .cluster
            .try_kubectl(&["-n", &site.namespace, "get", &job, "-o", "name"])
            .await;
        found.ok()
    })
    .await;
    kill_tree(&site);
    let ended = running.end().await;
    assert!(!ended.status.success());
    until("the end of Helm", async || {
        processes(&["helm", &site.namespace]).is_empty().then_some(())
    })
    .await;
    assert_eq!(site.revisions().await, [(1, "pending-install".to_owned())]);
    assert_eq!(site.terraform.state_file(), "");
    let _ = std::fs::remove_file(site.terraform.path(".terraform.tfstate.lock.info"));

    site.apply(&site.config()).await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
    // A hook is no part of the release: Helm leaves it, and so it keeps the namespace.
    let hook = format!("{}-endless", site.name);
    site.kubectl(&["delete", "job", &hook, "--cascade=foreground"])
        .await;
    site.terraform.destroy().await.succeeds();
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{:?}",
        site.objects().await
    );
}

#[tokio::test]
async fn an_apply_killed_at_any_moment_is_healed() {
    let Some(site) = Site::new("anytime").await else {
        return;
    };
    site.config().write(&site);
    for round in 0..6_u64 {
        let running = site.terraform.start(&["apply", "-no-color", "-auto-approve"]);
        // Not waiting for luck: any moment is a good one.
        tokio::time::sleep(Duration::from_millis(300 + 250 * round)).await;
        kill_tree(&site);
        running.end().await;
        let _ = std::fs::remove_file(site.terraform.path(".terraform.tfstate.lock.info"));
    }
    until("the end of Helm", async || {
        processes(&["helm", &site.namespace]).is_empty().then_some(())
    })
    .await;
    site.terraform.apply().await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn a_young_operation_of_somebody_else_is_left_alone_and_an_old_one_taken_over() {
    let Some(site) = Site::new("busy").await else {
        return;
    };
    site.apply(&site.config()).await.succeeds();
    site.forge_revision(1, 2, "pending-upgrade", Timestamp::now())
        .await;
    let before = site.written("deployment,secret,configmap").await;
    let error = site.terraform.apply().await.fails();
    assert!(error.contains("nother Helm operation on the release"), "{error}");
    assert_eq!(site.written("deployment,secret,configmap").await, before);
    assert_eq!(site.revisions().await.len(), 2);

    site.forge_revision(1, 2, "pending-upgrade", long_ago()).await;
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn ctrl_c_during_the_wait_ends_soon_and_keeps_what_is_there() {
    let Some(site) = Site::new("ctrlc").await else {
        return;
    };
    site.config()
        .set("image", "\"nowhere.invalid/none:1\"")
        .set("wait", r#"{ timeout = "10m" }"#)
        .write(&site);
    ends_within(INTERRUPTED_WITHIN, async || {
        let running = site.terraform.start(&["apply", "-no-color", "-auto-approve"]);
        waits_for_a_pod(&site).await;
        let (took, run) = running.interrupted().await;
        let error = run.fails();
        assert!(error.contains("what was installed is kept"), "{error}");
        assert_ne!(site.attribute("id").await, serde_json::Value::Null);
        took
    })
    .await;
    site.apply(&site.config()).await.succeeds();
    site.terraform.assert_settled().await;
}

#[tokio::test]
async fn ctrl_c_while_helm_works_ends_soon_and_keeps_what_is_there() {
    let Some(site) = Site::new("ctrlh").await else {
        return;
    };
    let chart = charts::embedded(&site, charts::with_endless_hook);
    site.config()
        .helm("chart", format!("{{ path = \"{}\" }}", chart.display()))
        .write(&site);
    // Helm is given most of two seconds to put its record in order.
    ends_within(Duration::from_secs(3), async || {
        let running = site.terraform.start(&["apply", "-no-color", "-auto-approve"]);
        until("Helm in the middle of its work", async || {
            let busy = site.cluster.has_namespace(&site.namespace).await
                && site
                    .revisions()
                    .await
                    .iter()
                    .any(|(_, status)| status.starts_with("pending-"));
            (busy && !processes(&["helm", "upgrade", &site.namespace]).is_empty()).then_some(())
        })
        .await;
        let (took, run) = running.interrupted().await;
        let error = run.fails();
        assert!(error.contains("nterrupted"), "{error}");
        assert_ne!(site.attribute("id").await, serde_json::Value::Null);
        took
    })
    .await;
    let hook = format!("{}-endless", site.name);
    site.kubectl(&[
        "delete",
        "job",
        &hook,
        "--ignore-not-found",
        "--cascade=foreground",
    ])
    .await;
    site.apply(&site.config()).await.succeeds();
    site.terraform.assert_settled().await;
}

/// Until the apply is in its wait.
async fn waits_for_a_pod(site: &Site) {
    until("a pod", async || {
        let found = site
            .cluster
            .try_kubectl(&["-n", &site.namespace, "get", "pods", "-o", "name"])
            .await;
        found.ok().filter(|names| !names.trim().is_empty())
    })
    .await;
    // Until Helm has ended, it is not the wait that is interrupted.
    until("the release", async || {
        site.revisions()
            .await
            .iter()
            .any(|(_, status)| status == "deployed")
            .then_some(())
    })
    .await;
}
