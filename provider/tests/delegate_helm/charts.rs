//! Other charts than the embedded one, and the owner's values.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Site, THIS};

/// A copy of the chart in the site's folder, changed by `change`.
pub(crate) fn embedded(site: &Site, change: impl FnOnce(&Path)) -> PathBuf {
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../delegate-core/chart");
    let folder = site.terraform.path("chart");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(&folder)
        .status()
        .expect("cp runs");
    assert!(copied.success());
    change(&folder);
    folder
}

/// Gives a chart a hook that never ends.
pub(crate) fn with_endless_hook(chart: &Path) {
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {{ .Release.Name }}-endless\n  annotations:\n    helm.sh/hook: pre-install,pre-upgrade\n\
                spec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n        - name: c\n          image: nowhere.invalid/none:1\n";
    std::fs::write(chart.join("templates/endless.yaml"), hook).unwrap();
}

/// Turns the chart into one that, like the official one, knows nothing of the values that only ours has; it refuses them.
fn official_style(chart: &Path) {
    let edit = |name: &str, change: &dyn Fn(String) -> String| {
        let file = chart.join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, change(text)).unwrap();
    };
    edit("Chart.yaml", &|text| {
        text.replace("name: harness-delegate\n", "name: harness-delegate-ng\n")
    });
    edit("values.schema.json", &|text| {
        let mut schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        let known = schema["properties"].as_object_mut().unwrap();
        for ours in [
            "delegateTokenChecksum",
            "logStreamingServiceUrl",
            "existingProxySecret",
        ] {
            known
                .remove(ours)
                .unwrap_or_else(|| panic!("the schema has no {ours}"));
        }
        schema.to_string()
    });
    edit("values.yaml", &|text| {
        let ours = [
            "delegateTokenChecksum:",
            "logStreamingServiceUrl:",
            "existingProxySecret:",
        ];
        text.lines()
            .filter(|line| !ours.iter().any(|key| line.starts_with(key)))
            .map(|line| format!("{line}\n"))
            .collect()
    });
}

async fn is_installed(site: &Site, path: &Path) {
    let config = site
        .config()
        .helm("chart", format!("{{ path = \"{}\" }}", path.display()))
        .set(
            "log_service_url",
            format!("\"{}/log-service/\"", site.manager.url),
        );
    site.apply(&config).await.succeeds();
    assert_eq!(site.attribute("connected").await, true);
    site.terraform.assert_settled().await;
    let record = site.records().await.remove(0);
    assert_eq!(record["chart"]["metadata"]["name"], "harness-delegate-ng");
    // A change of the token replaces its pods too.
    let before = site.pods().await;
    let drift = {
        let patch = r#"{"stringData":{"DELEGATE_TOKEN":"ffffffffffffffffffffffffffffffff"}}"#;
        site.kubectl(&[
            "patch",
            "secret",
            &format!("{}-delegate-token", site.name),
            "--type=merge",
            "--patch",
            patch,
        ])
        .await;
        site.drift().await
    };
    assert!(!drift.is_empty());
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    assert_eq!(site.pods().await.len(), before.len());
    site.terraform.destroy().await.succeeds();
    assert!(
        !site.cluster.has_namespace(&site.namespace).await,
        "{:?}",
        site.objects().await
    );
}

#[tokio::test]
async fn a_chart_in_a_folder_needs_none_of_our_own_values() {
    let Some(site) = Site::with_helm("folder", 4).await else {
        return;
    };
    let chart = embedded(&site, official_style);
    is_installed(&site, &chart).await;
}

#[tokio::test]
async fn a_packed_chart_needs_none_of_our_own_values() {
    let Some(site) = Site::with_helm("packed", 3).await else {
        return;
    };
    let chart = embedded(&site, official_style);
    let target = site.terraform.path("");
    site.helm(&[
        "package",
        chart.to_str().unwrap(),
        "--destination",
        target.to_str().unwrap(),
    ])
    .await;
    let packed = std::fs::read_dir(&target)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let packed = packed
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "tgz"))
        .expect("a packed chart");
    is_installed(&site, &packed).await;
}

#[tokio::test]
async fn a_chart_that_is_not_there_is_refused_at_plan() {
    let Some(site) = Site::new("nochart").await else {
        return;
    };
    site.config()
        .helm("chart", r#"{ path = "/nowhere/chart" }"#)
        .write(&site);
    let error = site.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("/nowhere/chart"), "{error}");
    assert_eq!(error.matches("Error: ").count(), 1, "{error}");
}

#[tokio::test]
async fn the_owners_values_are_laid_over_the_arguments() {
    let Some(site) = Site::new("merge").await else {
        return;
    };
    let first = "delegatePodLabels: {team: a, tier: x}\nminReadySeconds: 0\n";
    let second = "delegatePodLabels: {tier: z}\nannotations: {note: mine}\n";
    let config = site.config().helm(
        "values",
        format!("[{}, {}]", serde_json::json!(first), serde_json::json!(second)),
    );
    site.apply(&config).await.succeeds();
    site.terraform.assert_settled().await;
    let template = &site.get(&["deployment", &site.name]).await["spec"]["template"]["metadata"];
    assert_eq!(
        (&template["labels"]["team"], &template["labels"]["tier"]),
        (&"a".into(), &"z".into())
    );
    assert_eq!(template["annotations"]["note"], "mine");
    assert_eq!(template["annotations"]["prometheus.io/port"], "3460");
    // Another value is a change in place.
    let changed = config.helm("values", format!("[{}]", serde_json::json!(first)));
    changed.write(&site);
    assert_eq!(site.terraform.plan(&[]).await.actions(THIS), ["update"]);
    site.terraform.apply().await.succeeds();
    site.terraform.assert_settled().await;
    let template = &site.get(&["deployment", &site.name]).await["spec"]["template"]["metadata"];
    assert_eq!(template["labels"]["tier"], "x");
}
