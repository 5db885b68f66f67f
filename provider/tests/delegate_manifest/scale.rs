//! Many delegates in one namespace: looked at together, made and removed without asking for the same thing twice.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use crate::asleep;
use crate::cluster::{Config, CountingProxy, Site};

const COUNT: usize = 50;

/// Fifty delegates without pods, through a proxy that counts.
fn fifty(site: &Site, proxy: &CountingProxy) -> Config {
    asleep(site)
        .provider("kubernetes", format!("{{ host = {} }}", json!(proxy.url)))
        .set("count", COUNT.to_string())
        .set("name", format!("\"{}-${{count.index}}\"", site.name))
}

/// How often each was asked for; names of objects are left out, so that fifty requests for fifty objects are one line.
fn tally(requests: &[String]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for request in requests {
        *tally.entry(request.clone()).or_default() += 1;
    }
    tally
}

#[tokio::test]
async fn fifty_delegates_are_looked_at_with_one_list_a_kind() {
    let Some(site) = Site::without_helm("m-fifty").await else {
        return;
    };
    let mut proxy = CountingProxy::start(&site.cluster).await;
    fifty(&site, &proxy).write(&site);
    let started = Instant::now();
    site.terraform.apply().await.succeeds();
    let created = started.elapsed();
    let making = proxy.requests();
    let writes = making
        .iter()
        .filter(|request| request.starts_with("PATCH"))
        .count();
    // Six objects each, and the namespace; and once Terraform has stored them, a mark each, which a later read makes up for when
    // Terraform does not wait for it.
    let made = COUNT * 6 + 1;
    assert!((made..=made + COUNT).contains(&writes), "{:#?}", tally(&making));
    let reads = making.len() - writes;
    assert!(reads < COUNT, "{reads} reads: {:#?}", tally(&making));

    // The first plan writes down that a state has them, where that is still missing.
    site.terraform.assert_settled().await;
    proxy.requests();
    let started = Instant::now();
    let plan = site
        .terraform
        .run(&["plan", "-no-color", "-detailed-exitcode"])
        .await;
    let planned = started.elapsed();
    assert_eq!(plan.status.code(), Some(0), "{plan}");
    let asked = tally(&proxy.requests());
    assert!(asked.values().all(|count| *count == 1), "{asked:#?}");
    // The namespace kube-system, and a list of each: Secrets, Deployments, Pods, ConfigMaps, ServiceAccounts, Roles, RoleBindings.
    assert_eq!(asked.len(), 8, "{asked:#?}");

    // Drift of one is one dry run more, and one update.
    let patch = r#"{"data":{"DELEGATE_TAGS":"theirs"}}"#;
    let map = format!("{}-17", site.name);
    site.kubectl(&["patch", "configmap", &map, "--type=merge", "--patch", patch])
        .await;
    let plan = site
        .terraform
        .run(&["plan", "-no-color", "-detailed-exitcode"])
        .await;
    assert_eq!(plan.status.code(), Some(2), "{plan}");
    assert!(
        plan.stdout.contains("0 to add, 1 to change, 0 to destroy"),
        "{plan}"
    );
    assert_eq!(proxy.requests().len(), 9);

    let started = Instant::now();
    site.terraform.destroy().await.succeeds();
    let destroyed = started.elapsed();
    let removing = tally(&proxy.requests());
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{removing:#?}"
    );
    eprintln!(
        "{COUNT} delegates: created in {created:?}, planned in {planned:?}, destroyed in {destroyed:?}"
    );
    proxy.stop().await;
}
