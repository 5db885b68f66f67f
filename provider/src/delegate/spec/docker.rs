//! The installation of a container, and the engine it goes to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use delegate_core::config::{ClientCertificate, DelegateConfig, TokenSource};

use super::super::model::{self, Model};
use super::super::schema::duration;
use super::host::beside_provider;
use super::{TokenFrom, notes};
use crate::data::ProviderData;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::expand_home;
use crate::install::docker::{
    DockerSpec, Health, Image, Login, Restart, Target, TokenAs, capability, memory,
};

/// Where the files of the engine's machine are in the container: certificates where the official instructions put them.
pub(in crate::delegate) const TOKEN_FILE: &str = "/run/secrets/delegate-token";
pub(in crate::delegate) const CERTIFICATE_FILE: &str = "/etc/mtls/client.crt";
pub(in crate::delegate) const KEY_FILE: &str = "/etc/mtls/client.key";

/// Working folder where the root is read-only, as in the official instructions.
const WRITABLE: &str = "/writable";

pub(super) fn spec(
    model: &Model,
    docker: &model::Docker,
    token: TokenFrom<'_>,
    mut config: DelegateConfig,
) -> Result<DockerSpec, Diagnostics> {
    let mut files = Vec::new();
    if let TokenSource::File(path) = &config.token {
        files.push((path.clone(), TOKEN_FILE.to_owned()));
        config.token = TokenSource::File(TOKEN_FILE.into());
    }
    if let Some(model::Mtls {
        certificate_file: Some(certificate),
        key_file: Some(key),
        ..
    }) = &model.mtls
    {
        files.push((certificate.into(), CERTIFICATE_FILE.to_owned()));
        files.push((key.into(), KEY_FILE.to_owned()));
        config.client_certificate = Some(ClientCertificate {
            certificate: CERTIFICATE_FILE.into(),
            key: KEY_FILE.into(),
        });
    }
    let authorities = model
        .ca_bundle
        .as_ref()
        .and_then(|bundle| bundle.directory.as_ref());
    files.extend(
        authorities.map(|folder| (PathBuf::from(folder), config.ca_bundle_dir.display().to_string())),
    );
    let read_only = docker.read_only.unwrap_or_default();
    if read_only {
        config.working_dir = WRITABLE.into();
    }
    let capabilities = docker.capabilities.clone().unwrap_or_default();
    let normal = |names: Option<BTreeSet<String>>| {
        names
            .into_iter()
            .flatten()
            .map(|name| capability(&name))
            .collect()
    };
    let spec = DockerSpec {
        env: model.env.clone().unwrap_or_default(),
        container: docker.container.clone().unwrap_or_else(|| model.name.clone()),
        image: match (&model.image, &docker.binary) {
            (Some(name), _) => Image::Named(name.clone()),
            (None, Some(program)) => Image::Program(expand_home(program)),
            (None, None) => Image::Program(beside_provider()),
        },
        login: login(model, docker, token),
        token_as: match docker.token_as.as_deref() {
            Some("file") => TokenAs::File,
            Some("environment") => TokenAs::Environment,
            _ => TokenAs::Auto,
        },
        network: docker.network.clone(),
        networks: docker.networks.clone().unwrap_or_default(),
        extra_hosts: docker.extra_hosts.clone().unwrap_or_default(),
        volumes: docker.volumes.clone().unwrap_or_default(),
        files,
        nano_cpus: docker.cpus.map_or(0, nano),
        memory: docker.memory.as_deref().and_then(memory).unwrap_or_default(),
        restart: docker
            .restart
            .as_deref()
            .and_then(|text| text.parse().ok())
            .unwrap_or(Restart::UnlessStopped),
        cap_add: normal(capabilities.add),
        cap_drop: normal(capabilities.drop),
        read_only,
        init: docker.init.unwrap_or_default(),
        user: docker.user.clone(),
        health: docker.health.as_ref().map(health),
        notes: notes(model),
        config,
    };
    if let Some(name) = spec.lost_variable() {
        let detail = format!("{name} is set by the installation itself. Remove it from env.");
        return Err(Diagnostic::error("Variable already in use", detail)
            .at("env")
            .into());
    }
    if model.image.is_some() && docker.binary.is_some() {
        let detail = "An image is made of docker.binary only when image is absent. Remove one of them.";
        return Err(Diagnostic::error("Conflicting arguments", detail)
            .at("docker.binary")
            .into());
    }
    let alone = spec
        .network
        .as_deref()
        .filter(|network| *network == "host" || *network == "none" || network.starts_with("container:"));
    if let Some(network) = alone.filter(|_| !spec.networks.is_empty()) {
        let detail = format!(
            "A container in the network {network:?} cannot be connected to others. Remove docker.networks."
        );
        return Err(Diagnostic::error("Conflicting arguments", detail)
            .at("docker.networks")
            .into());
    }
    Ok(spec)
}

/// The provider's engine with the resource's own arguments over it. A resource that names an engine leaves the provider's
/// certificates aside, because they belong to another; logins of registries belong to all.
pub(in crate::delegate) fn target(docker: &model::Docker, provider: &ProviderData) -> Target {
    if docker.host.is_none() {
        return provider.docker.clone();
    }
    Target {
        host: docker.host.clone(),
        cert_path: docker.cert_path.clone(),
        ssh_opts: docker.ssh_opts.clone().unwrap_or_default(),
        registries: provider.docker.registries.clone(),
    }
}

/// The login of the resource, in a call that has its configuration.
fn login(model: &Model, docker: &model::Docker, token: TokenFrom<'_>) -> Option<Login> {
    let TokenFrom::Config(config) = token else {
        return None;
    };
    let registry = config.docker.as_ref()?.registry.as_ref()?;
    Some(Login {
        address: crate::install::docker::registry_of(model.image.as_deref()?).to_owned(),
        username: docker.registry.as_ref()?.username.clone(),
        password: registry.password_wo.clone()?.0,
    })
}

/// CPUs as the engine counts them.
#[expect(clippy::cast_possible_truncation, reason = "the schema bounds it")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

fn health(health: &model::Health) -> Health {
    let time = |text: &Option<String>| text.as_deref().and_then(duration);
    Health {
        disabled: health.disabled.unwrap_or_default(),
        command: health.command.clone(),
        interval: time(&health.interval),
        timeout: time(&health.timeout),
        start_period: time(&health.start_period),
        retries: health.retries,
    }
}
