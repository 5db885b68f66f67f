//! Helm: the program, and its own records of a release.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::Site;

/// A `helm` of this major version: `helm3` and `helm4` on the PATH, or as scripts/setup has put them.
pub fn helm(major: u32) -> Option<PathBuf> {
    let name = format!("helm{major}");
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("HARNESS_DELEGATE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("harness-delegate")))
        .or_else(|| Some(variable("HOME")?.join(".cache/harness-delegate")));
    let path = variable("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(cache.map(|cache| cache.join("bin")));
    folders
        .into_iter()
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
}

impl Site {
    /// Runs the `helm` of this site.
    pub async fn helm(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.helm)
            .args(arguments)
            .args(["--namespace", &self.namespace, "--kubeconfig"])
            .arg(&self.cluster.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("helm runs");
        assert!(
            output.status.success(),
            "helm {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The revisions that Helm has of the release, with their status.
    pub async fn revisions(&self) -> Vec<(u64, String)> {
        let secrets = self
            .get(&["secrets", "-l", &format!("owner=helm,name={}", self.name)])
            .await;
        let mut revisions: Vec<(u64, String)> = secrets["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|secret| {
                let record = unpack(secret);
                let status = record["info"]["status"].as_str().unwrap_or_default().to_owned();
                (record["version"].as_u64().unwrap_or_default(), status)
            })
            .collect();
        revisions.sort_unstable();
        revisions
    }

    /// Writes the record `to` as a copy of the record `from` with another status, as a crash of Helm leaves it.
    pub async fn forge_revision(&self, from: u64, to: u64, status: &str, since: jiff::Timestamp) {
        let name = |revision: u64| format!("sh.helm.release.v1.{}.v{revision}", self.name);
        let secret = self.get(&["secret", &name(from)]).await;
        let mut record = unpack(&secret);
        record["version"] = json!(to);
        record["info"]["status"] = json!(status);
        record["info"]["last_deployed"] = json!(since.to_string());
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(record.to_string().as_bytes()).expect("memory");
        let inner = BASE64.encode(packed.finish().expect("memory"));
        let mut labels = secret["metadata"]["labels"].clone();
        labels["status"] = json!(status);
        labels["version"] = json!(to.to_string());
        self.cluster
            .put(&json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": name(to), "namespace": self.namespace, "labels": labels },
                "type": "helm.sh/release.v1",
                "data": { "release": BASE64.encode(inner) },
            }))
            .await;
    }

    /// All that Helm has kept of the release, unpacked.
    pub async fn records(&self) -> Vec<Json> {
        let secrets = self
            .get(&["secrets", "-l", &format!("owner=helm,name={}", self.name)])
            .await;
        secrets["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(unpack)
            .collect()
    }
}

fn unpack(secret: &Json) -> Json {
    let outer = BASE64
        .decode(secret["data"]["release"].as_str().expect("a record"))
        .expect("base64");
    let packed = BASE64.decode(outer).expect("base64");
    let mut text = String::new();
    GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}
