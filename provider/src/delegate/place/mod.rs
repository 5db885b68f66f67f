//! One face for every place a delegate can be in.
//!
//! A [`Place`] is a [`Spec`] whose place has answered: its identity is known. It forwards to the installer of its mode
//! and turns what that says into what Terraform shows.

mod cluster;
mod docker;
mod helm;
mod host;
mod manifest;

pub(super) use docker::told as told_of_engine;
pub(super) use helm::told as told_of_helm;
pub(super) use host::told as told_of_machine;
pub(super) use manifest::told as told_of_manifest;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::model::Model;
use super::schema::duration;
use super::spec::{Spec, WaitFor};
use crate::data::ProviderData;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::framework::value::Field;
use crate::install::kubernetes::{Until, WaitError};

/// Why an installation failed, and whether it had begun.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was changed.
    Before(Diagnostics),
    /// Something was; the next apply goes on from there.
    Midway(Diagnostics),
}

/// What is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Whether every replica says that it is connected.
    pub connected: bool,
    /// Ready replicas.
    pub ready_replicas: u32,
    /// Whether what runs is all of the newest form, and ready.
    pub rolled_out: bool,
    /// Version of the delegate.
    pub version: Option<String>,
    /// Differences to the installation.
    pub drift: Vec<String>,
    /// Changes with the Secret of the token.
    pub secret_revision: Option<String>,
    /// No Terraform state is known to have it yet.
    pub unclaimed: bool,
    /// What tells the content of the image that runs.
    pub image_digest: Option<String>,
}

impl Seen {
    /// Nothing is known.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// Whether it has become what an apply would wait for.
    pub(super) fn is_as_awaited(&self, until: Until) -> bool {
        match until {
            Until::Installed => true,
            Until::Ready => self.rolled_out,
            Until::Connected => self.rolled_out && self.connected,
        }
    }

    /// Puts it into a state; the drift is the caller's to judge.
    pub(super) fn describe(&self, state: &mut Model) {
        state.connected = Field::Known(self.connected);
        state.ready_replicas = Field::Known(self.ready_replicas);
        state.version = Field::from(self.version.clone());
        state.image_digest = Field::from(self.image_digest.clone());
    }
}

/// A place that has answered.
pub(super) enum Place<'a> {
    /// A namespace of a cluster.
    Helm(helm::HelmPlace<'a>),
    /// A namespace of a cluster, without Helm.
    Manifest(manifest::ManifestPlace<'a>),
    /// A Docker engine.
    Docker(docker::DockerPlace<'a>),
    /// A machine.
    Host(host::HostPlace<'a>),
}

/// Contacts the place, as far as its identity needs it.
///
/// # Errors
/// When it cannot be reached or is not usable.
pub(super) async fn reach<'a>(
    spec: &'a Spec,
    provider: &'a ProviderData,
    stop: &CancellationToken,
) -> Result<Place<'a>, Diagnostics> {
    match spec {
        Spec::Helm(spec, target) => helm::HelmPlace::reach(spec, target, provider)
            .await
            .map(Place::Helm),
        Spec::Manifest(spec, target) => manifest::ManifestPlace::reach(spec, target, provider)
            .await
            .map(Place::Manifest),
        Spec::Docker(spec, target) => docker::DockerPlace::reach(spec, target, provider)
            .await
            .map(Place::Docker),
        Spec::Host(wish) => host::HostPlace::reach(wish, provider, stop)
            .await
            .map(Place::Host),
    }
}

/// Where the delegate will be, in words that are equal for equal places, as far as they can be had without contacting one.
/// Two delegates that share one of them are the same.
pub(super) fn addresses(spec: &Spec) -> Vec<String> {
    match spec {
        // Without a kubeconfig that can be read there is no telling yet.
        Spec::Helm(spec, target) => target
            .address()
            .map(|cluster| helm::addresses(&cluster, spec))
            .unwrap_or_default(),
        Spec::Manifest(spec, target) => target
            .address()
            .map(|cluster| manifest::addresses(&cluster, spec))
            .unwrap_or_default(),
        Spec::Docker(spec, target) => docker::addresses(target, spec),
        Spec::Host(wish) => host::planned_addresses(wish),
    }
}

/// What a plan tells the user besides.
pub(super) fn remarks(spec: &Spec) -> Diagnostics {
    match spec {
        Spec::Helm(spec, _) => helm::remarks(spec),
        Spec::Manifest(..) | Spec::Docker(..) | Spec::Host(_) => Diagnostics::new(),
    }
}

/// Checks what can be checked without touching the place.
///
/// # Errors
/// The first thing that would fail later.
pub(super) async fn check(
    spec: &Spec,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<(), Diagnostics> {
    match spec {
        Spec::Helm(spec, _) => helm::check(spec, provider, stop).await,
        // The objects are made of settings that were validated; whether they are taken, only the cluster knows.
        Spec::Manifest(..) => Ok(()),
        Spec::Docker(spec, _) => docker::check(spec, provider),
        Spec::Host(wish) => host::check(wish),
    }
}

impl Place<'_> {
    /// Identity of the place.
    pub(super) fn target_id(&self) -> String {
        match self {
            Self::Helm(place) => place.reached.target_id.clone(),
            Self::Manifest(place) => place.reached.target_id.clone(),
            Self::Docker(place) => place.target_id.clone(),
            Self::Host(place) => place.target_id(),
        }
    }

    /// The import id of the delegate.
    pub(super) fn import_id(&self) -> String {
        match self {
            Self::Helm(place) => place.import_id(),
            Self::Manifest(place) => place.import_id(),
            Self::Docker(place) => place.import_id(),
            Self::Host(place) => place.import_id(),
        }
    }

    /// Like [`addresses`], of a place that has answered: the same cluster by another name is the same.
    pub(super) fn addresses(&self) -> Vec<String> {
        match self {
            Self::Helm(place) => helm::addresses(&place.reached.target_id, place.spec()),
            Self::Manifest(place) => place.addresses(),
            Self::Docker(place) => place.addresses(),
            Self::Host(place) => place.addresses(),
        }
    }

    /// What is to be said when this is another place than the one the delegate was installed in.
    pub(super) fn elsewhere(&self, state: &Model) -> Option<String> {
        let found = self.target_id();
        let Field::Known(stored) = state.target_id.as_ref() else {
            return None;
        };
        (*stored != found).then(|| {
            let id = match state.id.as_ref() {
                Field::Known(id) => format!(" ({id})"),
                _ => String::new(),
            };
            format!(
                "The delegate {} was installed in the place {stored}{id}, but the configuration now leads to {found}{}. Nothing was \
                 read or changed there. Point the configuration back; or, if the new place is meant, set adopt = true, or replace the \
                 delegate (terraform apply -replace=ADDRESS), which removes it from the old one first; or, if the old one is gone for \
                 good, remove the resource from the state (terraform state rm) and apply again.",
                state.name,
                match self {
                    Self::Helm(place) => place.reached.whereabouts(),
                    Self::Manifest(place) => place.reached.whereabouts(),
                    Self::Docker(place) => place.whereabouts(),
                    Self::Host(place) => place.whereabouts(),
                }
            )
        })
    }

    /// Refuses another place than the one the delegate was installed in.
    ///
    /// # Errors
    /// When the place's identity is not the stored one.
    pub(super) fn must_be(&self, state: &Model) -> Result<(), Diagnostics> {
        self.elsewhere(state)
            .map_or(Ok(()), |text| Err(another_place(text)))
    }

    /// Work that writes down at the place that a Terraform state has the delegate, where that has to be written down.
    pub(super) fn claim(&self) -> Option<BoxFuture<'static, ()>> {
        match self {
            Self::Helm(place) => Some(place.claim()),
            Self::Manifest(place) => Some(place.claim()),
            Self::Docker(place) => Some(place.claim()),
            Self::Host(_) => None,
        }
    }

    /// Looks; `None` when the delegate is gone.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(super) async fn observe(&self, stop: &CancellationToken) -> Result<Option<Seen>, Diagnostics> {
        match self {
            Self::Helm(place) => place.observe().await,
            Self::Manifest(place) => place.observe().await,
            Self::Docker(place) => place.observe().await,
            Self::Host(place) => place.observe(stop).await,
        }
    }

    /// Makes the place agree with the settings. Returns what the user should know.
    ///
    /// # Errors
    /// What failed, and whether anything had been changed by then.
    pub(super) async fn install(
        &self,
        create: bool,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Result<Diagnostics, Failure> {
        let work = async {
            match self {
                Self::Helm(place) => place.install(create, stop).await,
                Self::Manifest(place) => {
                    let done = place.install(create, stop).await;
                    done.map(|()| Diagnostics::new())
                }
                Self::Docker(place) => place.install(create, stop).await.map(|()| Diagnostics::new()),
                // What drains is left to drain; the thread that waits for it ends with the process.
                Self::Host(place) => tokio::select! {
                    result = place.install(stop) => result.map(|()| Diagnostics::new()),
                    () = stop.cancelled() => Err(Failure::Midway(interrupted("installation"))),
                },
            }
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Midway(too_long("create or update", limit))),
        }
    }

    /// Waits as far as asked.
    ///
    /// # Errors
    /// When the time is over, with the reason as far as it can be found; when it was asked to stop.
    pub(super) async fn wait(&self, wait: WaitFor, stop: &CancellationToken) -> Result<(), Diagnostics> {
        match self {
            Self::Helm(place) => place.wait(wait, stop).await,
            Self::Manifest(place) => place.wait(wait, stop).await,
            Self::Docker(place) => place.wait(wait, stop).await,
            Self::Host(place) => place.wait(wait, stop).await,
        }
    }

    /// Removes the delegate with everything that was made for it.
    ///
    /// # Errors
    /// When something is still there.
    pub(super) async fn remove(&self, limit: Duration, stop: &CancellationToken) -> Result<(), Diagnostics> {
        let work = async {
            match self {
                Self::Helm(place) => place.remove(stop).await,
                Self::Manifest(place) => place.remove(stop).await,
                Self::Docker(place) => place.remove(limit, stop).await,
                Self::Host(place) => tokio::select! {
                    result = place.remove(limit, stop) => result,
                    () = stop.cancelled() => Err(interrupted("removal")),
                },
            }
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(too_long("delete", limit)),
        }
    }
}

/// How long a create or update may take, without the wait.
pub(super) fn apply_limit(state: &Model, create: bool) -> Duration {
    let timeouts = state.timeouts.as_ref();
    let (given, default) = if create {
        (
            timeouts.and_then(|timeouts| timeouts.create.as_deref()),
            Duration::from_mins(10),
        )
    } else {
        (
            timeouts.and_then(|timeouts| timeouts.update.as_deref()),
            Duration::from_mins(15),
        )
    };
    given.and_then(duration).unwrap_or(default)
}

/// How long a delete may take.
pub(super) fn delete_limit(state: &Model) -> Duration {
    let given = state
        .timeouts
        .as_ref()
        .and_then(|timeouts| timeouts.delete.as_deref());
    given.and_then(duration).unwrap_or(Duration::from_mins(15))
}

/// The refusal of a place that is another one.
pub(super) fn another_place(text: String) -> Diagnostics {
    Diagnostic::error("This is another place", text)
        .at("target_id")
        .into()
}

/// The tag of an image reference.
fn tag_of(image: &str) -> Option<&str> {
    image.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
}

/// Why a wait in a cluster ended without success.
fn waited<E>(error: &WaitError<E>, told: impl Fn(&E) -> Diagnostics) -> Diagnostics
where
    WaitError<E>: std::fmt::Display,
{
    match error {
        WaitError::Looking(error) => told(error),
        WaitError::Stopped => Diagnostics::error("Interrupted", error.to_string()),
        WaitError::TimedOut(text) => {
            Diagnostic::error("The delegate did not become what was asked for", text.clone())
                .at("wait")
                .into()
        }
    }
}

fn interrupted(what: &str) -> Diagnostics {
    Diagnostics::error(
        "Interrupted",
        format!("The {what} was interrupted. What was done is kept, and the next apply goes on from there."),
    )
}

fn too_long(what: &str, limit: Duration) -> Diagnostics {
    Diagnostics::error(
        "Out of time",
        format!(
            "The {what} took longer than {} s. What was done is kept. Raise timeouts, or find out what it waits for, and apply again.",
            limit.as_secs()
        ),
    )
}
