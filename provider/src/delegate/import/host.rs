//! What a delegate on a host was installed with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use delegate_core::config::telemetry::Telemetry;
use delegate_core::config::{DelegateConfig, Env};
use delegate_core::install::host::{self, ServiceKind};
use tokio_util::sync::CancellationToken;

use super::super::model::Model;
use super::super::place;
use super::super::spec::{TOKEN_VERSION, TokenFrom, access, beside_provider, spec};
use super::finish;
use super::settings::take_settings;
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
    let named = state.host.as_ref().and_then(|host| host.directory.as_ref());
    let directory = named.map_or_else(|| machine.facts().default_directory(&state.name), PathBuf::from);
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
    if config.name.as_str() != state.name {
        let detail = format!(
            "In {} on {} is the delegate {}, not {}. Import it by its own name, or name the folder of the other one: \
             host/<machine>/<folder>/<name>.",
            directory.display(),
            machine.name(),
            config.name,
            state.name
        );
        return Err(Diagnostics::error("Another delegate is there", detail));
    }
    take_settings(&mut state, &config, provider);
    if let Some(host) = &mut state.host {
        host.user.clone_from(&found.record.user);
        host.service = Some(service_name(found.record.service, machine.facts().service()).to_owned());
    }
    // No argument exports telemetry or names a folder of kinds: whoever installed it wrote those variables into `env`.
    let of_arguments = DelegateConfig {
        telemetry: Telemetry::default(),
        task_kinds_dir: None,
        ..config
    };
    let own: Vec<_> = of_arguments.to_env().into_iter().map(|(name, _)| name).collect();
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

/// The argument that leads to this kind of service on a machine whose own is `auto`.
fn service_name(kind: ServiceKind, auto: ServiceKind) -> &'static str {
    match kind {
        kind if kind == auto => "auto",
        ServiceKind::Systemd => "systemd",
        ServiceKind::Process => "process",
    }
}
