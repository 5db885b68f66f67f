//! A container of an engine, as the resource sees it.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Failure, Seen};
use crate::data::ProviderData;
use crate::delegate::spec::WaitFor;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::docker::{self, DockerError, DockerSpec, Engine, Lock, Target};

/// An engine that has answered.
pub(crate) struct DockerPlace<'a> {
    spec: &'a DockerSpec,
    provider: &'a ProviderData,
    engine: Engine,
    pub(super) target_id: String,
    /// Held from the start of an install to the end of its wait.
    lock: Mutex<Option<Lock>>,
}

impl<'a> DockerPlace<'a> {
    pub(super) async fn reach(
        spec: &'a DockerSpec,
        target: &Target,
        provider: &'a ProviderData,
    ) -> Result<Self, Diagnostics> {
        let engine = provider.engines.to(target).map_err(|error| told(&error))?;
        let target_id = engine.id().await.map_err(|error| told(&error))?;
        Ok(Self {
            spec,
            provider,
            engine,
            target_id,
            lock: Mutex::new(None),
        })
    }

    pub(super) fn import_id(&self) -> String {
        format!("docker/{}/{}", self.engine.place(), self.spec.container)
    }

    pub(super) fn whereabouts(&self) -> String {
        format!(" ({})", self.engine.address())
    }

    /// Where it is, in words that are equal for equal places.
    pub(super) fn addresses(&self) -> Vec<String> {
        vec![address(&self.target_id, self.spec)]
    }

    /// All that is there, for whoever looks further.
    pub(in crate::delegate) async fn look(&self) -> Result<Option<docker::Observed>, Diagnostics> {
        // What an engine tells of a container is large, and so is what waits for it: boxed, not on everybody's stack.
        Box::pin(docker::observe(&self.engine, &self.provider.engines, self.spec))
            .await
            .map_err(|error| told(&error))
    }

    pub(super) async fn observe(&self) -> Result<Option<Seen>, Diagnostics> {
        Ok(self.look().await?.map(|seen| Seen {
            connected: seen.connected,
            ready_replicas: u32::from(seen.running),
            rolled_out: seen.running,
            version: seen.version,
            drift: seen.drift,
            secret_revision: seen.secret_revision,
            unclaimed: seen.unclaimed,
            image_digest: seen.image_digest,
        }))
    }

    pub(super) async fn install(&self, create: bool, stop: &CancellationToken) -> Result<(), Failure> {
        let before = |error: DockerError| Failure::Before(told(&error));
        let lock = Lock::take(&self.target_id, &self.spec.container).map_err(before)?;
        if let Ok(mut held) = self.lock.lock() {
            *held = Some(lock);
        }
        let prepared = docker::prepare(&self.engine, &self.provider.engines, self.spec, create, stop);
        let prepared = Box::pin(prepared).await.map_err(before)?;
        Box::pin(docker::install(&self.engine, self.spec, prepared, stop))
            .await
            .map_err(|error| Failure::Midway(told(&error)))
    }

    /// Writes down that a Terraform state has the container; when that fails, the next look at it tries again.
    pub(super) fn claim(&self) -> BoxFuture<'static, ()> {
        let (engine, spec) = (self.engine.clone(), self.spec.clone());
        async move {
            if let Err(error) = docker::complete(&engine, &spec).await {
                tracing::debug!(%error, "cannot write down that a state has the container");
            }
        }
        .boxed()
    }

    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let end = docker::wait(&self.engine, self.spec, wait.until, wait.limit, stop);
        Box::pin(end).await.map_err(|error| told(&error))
    }

    pub(super) async fn remove(&self, limit: Duration, stop: &CancellationToken) -> Result<(), Diagnostics> {
        Box::pin(docker::remove(&self.engine, self.spec, limit, stop))
            .await
            .map_err(|error| told(&error))
    }
}

/// The same before the engine has answered.
pub(super) fn addresses(target: &Target, spec: &DockerSpec) -> Vec<String> {
    docker::place_of(target)
        .map(|place| address(&place, spec))
        .into_iter()
        .collect()
}

fn address(engine: &str, spec: &DockerSpec) -> String {
    format!("docker {engine} {}", spec.container)
}

/// Checks that there is an image, or something to make one of; the engine is not asked.
pub(super) fn check(spec: &DockerSpec, provider: &ProviderData) -> Result<(), Diagnostics> {
    docker::check(&provider.engines, spec).map_err(|error| told(&error))
}

/// An error at the attribute that can mend it.
pub(in crate::delegate) fn told(error: &DockerError) -> Diagnostics {
    let (summary, path) = match error {
        DockerError::Target(_) => ("The Docker engine cannot be used", "docker.host"),
        DockerError::Unreachable { .. } => ("The Docker engine cannot be reached", "docker.host"),
        DockerError::Refused { .. } => ("The Docker engine refused", "docker"),
        DockerError::Image { .. } => ("The image cannot be had", "image"),
        DockerError::Build(_) => ("No image", "image"),
        DockerError::Foreign { .. } => ("The container exists already", "docker.container"),
        DockerError::Busy(_) => ("The container is being changed", "docker.container"),
        DockerError::Stopped(_) => ("Interrupted", "docker"),
        DockerError::Late(_) => ("The delegate did not become what was asked for", "wait"),
    };
    Diagnostic::from_error(summary, error, "").at(path).into()
}
