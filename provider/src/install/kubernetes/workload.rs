//! The pods of a delegate, as its Deployment and they themselves tell.

use serde_json::Value;

use super::Until;
use crate::install::cluster::PodReport;

/// How the pods fare.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// Ready pods, as the Deployment counts them.
    pub ready_replicas: u32,
    /// Pods asked for, as the Deployment has them.
    pub replicas: u32,
    /// Whether the Deployment's controller has replaced every pod of the last revision.
    pub rolled_out: bool,
    /// Label selector of the pods.
    pub selector: Option<String>,
    /// Image of the delegate's container.
    pub image: Option<String>,
    /// The pods.
    pub pods: Vec<PodReport>,
}

impl Workload {
    /// What a Deployment tells; the pods are looked at by its selector.
    pub(in crate::install) fn of_deployment(deployment: &Value) -> Self {
        let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let count = |pointer: &str| u32::try_from(number(pointer)).unwrap_or(u32::MAX);
        let replicas = count("/spec/replicas");
        Self {
            ready_replicas: count("/status/readyReplicas"),
            replicas,
            rolled_out: number("/status/observedGeneration") >= number("/metadata/generation")
                && count("/status/updatedReplicas") >= replicas,
            selector: selector(deployment),
            image: deployment
                .pointer("/spec/template/spec/containers/0/image")
                .and_then(Value::as_str)
                .map(str::to_owned),
            pods: Vec::new(),
        }
    }

    /// Whether all pods are of the newest revision, and ready.
    pub fn is_ready(&self) -> bool {
        self.reached(Until::Ready)
    }

    /// Whether every pod asked for runs and says that it is connected; not for a delegate of no pods.
    pub fn connected(&self) -> bool {
        let connected = self
            .pods
            .iter()
            .filter(|pod| !pod.leaving && pod.connected == Some(true))
            .count();
        self.replicas > 0 && connected >= self.replicas as usize
    }

    pub(super) fn reached(&self, until: Until) -> bool {
        if until == Until::Installed {
            return true;
        }
        let staying: Vec<&PodReport> = self.pods.iter().filter(|pod| !pod.leaving).collect();
        let wanted = self.replicas as usize;
        let fits = |pod: &&&PodReport| match until {
            Until::Installed => true,
            Until::Ready => pod.ready,
            Until::Connected => pod.ready && pod.connected == Some(true),
        };
        // No more pods than asked for: the ones of the last revision must be on their way out.
        self.rolled_out && staying.len() == wanted && staying.iter().filter(fits).count() == wanted
    }
}

/// The label selector of a Deployment, as a query.
pub(in crate::install) fn selector(deployment: &Value) -> Option<String> {
    let labels = deployment.pointer("/spec/selector/matchLabels")?.as_object()?;
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}
