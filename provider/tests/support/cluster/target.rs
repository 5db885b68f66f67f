//! The cluster that was named for tests, by its `kubectl`; and what is removed from it at the end.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value as Json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The cluster that was named for tests.
#[derive(Clone)]
pub struct Cluster {
    pub kubeconfig: PathBuf,
    pub image: String,
}

impl Cluster {
    pub(super) fn here() -> Option<Self> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            if value.is_none() {
                eprintln!("SKIPPED: {name} is not set");
            }
            value
        };
        Some(Self {
            kubeconfig: variable("HARNESS_TEST_KUBECONFIG")?.into(),
            image: variable("HARNESS_TEST_IMAGE")?,
        })
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .kill_on_drop(true);
        command
    }

    /// What `kubectl` answers, or what it complains about.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("kubectl runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let answer = self.try_kubectl(arguments).await;
        answer.unwrap_or_else(|problem| panic!("kubectl {arguments:?}: {problem}"))
    }

    pub async fn get(&self, arguments: &[&str]) -> Json {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.kubectl(&all).await).expect("kubectl writes JSON")
    }

    /// Creates or replaces an object.
    pub async fn put(&self, object: &Json) {
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=somebody",
            "-f",
            "-",
        ];
        let mut child = self
            .command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin
            .write_all(object.to_string().as_bytes())
            .await
            .expect("kubectl reads");
        drop(stdin);
        let output = child.wait_with_output().await.expect("kubectl ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub async fn has_namespace(&self, name: &str) -> bool {
        !self
            .kubectl(&["get", "namespace", name, "--ignore-not-found", "-o", "name"])
            .await
            .is_empty()
    }
}

/// Removes a namespace, and whatever of the cluster was made for it, at the end.
pub(super) struct Cleanup {
    pub(super) cluster: Cluster,
    pub(super) namespaces: Vec<String>,
    /// Of the delegate.
    pub(super) name: String,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let kubectl = |arguments: &[&str]| {
            let _ = std::process::Command::new("kubectl")
                .arg("--kubeconfig")
                .arg(&self.cluster.kubeconfig)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        };
        for namespace in &self.namespaces {
            // The manager is gone by now: a delegate with something left to report would wait for it until its time is over.
            kubectl(&[
                "delete",
                "pods",
                "--namespace",
                namespace,
                "--all",
                "--force",
                "--grace-period=0",
                "--wait=false",
            ]);
            kubectl(&[
                "delete",
                "namespace",
                namespace,
                "--ignore-not-found",
                "--wait=false",
            ]);
        }
        kubectl(&[
            "delete",
            "clusterrolebinding",
            &format!("{}-cluster-admin", self.name),
            &format!("{}-cluster-viewer", self.name),
            "--ignore-not-found",
            "--wait=false",
        ]);
    }
}
