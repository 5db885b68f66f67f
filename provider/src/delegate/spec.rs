//! From the resource's arguments and the provider's to what an installer takes. Everything is validated here, once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use delegate_core::config::{
    AccountId, ClientCertificate, DelegateConfig, DelegateName, DelegateToken, DelegateType, Proxy,
    ProxyCredentials, ProxyScheme, Tag, TokenSource,
};
use delegate_core::install::host::{self, HostSpec, ServiceKind};
use url::Url;

use super::model::{self, Model};
use super::schema::{DEFAULT_NAMESPACE, duration};
use crate::data::ProviderData;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::{Target, expand_home};
use crate::install::helm::{Chart, HelmSpec, Until};

/// Note under which the version of a write-only token is kept beside an installation.
pub(super) const TOKEN_VERSION: &str = "token-wo-version";

/// What an installer takes.
#[derive(Debug, Clone)]
pub(super) enum Spec {
    /// A Helm release.
    Helm(Box<HelmSpec>, Box<Target>),
    /// A service of this machine.
    Host(Box<HostSpec>),
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
        let target = model
            .kubernetes
            .as_ref()
            .map_or_else(|| provider.kubernetes.clone(), overridden(provider));
        return Ok(Spec::Helm(
            Box::new(helm_spec(model, helm, config)?),
            Box::new(target),
        ));
    }
    let host = model.host.clone().unwrap_or_default();
    Ok(Spec::Host(Box::new(host_spec(model, &host, config)?)))
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

fn helm_spec(model: &Model, helm: &model::Helm, config: DelegateConfig) -> Result<HelmSpec, Diagnostics> {
    if !config.name.is_dns_label() {
        return Err(Diagnostic::error(
            "Invalid delegate name",
            "With helm, the name names Kubernetes objects: it must have lower-case letters, digits and '-' only.",
        )
        .at("name")
        .into());
    }
    let chart = match helm.chart.clone() {
        None => Chart::Embedded,
        Some(model::Chart { path: Some(path), .. }) => Chart::Path(expand_home(&path)),
        Some(model::Chart {
            repository,
            name,
            version,
            ..
        }) => Chart::Repository {
            repository,
            name: name.unwrap_or_default(),
            version,
        },
    };
    Ok(HelmSpec {
        namespace: helm
            .namespace
            .clone()
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        create_namespace: helm.create_namespace.unwrap_or(true),
        release: helm.release.clone().unwrap_or_else(|| model.name.clone()),
        chart,
        image: model.image.clone(),
        replicas: model.replicas.unwrap_or(1),
        permissions: model.permissions.clone(),
        resources: model
            .resources
            .as_ref()
            .and_then(|resources| serde_json::to_value(resources).ok()),
        env: model.env.clone().unwrap_or_default(),
        mtls_secret: model.mtls.as_ref().and_then(|mtls| mtls.secret_name.clone()),
        ca_secret: model
            .ca_bundle
            .as_ref()
            .and_then(|bundle| bundle.secret_name.clone()),
        token_secret: model.token_secret.as_ref().map(|secret| secret.name.clone()),
        values: helm.values.clone().unwrap_or_default(),
        notes: notes(model),
        config,
    })
}

fn host_spec(model: &Model, host: &model::Host, mut config: DelegateConfig) -> Result<HostSpec, Diagnostics> {
    // Nothing outside the machine has to reach health and metrics, and a free port is whatever the system gives.
    config.http_host = std::net::Ipv4Addr::LOCALHOST.into();
    config.http_port = 0;
    if let Some(model::Mtls {
        certificate_file: Some(certificate),
        key_file: Some(key),
        ..
    }) = &model.mtls
    {
        config.client_certificate = Some(ClientCertificate {
            certificate: certificate.into(),
            key: key.into(),
        });
    }
    if let Some(directory) = model
        .ca_bundle
        .as_ref()
        .and_then(|bundle| bundle.directory.as_ref())
    {
        config.ca_bundle_dir = directory.into();
    }
    let service = match host.service.as_deref() {
        Some("systemd") => ServiceKind::Systemd,
        Some("process") => ServiceKind::Process,
        _ => ServiceKind::of_this_machine(),
    };
    if host.user.is_some() && service == ServiceKind::Process {
        return Err(Diagnostic::error(
            "Cannot run as another user",
            "Only systemd starts the delegate as another user, and it does not keep services on this machine. Remove host.user, \
             or run Terraform as that user.",
        )
        .at("host.user")
        .into());
    }
    let directory = host
        .directory
        .as_ref()
        .map_or_else(|| default_directory(&model.name), PathBuf::from);
    let binary = match &host.binary {
        Some(path) => expand_home(path),
        None => beside_provider(),
    };
    let spec = HostSpec {
        config,
        extra_env: model.env.clone().unwrap_or_default(),
        binary,
        directory,
        service,
        user: host.user.clone(),
        notes: notes(model),
    };
    match host::lost_variable(&spec) {
        None => Ok(spec),
        Some(name) => Err(Diagnostic::error(
            "Variable already in use",
            format!("{name} is set by the installation itself. Remove it from env."),
        )
        .at("env")
        .into()),
    }
}

/// Folder of an installation when none is named.
pub(super) fn default_directory(name: &str) -> PathBuf {
    let base = if nix::unistd::geteuid().is_root() {
        PathBuf::from("/var/lib")
    } else {
        expand_home("~/.local/share")
    };
    base.join("harness-delegate").join(name)
}

/// The program that came with this provider.
fn beside_provider() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new("/")).join("harness-delegate")
}

/// The provider's cluster with the resource's own arguments over it; a resource that names files leaves the provider's
/// credentials aside, because they belong to another cluster.
fn overridden(provider: &ProviderData) -> impl FnOnce(&model::Kubernetes) -> Target + '_ {
    |own| {
        let names_files = own.config_path.is_some() || own.config_paths.is_some();
        let base = if names_files {
            Target::default()
        } else {
            provider.kubernetes.clone()
        };
        Target {
            config_path: own.config_path.clone().or(base.config_path),
            config_paths: own.config_paths.clone().or(base.config_paths),
            config_context: own.config_context.clone().or(base.config_context),
            ..base
        }
    }
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
