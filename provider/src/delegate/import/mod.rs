//! Import ids and identities, and the state that an import starts from.
//!
//! An id says where a delegate is; what it was installed with is read back from there, as far as it can be: secrets
//! cannot, and are given anew by the configuration.

mod docker;
mod host;
mod manifest;
mod moved;
mod release;
mod settings;

use super::model::{Docker, Helm, Host, Kubernetes, Manifest, Model, Ssh};
use super::place;
use super::schema::DEFAULT_NAMESPACE;
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::cluster::Connection;
use crate::install::docker::host_of_place;
use crate::install::ssh::Destination;
use tokio_util::sync::CancellationToken;

pub(super) use moved::from_release;

/// The parts of an id.
struct Location {
    mode: Mode,
    place: String,
    namespace: Option<String>,
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Helm,
    Manifest,
    Docker,
    Host,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Helm, Self::Manifest, Self::Docker, Self::Host];

    fn name(self) -> &'static str {
        match self {
            Self::Helm => "helm",
            Self::Manifest => "manifest",
            Self::Docker => "docker",
            Self::Host => "host",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// `mode`, `place`, `namespace`, `name`: the parts of the id.
pub(super) fn identity_schema() -> IdentitySchema {
    IdentitySchema::new(0)
        .required("mode", Type::String, "`helm`, `manifest`, `docker` or `host`.")
        .required(
            "place",
            Type::String,
            "Context of the kubeconfig; address of the Docker engine, `localhost` for its usual socket; or the machine: `localhost`, or \
             `[user@]host[:port]` as `ssh` knows it.",
        )
        .optional(
            "namespace",
            Type::String,
            "Namespace, with `helm` and `manifest`.",
        )
        .required("name", Type::String, "Name of the release, of the container, or of the delegate.")
}

/// The identity that an id spells out.
pub(super) fn identity(id: &str) -> Option<Value> {
    let Location {
        mode,
        place,
        namespace,
        name,
    } = Location::parse(id)?;
    let namespace = namespace.map_or(Value::Null, Value::String);
    Some(Value::object([
        ("mode", mode.name().into()),
        ("place", Value::String(place)),
        ("namespace", namespace),
        ("name", Value::String(name)),
    ]))
}

impl Location {
    fn parse(id: &str) -> Option<Self> {
        let (mode, rest) = id.split_once('/')?;
        let (rest, name) = rest.rsplit_once('/')?;
        // A context may contain slashes, as those of EKS do: the namespace and the release are taken from the end.
        let mode = Mode::named(mode)?;
        let (place, namespace) = match mode {
            Mode::Helm | Mode::Manifest => {
                let (place, namespace) = rest.rsplit_once('/')?;
                (place, Some(namespace.to_owned()))
            }
            Mode::Docker | Mode::Host => (rest, None),
        };
        let full = !place.is_empty() && !name.is_empty() && namespace.as_deref() != Some("");
        full.then(|| Self {
            mode,
            place: place.to_owned(),
            namespace,
            name: name.to_owned(),
        })
    }

    fn id(&self) -> String {
        let (mode, place, name) = (self.mode.name(), &self.place, &self.name);
        match self.mode {
            Mode::Helm | Mode::Manifest => {
                let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
                format!("{mode}/{place}/{namespace}/{name}")
            }
            Mode::Docker | Mode::Host => format!("{mode}/{place}/{name}"),
        }
    }
}

/// The state an import starts from: where, and nothing else.
///
/// # Errors
/// When the id or identity does not name a place.
pub(super) fn locate(target: &ImportTarget) -> Result<Model, Diagnostics> {
    let location = match target {
        ImportTarget::Id(id) => Location::parse(id),
        ImportTarget::Identity(identity) => {
            let text = |name: &str| identity.named(name).as_str().map(str::to_owned);
            let mode = text("mode").as_deref().and_then(Mode::named);
            mode.zip(text("place"))
                .zip(text("name"))
                .map(|((mode, place), name)| Location {
                    mode,
                    place,
                    namespace: text("namespace"),
                    name,
                })
        }
    };
    let Some(location) = location else {
        return Err(Diagnostics::error(
            "Unsuitable import id",
            "Give helm/<context>/<namespace>/<release>, manifest/<context>/<namespace>/<name>, docker/<host>/<container>, \
             host/localhost/<name>, or host/[<user>@]<host>[:<port>]/<name>; or the same parts as an identity: mode, place, \
             namespace, name.",
        ));
    };
    let mut model = Model::located(location.name.clone(), Field::Known(location.id()));
    if matches!(location.mode, Mode::Helm | Mode::Manifest) {
        model.kubernetes = Some(Kubernetes {
            config_context: Some(location.place.clone()),
            ..Kubernetes::default()
        });
    }
    match location.mode {
        Mode::Helm => {
            model.helm = Some(Helm {
                namespace: location.namespace,
                create_namespace: Some(true),
                release: Some(location.name),
                ..Helm::default()
            });
        }
        Mode::Manifest => {
            model.manifest = Some(Manifest {
                namespace: location.namespace,
                create_namespace: Some(true),
                force_conflicts: Some(false),
            });
        }
        Mode::Docker => {
            model.docker = Some(Docker {
                host: host_of_place(&location.place).map(str::to_owned),
                container: Some(location.name),
                ..Docker::default()
            });
        }
        Mode::Host => {
            model.host = Some(Host {
                service: Some("auto".to_owned()),
                ssh: other_machine(&location.place)?,
                ..Host::default()
            });
        }
    }
    Ok(model)
}

/// Whether the provider's own settings lead to this cluster: then the resource needs no argument for it.
async fn is_providers_own(cluster: &Connection, provider: &ProviderData) -> bool {
    let own = provider.connections.to(&provider.kubernetes).await;
    own.is_ok_and(|own| own.context() == cluster.context())
}

/// The machine that a place names; nothing for this one.
fn other_machine(place: &str) -> Result<Option<Ssh>, Diagnostics> {
    if place == "localhost" {
        return Ok(None);
    }
    let to = Destination::parse(place).ok_or_else(|| {
        Diagnostics::error(
            "Unsuitable import id",
            format!(
                "{place:?} is no machine. Give localhost, or [user@]host[:port] as you would reach it with ssh; an address of IPv6 in \
                 brackets."
            ),
        )
    })?;
    Ok(Some(Ssh {
        host: to.host,
        port: to.port,
        user: to.user,
        identity_file: None,
        known_hosts_file: None,
        connect_timeout: None,
        sudo: None,
    }))
}

/// Whether a state comes straight from [`locate`] or [`from_release`].
pub(super) fn is_fresh(state: &Model) -> bool {
    matches!(state.target_id, Field::Null | Field::Unknown)
}

/// Fills a located state with what is there.
///
/// # Errors
/// When it cannot be looked at, or nothing is there.
pub(super) async fn complete(
    state: Model,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    // Each keeps all that it has found until its end: boxed, not on everybody's stack.
    if state.helm.is_some() {
        Box::pin(release::complete(state, provider, stop)).await
    } else if state.manifest.is_some() {
        Box::pin(manifest::complete(state, provider, stop)).await
    } else if state.docker.is_some() {
        Box::pin(docker::complete(state, provider, stop)).await
    } else {
        Box::pin(host::complete(state, provider, stop)).await
    }
}

/// A state that can be looked with: the settings are not known yet, but any do, because only the place counts.
fn probe(state: &Model) -> Model {
    let mut probe = state.clone();
    probe.account_id.get_or_insert_with(|| "unknown".to_owned());
    probe
        .manager_url
        .get_or_insert_with(|| "https://unknown.invalid".to_owned());
    probe
}

async fn finish(
    place: &place::Place<'_>,
    mut state: Model,
    stop: &CancellationToken,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    state.target_id = Field::Known(place.target_id());
    if !matches!(state.id, Field::Known(_)) {
        state.id = Field::Known(place.import_id());
    }
    let Some(seen) = place.observe(stop).await? else {
        return Ok(ReadOutcome::Gone);
    };
    seen.describe(&mut state);
    state.drift = Field::Known(Vec::new());
    Ok(ReadOutcome::present(state))
}

fn same_url(found: &str, other: Option<&str>) -> bool {
    other.is_some_and(|other| other.trim_end_matches('/') == found.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_its_identity_name_the_same_place() {
        for id in [
            "helm/minikube/ns/team-a",
            "helm/arn:aws:eks:x:1:cluster/prod/ns/team-a",
            "manifest/arn:aws:eks:x:1:cluster/prod/ns/team-a",
            "docker/localhost/team-a",
            "docker/unix:///run/docker.sock/team-a",
            "docker/ssh://root@build-1:22/team-a",
            "host/localhost/team-a",
            "host/deploy@web.example:2222/team-a",
            "host/[fe80::1]:22/team-a",
        ] {
            let model = locate(&ImportTarget::Id(id.to_owned())).unwrap();
            assert_eq!(model.id, Field::Known(id.to_owned()));
            let by_identity = locate(&ImportTarget::Identity(identity(id).unwrap())).unwrap();
            assert_eq!(by_identity.id, model.id);
        }
    }

    #[test]
    fn an_unsuitable_id_is_answered_with_the_forms() {
        for id in [
            "",
            "helm/x",
            "helm/x/y",
            "helm//ns/r",
            "pod/x/y/z",
            "host/localhost/",
        ] {
            let error = locate(&ImportTarget::Id(id.to_owned())).unwrap_err().to_string();
            assert!(
                error.contains("helm/<context>/<namespace>/<release>"),
                "{id}: {error}"
            );
        }
        let error = locate(&ImportTarget::Id("host/-oProxyCommand=x/a".to_owned()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("[user@]host[:port]"), "{error}");
    }
}
