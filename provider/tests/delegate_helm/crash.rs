//! Terraform, the provider and Helm are killed at moments that chance picks: the next apply heals, each time.

use std::time::Instant;

use crate::cluster::{Config, Site, kill_tree, processes, until};
use crate::terraform::crash_seed;

/// Kills of each of the two lanes; the host's tests add the bulk.
const KILLS: usize = 12;

const APPLY: &[&str] = &["apply", "-no-color", "-auto-approve"];
const DESTROY: &[&str] = &["destroy", "-no-color", "-auto-approve"];

fn config(site: &Site, round: usize) -> Config {
    site.config()
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#)
        .set("description", format!("\"{round}\""))
}

/// That there is one release, deployed, and it is what was asked for last.
async fn is_well(site: &Site, round: usize) {
    let revisions = site.revisions().await;
    assert_eq!(
        revisions.last().map(|(_, status)| status.as_str()),
        Some("deployed"),
        "{revisions:?}"
    );
    let settings = site.get(&["configmap", &site.name]).await;
    assert_eq!(settings["data"]["DELEGATE_DESCRIPTION"], round.to_string());
    let all = site.get(&["deployment"]).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

/// Create, update and destroy in turns, each killed and then healed.
async fn lane(label: &str, major: u32) {
    let Some(site) = Site::with_helm(label, major).await else {
        return;
    };
    let mut chance = fastrand::Rng::with_seed(crash_seed(label));
    config(&site, 0).write(&site);
    let began = Instant::now();
    site.terraform.apply().await.succeeds();
    let whole = began.elapsed();
    let mut installed = true;
    for round in 1..=KILLS {
        let destroy = installed && round % 3 == 0;
        config(&site, round).write(&site);
        let moment = whole.mul_f64(chance.f64() * 1.1);
        let running = site.terraform.start(if destroy { DESTROY } else { APPLY });
        // Any moment is a good one: this waits for nothing.
        tokio::time::sleep(moment).await;
        let all = chance.bool();
        if all {
            kill_tree(&site);
        } else {
            // Helm is left to what ends with its parent.
            running.kill();
        }
        running.end().await;
        // Its end takes the kernel a moment; a Helm that goes on would be somebody else's.
        until("the end of Helm", async || {
            processes(&["helm", &site.namespace]).is_empty().then_some(())
        })
        .await;
        let what = match (destroy, installed) {
            (true, _) => "destroy",
            (false, true) => "update",
            (false, false) => "create",
        };
        eprintln!("{label} round {round}: {what} killed after {moment:?}, Helm by us: {all}");
        if destroy && chance.bool() {
            site.terraform.destroy().await.succeeds();
            assert!(
                !site.cluster.has_namespace(&site.namespace).await,
                "{:?}",
                site.objects().await
            );
            installed = false;
        } else {
            site.terraform.apply().await.succeeds();
            is_well(&site, round).await;
            installed = true;
        }
    }
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    site.terraform.destroy().await.succeeds();
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{:?}",
        site.objects().await
    );
}

#[tokio::test]
async fn what_is_killed_at_any_moment_is_healed_with_helm_3() {
    lane("crash3", 3).await;
}

#[tokio::test]
async fn what_is_killed_at_any_moment_is_healed_with_helm_4() {
    lane("crash4", 4).await;
}

#[tokio::test]
async fn a_kill_right_after_terraform_was_told_is_healed() {
    // The moment that is the hardest to hit: the release is there, the provider has answered, nothing is stored.
    let Some(site) = Site::new("told").await else {
        return;
    };
    config(&site, 1).write(&site);
    site.terraform.apply().await.succeeds();
    std::fs::remove_file(site.terraform.path("terraform.tfstate")).unwrap();
    // Only a process that Terraform has ended in order writes down that a state has the release.
    let secret = format!("{}-delegate-token", site.name);
    site.kubectl(&["annotate", "secret", &secret, "harness-delegate/complete-"])
        .await;
    site.terraform.apply().await.succeeds();
    is_well(&site, 1).await;
    let complete = async || {
        let secret = site.get(&["secret", &secret]).await;
        secret["metadata"]["annotations"]["harness-delegate/complete"].is_string()
    };
    // The end of that process writes it down, unless Terraform loses its patience of two seconds with it, as it does on a machine
    // under load; and where that happens, the next look does.
    site.kubectl(&["annotate", "secret", &secret, "harness-delegate/complete-"])
        .await;
    site.terraform.assert_settled().await;
    assert!(complete().await, "it was looked at");
    assert!(site.terraform.state_file().contains(&site.name));
}
