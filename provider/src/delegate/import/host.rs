//! What a delegate on a host was installed with.

use std::collections::{BTreeMap, BTreeSet};

use delegate_core::config::{DelegateConfig, Env, ProxyScheme, Tag, TokenSource};
use delegate_core::install::host::{self, ServiceKind};
use tokio_util::sync::CancellationToken;

use super::super::model::{self, Model};
use super::super::place;
use super::super::spec::{TOKEN_VERSION, TokenFrom, access, beside_provider, spec};
use super::{finish, same_url};
use crate::data::ProviderData;
use crate::framework::prelude::*;
use crate::install::host::Machine;

pub(super) async fn complete(
    mut state: Model,
    provider: &ProviderData,
    stop: &CancellationToken,
) -> Result<ReadOutcome<Model>, Diagnostics> {
    let access = state.host.as_ref().and_then(|host| host.ssh.as_ref()).map(access);
    let machine = Machine::reach(access.as_ref(), &provider.ssh, stop)
        .await
        .map_err(|error| place::told_of_machine(&error))?;
    let directory = machine.facts().default_directory(&state.name);
    let found = machine
        .observe(&directory, &beside_provider(), stop)
        .await
        .map_err(|error| place::told_of_machine(&error))?;
    let Some(found) = found.map(|sighting| sighting.observed) else {
        return Ok(ReadOutcome::Gone);
    };
    let env: Env = found
        .env
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    let config = DelegateConfig::from_env(&env)
        .map_err(|error| Diagnostic::from_error("The delegate's settings cannot be read back", &error, ""))?;
    take_settings(&mut state, &config, provider);
    if let Some(host) = &mut state.host {
        host.user.clone_from(&found.record.user);
        host.service = Some(service_name(found.record.service, machine.facts().service()).to_owned());
    }
    let own: Vec<_> = config.to_env().into_iter().map(|(name, _)| name).collect();
    let extra: BTreeMap<_, _> = found
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(name, _)| !own.contains(name) && !host::SECRET_VARIABLES.contains(name))
        .map(|(name, value)| (name.to_owned(), value.expose().to_owned()))
        .collect();
    state.env = (!extra.is_empty()).then_some(extra);
    state.token_wo_version = found
        .record
        .notes
        .get(TOKEN_VERSION)
        .and_then(|version| version.parse().ok());
    let found = spec(&state, TokenFrom::Installed, provider)?;
    let place = place::reach(&found, provider, stop).await?;
    finish(&place, state, stop).await
}

/// The arguments that a delegate's settings come from. What is a default, or the provider's, needs no argument.
fn take_settings(state: &mut Model, config: &DelegateConfig, provider: &ProviderData) {
    let defaults = DelegateConfig::new(
        config.account_id.clone(),
        config.name.clone(),
        TokenSource::Elsewhere,
        config.manager_url.clone(),
    );
    state.account_id =
        Some(config.account_id.to_string()).filter(|id| Some(id) != provider.account_id.as_ref());
    state.manager_url =
        Some(config.manager_url.to_string()).filter(|url| !same_url(url, provider.endpoint.as_deref()));
    state.token_file = match &config.token {
        TokenSource::File(path) => Some(path.display().to_string()),
        _ => None,
    };
    state.description = Some(config.description.clone()).filter(|text| !text.is_empty());
    state.init_script.clone_from(&config.init_script);
    let tags: BTreeSet<String> = config.tags.iter().map(Tag::to_string).collect();
    state.tags = (!tags.is_empty()).then_some(tags);
    state.poll_for_tasks = config.poll_for_tasks.then_some(true);
    let logs = config.log_service_url();
    state.log_service_url = (logs != defaults.log_service_url()).then(|| logs.to_string());
    let no_proxy = (!config.no_proxy.is_empty()).then(|| config.no_proxy.clone());
    state.proxy = config.proxy.as_ref().map(|proxy| model::Proxy {
        host: proxy.host.clone(),
        port: proxy.port,
        scheme: (proxy.scheme != ProxyScheme::Http).then(|| proxy.scheme.to_string()),
        user: proxy.credentials.as_ref().map(|login| login.user.clone()),
        password_wo: None,
        no_proxy,
    });
    state.mtls = config.client_certificate.as_ref().map(|files| model::Mtls {
        secret_name: None,
        certificate_file: Some(files.certificate.display().to_string()),
        key_file: Some(files.key.display().to_string()),
    });
    state.ca_bundle = (config.ca_bundle_dir != defaults.ca_bundle_dir).then(|| model::CaBundle {
        secret_name: None,
        directory: Some(config.ca_bundle_dir.display().to_string()),
    });
}

/// The argument that leads to this kind of service on a machine whose own is `auto`.
fn service_name(kind: ServiceKind, auto: ServiceKind) -> &'static str {
    match kind {
        kind if kind == auto => "auto",
        ServiceKind::Systemd => "systemd",
        ServiceKind::Process => "process",
    }
}
