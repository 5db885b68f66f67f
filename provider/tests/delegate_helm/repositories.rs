//! Charts of repositories that want a login: fetched when something changes, and only then.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::charts;
use crate::cluster::{Config, Site, THIS};
use crate::secrets::{CommandLines, Secrets};
use crate::sources::{PASSWORD, Registry, Repository, USER};

/// The embedded chart, packed as this version in a folder of the site.
async fn pack(site: &Site, version: &str) -> PathBuf {
    let folder = site.terraform.path(&format!("packed-{version}"));
    let chart = site.terraform.path("chart");
    if !chart.exists() {
        charts::embedded(site, |_| {});
    }
    site.helm(&[
        "package",
        chart.to_str().unwrap(),
        "--version",
        version,
        "--destination",
        folder.to_str().unwrap(),
    ])
    .await;
    folder.join(format!("harness-delegate-{version}.tgz"))
}

/// A delegate without pods, from a chart of this repository.
fn config(site: &Site, repository: &str, version: &str, ca_file: Option<&Path>) -> Config {
    let ca_file = ca_file.map(|file| format!(", repository_ca_file = {}", json!(file.display().to_string())));
    site.config()
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#)
        .helm(
            "chart",
            format!(
                "{{ repository = \"{repository}\", name = \"harness-delegate\", version = \"{version}\", repository_username = \"{USER}\", \
                 repository_password_wo = var.repository_password{} }}",
                ca_file.unwrap_or_default()
            ),
        )
        .more("variable \"repository_password\" {\n  type      = string\n  ephemeral = true\n  sensitive = true\n}\n")
}

async fn version(site: &Site) -> serde_json::Value {
    let newest = site
        .records()
        .await
        .into_iter()
        .max_by_key(|record| record["version"].as_u64());
    newest.expect("a record")["chart"]["metadata"]["version"].clone()
}

/// Install, upgrade, and the login nowhere but where it has to be; a wrong one is told with the chart.
async fn comes_from(site: &mut Site, repository: &str, ca_file: Option<&Path>) {
    let mut secrets = Secrets::new();
    secrets.add("the repository's password", PASSWORD);
    secrets.add("the login", &format!("{USER}:{PASSWORD}"));
    site.terraform
        .set_env("TF_VAR_repository_password", "another-password");
    let first = config(site, repository, "1.0.1", ca_file);
    first.write(site);
    let refused = site.terraform.run(&["plan", "-no-color"]).await.fails();
    for part in ["The chart cannot be had", "harness-delegate 1.0.1 of", repository] {
        assert!(refused.contains(part), "{part:?} is not in: {refused}");
    }
    assert!(!refused.contains("another-password"), "{refused}");

    site.terraform.set_env("TF_VAR_repository_password", PASSWORD);
    site.terraform.set_env("TF_LOG", "TRACE");
    let lines = CommandLines::watch();
    let plan = site.terraform.plan(&[]).await;
    let applied = site.terraform.apply().await.succeeds();
    let lines = lines.seen();
    site.terraform.set_env("TF_LOG", "");
    assert!(lines.contains("pull --destination"), "{lines}");
    assert_eq!(version(site).await, "1.0.1");
    secrets.absent_from("the plan", &plan.json.to_string());
    secrets.absent_from("the log", &applied.stderr);
    secrets.absent_from("a command line", &lines);
    secrets.absent_from("the state", &site.terraform.state_file());
    for record in site.records().await {
        secrets.absent_from("Helm's record", &record.to_string());
    }
    let second = config(site, repository, "1.0.2", ca_file);
    second.write(site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    site.terraform.apply().await.succeeds();
    assert_eq!(version(site).await, "1.0.2");
}

#[tokio::test]
async fn a_chart_comes_from_an_oci_registry_with_a_login() {
    for major in [3, 4] {
        let Some(mut site) = Site::with_helm("oci", major).await else {
            return;
        };
        let Some(registry) = Registry::start().await else {
            return;
        };
        for version in ["1.0.1", "1.0.2"] {
            let packed = pack(&site, version).await;
            registry.push(&site.helm, &packed).await;
        }
        let repository = format!("oci://{}/charts", registry.address);
        comes_from(&mut site, &repository, Some(&registry.ca_file)).await;
        // The registry is gone, and nobody asks for it.
        drop(registry);
        site.terraform.assert_settled().await;
    }
}

#[tokio::test]
async fn a_chart_comes_from_a_repository_with_a_login_and_a_plan_without_changes_asks_nobody() {
    for major in [3, 4] {
        let Some(mut site) = Site::with_helm("repo", major).await else {
            return;
        };
        let folder = site.terraform.path("repository");
        std::fs::create_dir(&folder).unwrap();
        for version in ["1.0.1", "1.0.2"] {
            let packed = pack(&site, version).await;
            std::fs::copy(&packed, folder.join(packed.file_name().unwrap())).unwrap();
        }
        site.helm(&["repo", "index", folder.to_str().unwrap()]).await;
        let repository = Repository::serve(&folder).await;
        comes_from(&mut site, &repository.url, None).await;
        let asked = repository.requests();
        assert!(asked > 0);
        site.terraform.assert_settled().await;
        assert_eq!(repository.requests(), asked);
    }
}

#[tokio::test]
async fn a_plan_without_changes_runs_no_helm() {
    let Some(site) = Site::new("noop").await else {
        return;
    };
    let none = |config: Config| {
        config
            .set("replicas", "0")
            .set("wait", r#"{ until = "installed" }"#)
    };
    site.apply(&none(site.config())).await.succeeds();
    // Whoever ran it would be told so.
    none(site.config().provider("helm_binary", "\"/nowhere/helm\"")).write(&site);
    site.terraform.assert_settled().await;
    let changed =
        none(site.config().provider("helm_binary", "\"/nowhere/helm\"")).set("description", "\"x\"");
    changed.write(&site);
    let error = site.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("/nowhere/helm"), "{error}");
}

#[tokio::test]
async fn a_chart_that_was_changed_on_this_machine_is_seen() {
    let Some(site) = Site::new("edited").await else {
        return;
    };
    let chart = charts::embedded(&site, |_| {});
    let config = site
        .config()
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#)
        .helm("chart", format!("{{ path = \"{}\" }}", chart.display()));
    site.apply(&config).await.succeeds();
    site.terraform.assert_settled().await;
    let more = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-more\n";
    std::fs::write(chart.join("templates/more.yaml"), more).unwrap();
    assert_eq!(
        site.drift().await,
        ["the chart was changed since it was installed"]
    );
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    site.get(&["configmap", &format!("{}-more", site.name)]).await;
}
