//! The state that an import starts from, and what is there.
//!
//! An id says where a delegate is; what it was installed with is read back from there, as far as it can be: secrets
//! cannot, and are given anew by the configuration.

mod docker;
mod host;
mod location;
mod manifest;
mod moved;
mod release;
mod settings;

use location::{Location, Mode, THIS_MACHINE};
pub(super) use location::{identity, identity_schema, identity_with};

use super::model::{Docker, Helm, Host, Kubernetes, Manifest, Model, Ssh};
use super::place;
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::cluster::Connection;
use crate::install::docker::host_of_place;
use crate::install::ssh::Destination;
use tokio_util::sync::CancellationToken;

pub(super) use moved::from_release;

/// The state an import starts from: where, and nothing else.
///
/// # Errors
/// When the id or identity does not name a place.
pub(super) fn locate(target: &ImportTarget) -> Result<Model, Diagnostics> {
    let location = match target {
        ImportTarget::Id(id) => Location::parse(id),
        ImportTarget::Identity(identity) => Location::of_identity(identity),
    };
    let location = location.map_err(unsuitable)?;
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
                ssh: other_machine(&location)?,
                directory: location.directory,
                service: Some("auto".to_owned()),
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

/// How to get to the machine that a location names; nothing for this one.
fn other_machine(location: &Location) -> Result<Option<Ssh>, Diagnostics> {
    let place = &location.place;
    if place == THIS_MACHINE {
        return Ok(None);
    }
    let to = Destination::parse(place).ok_or_else(|| {
        unsuitable(format!(
            "{place:?} is no machine. Give {THIS_MACHINE}, or [user@]host[:port] as you would reach it with ssh; an address of IPv6 in \
             brackets."
        ))
    })?;
    let access = location.access.clone();
    Ok(Some(Ssh {
        host: to.host,
        port: to.port,
        user: to.user,
        identity_file: access.identity_file,
        known_hosts_file: access.known_hosts_file,
        connect_timeout: access.connect_timeout,
        sudo: access.sudo,
    }))
}

fn unsuitable(detail: String) -> Diagnostics {
    Diagnostics::error("Unsuitable import id", detail)
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

/// What to say when nothing is found, where Terraform's own words leave out what to do: a folder was guessed.
pub(super) fn not_found(state: &Model) -> Option<Diagnostic> {
    let host = state.host.as_ref().filter(|host| host.directory.is_none())?;
    let machine = host.ssh.as_ref().map_or(THIS_MACHINE, |ssh| &ssh.host);
    let text = format!(
        "The delegate {name} is not in the folder that its name leads to on {machine}. If it was installed with host.directory, put that \
         folder before the name, host/<machine>//srv/delegates/{name}/{name}, or name it as directory in the identity; else check the \
         name and the machine.",
        name = state.name,
    );
    // By the name under which Terraform itself tells it of everything else.
    Some(Diagnostic::error(
        "Cannot import non-existent remote object",
        text,
    ))
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
    fn an_unsuitable_id_is_answered_with_the_forms() {
        for id in [
            "",
            "helm/x",
            "helm/x/y",
            "helm//ns/r",
            "pod/x/y/z",
            "host/localhost/",
            "host/localhost",
            "host/web//team-a",
        ] {
            let error = locate(&ImportTarget::Id(id.to_owned())).unwrap_err().to_string();
            assert!(
                error.contains("helm/<context>/<namespace>/<release>"),
                "{id}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_machine_no_folder_or_no_argument_is_named() {
        for (id, part) in [
            ("host/-oProxyCommand=x/a", "[user@]host[:port]"),
            ("host/web/srv/a", "\"srv\" is no folder"),
            ("host/web//srv/a b/a", "\"/srv/a b\" is no folder"),
            ("host/web/a?identity_file", "identity_file"),
            ("host/web/a?sudo=perhaps", "sudo must be true or false"),
            (
                "host/web/a?connect_timeout=5",
                "connect_timeout must be a duration",
            ),
            ("host/web/a?password=x", "\"password\" is no argument of host.ssh"),
            ("host/localhost/a?sudo=true", "localhost is reached without ssh"),
        ] {
            let error = locate(&ImportTarget::Id(id.to_owned())).unwrap_err().to_string();
            assert!(error.contains(part), "{id}: {error}");
        }
    }

    #[test]
    fn the_folder_and_the_way_there_are_arguments_and_no_part_of_the_id() {
        let id = "host/deploy@web:2222//srv/delegates/a/team-a?identity_file=%7E/.ssh/a%20key&known_hosts_file=/k\
                  &connect_timeout=5s&sudo=true";
        let by_id = locate(&ImportTarget::Id(id.to_owned())).unwrap();
        let identity = Location::parse(id).unwrap().identity();
        let by_identity = locate(&ImportTarget::Identity(identity)).unwrap();
        for model in [by_id, by_identity] {
            assert_eq!(model.id, Field::Known("host/deploy@web:2222/team-a".to_owned()));
            assert_eq!(model.name, "team-a");
            let host = model.host.unwrap();
            assert_eq!(host.directory.as_deref(), Some("/srv/delegates/a"));
            let ssh = host.ssh.unwrap();
            assert_eq!(
                (ssh.host.as_str(), ssh.port, ssh.user.as_deref()),
                ("web", Some(2222), Some("deploy"))
            );
            assert_eq!(ssh.identity_file.as_deref(), Some("~/.ssh/a key"));
            assert_eq!(ssh.known_hosts_file.as_deref(), Some("/k"));
            assert_eq!(
                (ssh.connect_timeout.as_deref(), ssh.sudo),
                (Some("5s"), Some(true))
            );
        }
    }
}
