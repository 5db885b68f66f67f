//! Helm's own record of a release, read from the cluster without running Helm.
//!
//! Helm keeps every revision in a Secret `sh.helm.release.v1.NAME.vN` whose `release` is base64 of gzip of JSON. Only
//! the fields named here are read; both majors of Helm write them.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use crate::install::cluster::{ClusterError, Connection};

/// Largest record taken, bytes after unpacking. A Secret holds 1 MiB packed; text of charts packs about tenfold.
const MAX_RECORD: u64 = 64 * 1024 * 1024;

/// One revision of a release.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// Revision, from 1.
    pub version: u32,
    /// How it went.
    pub info: Info,
    /// What was installed.
    pub chart: ChartRecord,
    /// Values given by the user.
    #[serde(default)]
    pub config: Value,
    /// The rendered objects, as YAML documents.
    #[serde(default)]
    pub manifest: String,
    /// Name of the Secret that holds this record.
    #[serde(skip)]
    pub secret: String,
}

/// State of a revision.
#[derive(Debug, Clone, Deserialize)]
pub struct Info {
    /// `deployed`, `failed`, `pending-install`, `pending-upgrade`, `pending-rollback`, `uninstalling`, `superseded`, …
    #[serde(default)]
    pub status: String,
    /// RFC 3339.
    #[serde(default)]
    pub last_deployed: String,
    /// What Helm says of it.
    #[serde(default)]
    pub description: String,
}

/// The chart of a revision.
#[derive(Debug, Clone, Deserialize)]
pub struct ChartRecord {
    /// Its metadata.
    pub metadata: ChartMetadata,
}

/// What a chart says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartMetadata {
    /// Name.
    pub name: String,
    /// Version of the chart.
    pub version: String,
    /// Version of what it installs.
    #[serde(default)]
    pub app_version: String,
    /// Facts of the packager; ours keeps the digest of the embedded chart there.
    #[serde(default)]
    pub annotations: std::collections::BTreeMap<String, String>,
}

impl Record {
    /// Whether Helm was, or is, in the middle of something.
    pub fn is_pending(&self) -> bool {
        self.info.status.starts_with("pending-")
    }
}

/// All revisions of a release, oldest first.
///
/// # Errors
/// When the API server cannot be reached or refuses, or a record cannot be read.
pub(super) async fn history(
    cluster: &Connection,
    namespace: &str,
    release: &str,
) -> Result<Vec<Record>, ClusterError> {
    let labels = format!("owner=helm,name={release}");
    let secrets = cluster.list(("v1", "Secret"), namespace, &labels).await?;
    let mut records = secrets
        .iter()
        .map(|secret| {
            decode(secret).map_err(|problem| {
                let name = secret.metadata.name.clone().unwrap_or_default();
                ClusterError::Target(format!(
                    "the Helm record {name} in the namespace {namespace} {problem}"
                ))
            })
        })
        .collect::<Result<Vec<Record>, _>>()?;
    records.sort_by_key(|record| record.version);
    Ok(records)
}

fn decode(secret: &DynamicObject) -> Result<Record, String> {
    let data = secret
        .data
        .pointer("/data/release")
        .and_then(Value::as_str)
        .ok_or("has no release")?;
    // Once by the API server, once by Helm.
    let packed = BASE64
        .decode(data)
        .and_then(|inner| BASE64.decode(inner))
        .map_err(|_| "is not base64")?;
    let mut text = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(MAX_RECORD)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot be unpacked: {error}"))?;
    let mut record: Record =
        serde_json::from_slice(&text).map_err(|error| format!("is not understood: {error}"))?;
    record.secret = secret.metadata.name.clone().unwrap_or_default();
    Ok(record)
}
