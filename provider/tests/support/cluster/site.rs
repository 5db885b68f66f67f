//! Everything one test needs, and what it sees of its namespace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::target::Cleanup;
use super::{Cluster, Config, Manager, PROGRAM, SOURCE, THIS, helm};
use crate::terraform::{Run, Terraform};

/// Sites at a time: the cluster, its pods and Terraform share the machine with the build of other tests.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Everything one test needs.
pub struct Site {
    pub terraform: Terraform,
    pub manager: Manager,
    pub cluster: Cluster,
    /// Name of the delegate, and of the release.
    pub name: String,
    /// Namespace of the release; not there yet.
    pub namespace: String,
    pub helm: PathBuf,
    cleanup: Cleanup,
    _turn: SemaphorePermit<'static>,
}

impl Site {
    /// A site with Helm 3.
    pub async fn new(label: &str) -> Option<Self> {
        Self::with_helm(label, 3).await
    }

    pub async fn with_helm(label: &str, major: u32) -> Option<Self> {
        let Some(helm) = helm(major) else {
            eprintln!(
                "SKIPPED: there is no Helm {major}, neither on the PATH nor in the cache of scripts/setup"
            );
            return None;
        };
        Self::with_program(label, helm).await
    }

    /// A site with no Helm at all.
    pub async fn without_helm(label: &str) -> Option<Self> {
        Self::with_program(label, "/nonexistent/helm".into()).await
    }

    async fn with_program(label: &str, helm: PathBuf) -> Option<Self> {
        let cluster = Cluster::here()?;
        let terraform = Terraform::here().await?;
        let turn = TURNS.acquire().await.expect("never closed");
        let name = format!("{label}-{:08x}", fastrand::u32(..));
        let namespace = format!("test-{name}");
        let manager = Manager::start().await;
        let terraform = terraform
            .installed(SOURCE, Path::new(PROGRAM))
            .env("TF_VAR_token", &manager.token)
            // Helm keeps its caches apart from the user's.
            .env("HELM_CACHE_HOME", std::env::temp_dir().join("helm-cache"));
        let cleanup = Cleanup {
            cluster: cluster.clone(),
            namespaces: vec![namespace.clone()],
            name: name.clone(),
        };
        Some(Self {
            terraform,
            manager,
            cluster,
            name,
            namespace,
            helm,
            cleanup,
            _turn: turn,
        })
    }

    /// Writes the configuration and applies it.
    pub async fn apply(&self, config: &Config) -> Run {
        config.write(self);
        self.terraform.apply().await
    }

    /// Also removes this namespace at the end.
    pub fn also_remove(&mut self, namespace: &str) {
        self.cleanup.namespaces.push(namespace.to_owned());
    }

    /// An attribute of the delegate in the state.
    pub async fn attribute(&self, name: &str) -> Json {
        self.terraform.state().await.attribute(THIS, name).clone()
    }

    /// `kubectl` in the namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        self.cluster.kubectl(&all).await
    }

    pub async fn get(&self, arguments: &[&str]) -> Json {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        self.cluster.get(&all).await
    }

    /// What people and programs wrote of the objects, without what the cluster's own controllers add in their time.
    pub async fn written(&self, kinds: &str) -> Json {
        let mut list = self.get(&[kinds]).await;
        let items = list["items"].as_array_mut().expect("a list");
        let theirs = |item: &Json| {
            item["metadata"]["name"] == "kube-root-ca.crt" || item["metadata"]["name"] == "default"
        };
        items.retain(|item| !theirs(item));
        for item in items {
            let object = item.as_object_mut().expect("an object");
            object.remove("status");
            let metadata = object["metadata"].as_object_mut().expect("an object");
            metadata.remove("resourceVersion");
            if let Some(notes) = metadata.get_mut("annotations").and_then(Json::as_object_mut) {
                notes.remove("deployment.kubernetes.io/revision");
                if notes.is_empty() {
                    metadata.remove("annotations");
                }
            }
        }
        list
    }

    /// Names of the pods that stay, with their images and readiness.
    pub async fn pods(&self) -> Vec<(String, bool)> {
        let pods = self.get(&["pods"]).await;
        let staying = pods["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let ready = |pod: &Json| {
            let conditions = pod["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        staying
            .map(|pod| {
                (
                    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    ready(pod),
                )
            })
            .collect()
    }

    /// Everything in the namespace that somebody made, as `kind/name`.
    pub async fn objects(&self) -> BTreeSet<String> {
        const KINDS: &str =
            "deployment,replicaset,pod,configmap,secret,serviceaccount,role,rolebinding,service,cronjob,job";
        let found = self
            .kubectl(&["get", KINDS, "-o", "name", "--ignore-not-found"])
            .await;
        let made = |line: &&str| !matches!(*line, "configmap/kube-root-ca.crt" | "serviceaccount/default");
        found.lines().filter(made).map(str::to_owned).collect()
    }

    /// The drift that a plan sees.
    pub async fn drift(&self) -> Vec<String> {
        let plan = self.terraform.plan(&[]).await;
        let lines = plan.change(THIS)["before"]["drift"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(plan.changes, !lines.is_empty(), "{}", plan.text);
        lines
            .iter()
            .filter_map(|line| line.as_str().map(str::to_owned))
            .collect()
    }

    /// Runs a script as a task on the delegate; its result.
    pub async fn task(&self, script: &str) -> Json {
        self.manager.task(&self.name, script).await
    }
}
