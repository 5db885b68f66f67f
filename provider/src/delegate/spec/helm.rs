//! The installation of a Helm release.

use std::collections::BTreeSet;

use delegate_core::config::DelegateConfig;

use super::super::model::{self, Model};
use super::{TokenFrom, kubernetes, notes, wait_of};
use crate::framework::diagnostics::Diagnostics;
use crate::install::cluster::expand_home;
use crate::install::helm::{Chart, DEFAULT_HISTORY, HelmSpec, Login, Options};

pub(super) fn spec(
    model: &Model,
    helm: &model::Helm,
    config: DelegateConfig,
    secrets: TokenFrom<'_>,
) -> Result<HelmSpec, Diagnostics> {
    let chart = match helm.chart.clone() {
        None => Chart::Embedded,
        Some(model::Chart { path: Some(path), .. }) => Chart::Path(expand_home(&path)),
        Some(model::Chart {
            repository,
            repository_username,
            repository_ca_file,
            name,
            version,
            ..
        }) => Chart::Repository {
            repository,
            name: name.unwrap_or_default(),
            version,
            login: repository_username.map(|username| login(username, secrets)),
            ca_file: repository_ca_file.as_deref().map(expand_home),
        },
    };
    let options = Options {
        atomic: helm.atomic.unwrap_or_default().then(|| wait_of(model).limit),
        max_history: helm.max_history.unwrap_or(DEFAULT_HISTORY),
        take_ownership: helm.take_ownership.unwrap_or_default(),
        upgrade_install: helm.upgrade_install.unwrap_or_default(),
    };
    Ok(HelmSpec {
        delegate: kubernetes::delegate(model, helm.namespace.as_ref(), config)?,
        create_namespace: helm.create_namespace.unwrap_or(true),
        release: helm.release.clone().unwrap_or_else(|| model.name.clone()),
        chart,
        values: helm.values.clone().unwrap_or_default(),
        given: given(model),
        options,
        notes: notes(model),
    })
}

/// The password is in the configuration only; a read or a delete fetches no chart.
fn login(username: String, secrets: TokenFrom<'_>) -> Login {
    let config = match secrets {
        TokenFrom::Config(config) => config.helm.as_ref().and_then(|helm| helm.chart.as_ref()),
        TokenFrom::Installed => None,
    };
    let password = config.and_then(|chart| chart.repository_password_wo.clone());
    Login {
        username,
        password: password.map(|secret| secret.0).unwrap_or_default(),
    }
}

/// The arguments that somebody has set, of those that a chart's values may set too.
fn given(model: &Model) -> BTreeSet<&'static str> {
    let given = [
        ("ca_bundle", model.ca_bundle.is_some()),
        ("description", model.description.is_some()),
        ("env", model.env.is_some()),
        ("image", model.image.is_some()),
        ("init_script", model.init_script.is_some()),
        ("log_service_url", model.log_service_url.is_some()),
        ("mtls", model.mtls.is_some()),
        ("permissions", model.permissions.is_some()),
        ("poll_for_tasks", model.poll_for_tasks.is_some()),
        ("proxy", model.proxy.is_some()),
        ("replicas", model.replicas.is_some()),
        ("resources", model.resources.is_some()),
        ("tags", model.tags.is_some()),
    ];
    given
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
}
