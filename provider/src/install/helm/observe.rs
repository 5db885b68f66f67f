//! Looking at a release: its record, its objects and its pods, all read through the API server. Helm is not run.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::Value;

use super::values::{self, Delivery};
use super::{Chart, HelmError, HelmSpec, Record, chart, release, takeover};
use crate::install::cluster::{Connection, pods_of};
use crate::install::kubernetes::{Workload, difference, secret, workload};

/// What is there.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The newest revision; none when the release was removed behind our back and only our Secret is left.
    pub record: Option<Record>,
    /// What differs from the installation, one short line each, without secrets.
    pub drift: Vec<String>,
    /// How the pods fare.
    pub workload: Workload,
    /// Variables of the `ConfigMap`, for whoever has to know the settings.
    pub env: BTreeMap<String, String>,
    /// Facts of the owner.
    pub notes: BTreeMap<String, String>,
    /// What changes with the token's Secret; tells that it was changed, without telling it.
    pub secret_revision: Option<String>,
    /// Whether no Terraform state is known to have it yet.
    pub unclaimed: bool,
}

impl Observed {
    fn without_release(spec: &HelmSpec, held: secret::Held) -> Self {
        Self {
            record: None,
            drift: vec![format!("the release {} is missing", spec.release)],
            workload: Workload::default(),
            env: BTreeMap::new(),
            notes: held.notes,
            secret_revision: held.revision,
            unclaimed: !held.complete,
        }
    }
}

/// Looks at the release, its objects and its pods; `None` when there is no release and nothing else of ours.
///
/// # Errors
/// When the API server cannot be reached or refuses: that is not the same as nothing there.
pub async fn observe(cluster: &Connection, spec: &HelmSpec) -> Result<Option<Observed>, HelmError> {
    let history = release::history(cluster, spec.namespace(), &spec.release).await?;
    let held = secret::read(cluster, spec.home()).await?;
    let Some(record) = history.into_iter().next_back() else {
        return Ok(held.ours.then(|| Observed::without_release(spec, held)));
    };
    let damaged =
        |problem| HelmError::Values(format!("the manifest of the release {} {problem}", spec.release));
    let installed = difference::objects(&record.manifest).map_err(damaged)?;
    let live = try_join_all(
        installed
            .iter()
            .map(|object| cluster.live(object, spec.namespace())),
    )
    .await?;
    let live: Vec<Option<Value>> = live
        .into_iter()
        .map(|object| object.and_then(|object| serde_json::to_value(object).ok()))
        .collect();
    let mut drift: Vec<String> = installed
        .iter()
        .zip(&live)
        .flat_map(|(installed, live)| difference::differences(installed, live.as_ref()))
        .collect();
    if record.info.status != "deployed" {
        drift.push(format!(
            "the release is {}: {}",
            record.info.status, record.info.description
        ));
    }
    drift.extend(values_drift(spec, &record, &held));
    let digest = chart::digest(&spec.chart).await;
    let installed = held.annotations.get(chart::DIGEST);
    if installed.is_some() && digest.is_some() && installed != digest.as_ref() {
        drift.push("the chart was changed since it was installed".to_owned());
    }
    let of_kind = |kind: &str| live.iter().flatten().find(|object| object["kind"] == kind);
    let mut workload = of_kind("Deployment")
        .map(Workload::of_deployment)
        .unwrap_or_default();
    if let Some(labels) = &workload.selector {
        workload.pods = pods_of(cluster, spec.namespace(), labels, spec.delegate.http_port()).await?;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let env = of_kind("ConfigMap")
        .and_then(|map| map["data"].as_object().cloned())
        .unwrap_or_default();
    Ok(Some(Observed {
        drift,
        workload,
        env: env
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        notes: held.notes,
        secret_revision: held.revision,
        unclaimed: held.ours && !held.complete,
        record: Some(record),
    }))
}

/// What the release was installed with against what the settings ask for now.
fn values_drift(spec: &HelmSpec, record: &Record, held: &secret::Held) -> Vec<String> {
    let mut drift = Vec::new();
    if spec.chart == Chart::Embedded {
        let ours = delegate_core::install::chart::VERSION;
        let found = &record.chart.metadata.version;
        if found != ours {
            drift.push(format!("the chart is {found}, this provider brings {ours}"));
        }
    }
    let revision = held.revision.as_deref().unwrap_or("missing");
    let kept = takeover::is_kept(held).then_some(&record.config);
    let delivery = Delivery::of(kept, revision);
    let Ok(wanted) = values::values(spec, delivery) else {
        return drift;
    };
    let (Some(wanted), found) = (
        wanted.as_object(),
        record.config.as_object().cloned().unwrap_or_default(),
    ) else {
        return drift;
    };
    // The names only: what an owner puts into values may be secret.
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| wanted.get(*name) != found.get(*name));
    drift.extend(
        differing.map(|name| format!("the value {name} of the release is not what the settings give")),
    );
    drift
}

pub(super) async fn selector_of(
    cluster: &Connection,
    spec: &HelmSpec,
    record: &Record,
) -> Result<Option<String>, HelmError> {
    let objects = difference::objects(&record.manifest).unwrap_or_default();
    let Some(deployment) = objects.iter().find(|object| object["kind"] == "Deployment") else {
        return Ok(None);
    };
    let live = cluster.live(deployment, spec.namespace()).await?;
    Ok(live
        .and_then(|live| serde_json::to_value(live).ok())
        .as_ref()
        .and_then(workload::selector))
}
