//! From a delegate's settings, as an installation holds them, back to the resource's arguments.

use std::collections::BTreeSet;

use delegate_core::config::{DelegateConfig, ProxyScheme, Tag, TokenSource};

use super::super::model::{self, Model};
use super::same_url;
use crate::data::ProviderData;

/// The arguments that a delegate's settings come from. What is a default, or the provider's, needs no argument.
pub(super) fn take_settings(state: &mut Model, config: &DelegateConfig, provider: &ProviderData) {
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
