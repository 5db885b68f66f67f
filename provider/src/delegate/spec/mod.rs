//! From the resource's arguments and the provider's to what an installer takes. Everything is validated here, once.

mod docker;
mod helm;
mod host;
mod kubernetes;
mod manifest;

use std::path::PathBuf;
use std::time::Duration;

use delegate_core::config::{
    AccountId, DelegateConfig, DelegateName, DelegateToken, DelegateType, Proxy, ProxyCredentials,
    ProxyScheme, Tag, TokenSource,
};
pub(super) use docker::{CERTIFICATE_FILE, TOKEN_FILE, target as engine_of};
pub(super) use host::{HostWish, access, beside_provider};
use url::Url;

use super::model::{Kubernetes, Model};
use super::schema::duration;
use crate::data::ProviderData;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::Target;
use crate::install::docker::{DockerSpec, Target as DockerTarget};
use crate::install::helm::HelmSpec;
use crate::install::kubernetes::Until;
use crate::install::manifest::ManifestSpec;

/// Note under which the version of a write-only token is kept beside an installation.
pub(super) const TOKEN_VERSION: &str = "token-wo-version";

/// What an installer takes.
#[derive(Debug, Clone)]
pub(super) enum Spec {
    /// A Helm release.
    Helm(Box<HelmSpec>, Box<Target>),
    /// Plain objects of a cluster.
    Manifest(Box<ManifestSpec>, Box<Target>),
    /// A container of an engine.
    Docker(Box<DockerSpec>, Box<DockerTarget>),
    /// A service of a machine.
    Host(Box<HostWish>),
}

/// Where the token of this call comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenFrom<'a> {
    /// The configuration: a create or an update.
    Config(&'a Model),
    /// Nowhere: a read or a delete. What is installed keeps it.
    Installed,
}

/// How far to wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitFor {
    /// How far.
    pub until: Until,
    /// How long.
    pub limit: Duration,
}

/// The installation that `model` describes.
///
/// # Errors
/// What is missing or does not fit, at its attribute.
pub(super) fn spec(
    model: &Model,
    token: TokenFrom<'_>,
    provider: &ProviderData,
) -> Result<Spec, Diagnostics> {
    let mut config = settings(model, token, provider)?;
    if let Some(helm) = &model.helm {
        config.delegate_type = DelegateType::HelmDelegate;
        let target = target(model.kubernetes.as_ref(), provider);
        return Ok(Spec::Helm(
            Box::new(helm::spec(model, helm, config, token)?),
            Box::new(target),
        ));
    }
    if let Some(manifest) = &model.manifest {
        config.delegate_type = DelegateType::Kubernetes;
        let target = target(model.kubernetes.as_ref(), provider);
        return Ok(Spec::Manifest(
            Box::new(manifest::spec(model, manifest, config)?),
            Box::new(target),
        ));
    }
    if let Some(docker) = &model.docker {
        config.delegate_type = DelegateType::Docker;
        return Ok(Spec::Docker(
            Box::new(docker::spec(model, docker, token, config)?),
            Box::new(engine_of(docker, provider)),
        ));
    }
    let host = model.host.clone().unwrap_or_default();
    Ok(Spec::Host(Box::new(host::wish(model, &host, config)?)))
}

/// The cluster that is meant: the provider's, unless another is named.
pub(super) fn target(kubernetes: Option<&Kubernetes>, provider: &ProviderData) -> Target {
    kubernetes.map_or_else(|| provider.kubernetes.clone(), kubernetes::overridden(provider))
}

/// How far an apply waits.
pub(super) fn wait_of(model: &Model) -> WaitFor {
    let wait = model.wait.as_ref();
    let until = match wait.and_then(|wait| wait.until.as_deref()) {
        Some("installed") => Until::Installed,
        Some("ready") => Until::Ready,
        _ => Until::Connected,
    };
    let limit = wait.and_then(|wait| duration(wait.timeout.as_deref()?));
    WaitFor {
        until,
        limit: limit.unwrap_or(Duration::from_mins(5)),
    }
}

fn settings(
    model: &Model,
    token: TokenFrom<'_>,
    provider: &ProviderData,
) -> Result<DelegateConfig, Diagnostics> {
    let account = model.account_id.clone().or_else(|| provider.account_id.clone());
    let account =
        account.ok_or_else(|| missing("account_id", "the provider's account_id, or HARNESS_ACCOUNT_ID"))?;
    let url = model.manager_url.clone().or_else(|| provider.endpoint.clone());
    let url = url.ok_or_else(|| missing("manager_url", "the provider's endpoint, or HARNESS_ENDPOINT"))?;
    let account: AccountId = parse("account_id", &account)?;
    let name: DelegateName = parse("name", &model.name)?;
    let url: Url = parse("manager_url", &url)?;
    let mut config = DelegateConfig::new(account, name, token_source(model, token)?, url);
    config.description = model.description.clone().unwrap_or_default();
    config.tags = model
        .tags
        .iter()
        .flatten()
        .map(|tag| parse::<Tag>("tags", tag))
        .collect::<Result<_, _>>()?;
    config.init_script = model.init_script.clone().filter(|script| !script.is_empty());
    config.log_service_url = model
        .log_service_url
        .as_deref()
        .map(|url| parse("log_service_url", url))
        .transpose()?;
    config.poll_for_tasks = model.poll_for_tasks.unwrap_or_default();
    if let Some(proxy) = &model.proxy {
        let secrets = match token {
            TokenFrom::Config(config) => config.proxy.as_ref(),
            TokenFrom::Installed => None,
        };
        let login = |user: &String| ProxyCredentials {
            user: user.clone(),
            password: secrets
                .and_then(|proxy| proxy.password_wo.clone())
                .map(|secret| secret.0)
                .unwrap_or_default(),
        };
        config.proxy = Some(Proxy {
            scheme: proxy
                .scheme
                .as_deref()
                .map_or(Ok(ProxyScheme::Http), |scheme| parse("proxy.scheme", scheme))?,
            host: proxy.host.clone(),
            port: proxy.port,
            credentials: proxy.user.as_ref().map(login),
        });
        config.no_proxy = proxy.no_proxy.clone().unwrap_or_default();
    }
    Ok(config)
}

fn token_source(model: &Model, from: TokenFrom<'_>) -> Result<TokenSource, Diagnostics> {
    if let Some(file) = &model.token_file {
        return Ok(TokenSource::File(PathBuf::from(file)));
    }
    let TokenFrom::Config(config) = from else {
        return Ok(TokenSource::Elsewhere);
    };
    let given = [("token_wo", &config.token_wo), ("token", &config.token)];
    match given
        .into_iter()
        .find_map(|(path, secret)| Some((path, secret.as_ref()?)))
    {
        Some((path, secret)) => Ok(TokenSource::Inline(parse::<DelegateToken>(
            path,
            secret.0.expose(),
        )?)),
        None => Ok(TokenSource::Elsewhere),
    }
}

fn notes(model: &Model) -> std::collections::BTreeMap<String, String> {
    model
        .token_wo_version
        .iter()
        .map(|version| (TOKEN_VERSION.to_owned(), version.to_string()))
        .collect()
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(path: &str, text: &str) -> Result<T, Diagnostics> {
    text.parse().map_err(|problem| {
        Diagnostic::error("Invalid value", format!("The value {problem}."))
            .at(path)
            .into()
    })
}

fn missing(path: &str, other: &str) -> Diagnostics {
    Diagnostic::error(
        "Missing argument",
        format!("{path} is not set. Set it here, or set {other}."),
    )
    .at(path)
    .into()
}
