//! `harness-delegate manifest`: an installation as text, for whoever installs in another way.
//!
//! One file a kind of text. Nothing is contacted and nothing is changed. A secret is printed only when asked for, and only in
//! the form that needs it in the text itself, a Kubernetes Secret; everything else names the place to get it from.

mod container;
mod systemd;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::json;

use super::api::print;
use super::run::{RunArgs, TOKEN_VARIABLES, read_config};
use super::{ExitCode as Code, complain};
use crate::config::{DEFAULT_HTTP_PORT, DelegateConfig, DelegateType, TokenSource};
use crate::install::kubernetes::{
    ChartKind, Installer, KubernetesSpec, TOKEN_KEY, default_image, objects, token_secret, values, yaml,
};

/// Namespace when none is named: that of the official instructions.
const DEFAULT_NAMESPACE: &str = "harness-delegate-ng";

/// Prints an installation made from the settings of `run`.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// What to print.
    #[arg(long, value_enum, default_value = "kubernetes")]
    format: Format,
    #[command(flatten)]
    settings: Box<RunArgs>,
    /// Image of the delegate; that of this version when absent.
    #[arg(long)]
    image: Option<String>,
    /// Namespace in Kubernetes [DELEGATE_NAMESPACE].
    #[arg(long)]
    namespace: Option<String>,
    /// Pods in Kubernetes.
    #[arg(long, default_value_t = 1)]
    replicas: u32,
    /// What it may do in Kubernetes: CLUSTER_ADMIN, CLUSTER_VIEWER, NAMESPACE_ADMIN, or the name of a Role.
    #[arg(long, value_name = "RIGHTS")]
    permissions: Option<String>,
    /// Kubernetes Secret that holds the token; NAME-delegate-token when absent.
    #[arg(long, value_name = "NAME")]
    token_secret: Option<String>,
    /// Kubernetes Secret with client.crt and client.key.
    #[arg(long, value_name = "NAME")]
    mtls_secret: Option<String>,
    /// Kubernetes Secret with extra certificate authorities.
    #[arg(long, value_name = "NAME")]
    ca_secret: Option<String>,
    /// Print the Kubernetes Secret of the token too, with the token in it.
    #[arg(long, conflicts_with = "token_secret")]
    with_secrets: bool,
    /// Folder of the service, with systemd.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/harness-delegate/default")]
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Objects for `kubectl apply -f -`.
    Kubernetes,
    /// Values for `helm install --values -`.
    Values,
    /// A `docker run` command.
    Docker,
    /// A file for `docker compose`.
    Compose,
    /// A unit of systemd, and its settings.
    Systemd,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match text(args) {
        Ok(text) => match print(&text) {
            Ok(()) => Code::Success.into(),
            Err(problem) => {
                complain(problem);
                Code::Unexpected.into()
            }
        },
        Err(problem) => {
            complain(problem);
            Code::BadConfiguration.into()
        }
    }
}

fn text(args: &Args) -> Result<String, String> {
    let config = config(args)?;
    match args.format {
        Format::Kubernetes => kubernetes(args, config),
        Format::Values => chart_values(args, config),
        Format::Docker => Ok(container::docker(&config, &image(args))),
        Format::Compose => Ok(container::compose(&config, &image(args))),
        Format::Systemd => systemd::unit(config, &args.directory),
    }
}

fn image(args: &Args) -> String {
    args.image.clone().unwrap_or_else(default_image)
}

/// The settings. A token is needed only where it is printed.
fn config(args: &Args) -> Result<DelegateConfig, String> {
    let given = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let in_settings = TOKEN_VARIABLES.iter().any(given)
        || args.settings.token_file.is_some()
        || args.settings.env_file.is_some();
    let mut settings = args.settings.clone();
    if !in_settings {
        if args.with_secrets {
            return Err(format!(
                "{TOKEN_KEY} is not set; set it to the token that the manager shows, or leave out --with-secrets"
            ));
        }
        settings.token_file = Some("/dev/null".into());
    }
    let mut config = read_config(&settings)?;
    if !in_settings {
        config.token = TokenSource::Elsewhere;
    }
    Ok(config)
}

fn spec(args: &Args, mut config: DelegateConfig, kind: DelegateType) -> Result<KubernetesSpec, String> {
    if !config.name.is_dns_label() {
        return Err(format!(
            "DELEGATE_NAME {:?} cannot name Kubernetes objects; use lower-case letters, digits and '-'",
            config.name.as_str()
        ));
    }
    if config.http_port != DEFAULT_HTTP_PORT {
        return Err(format!(
            "DELEGATE_HTTP_PORT cannot be changed in Kubernetes, where the probes ask at {DEFAULT_HTTP_PORT}; remove it"
        ));
    }
    if matches!(config.token, TokenSource::File(_)) && args.with_secrets {
        return Err(
            "DELEGATE_TOKEN_FILE is a file of this machine; give the token itself in DELEGATE_TOKEN, or name its Secret with \
             --token-secret"
                .to_owned(),
        );
    }
    if config.client_certificate.is_some() {
        return Err(
            "DELEGATE_CLIENT_CERTIFICATE_PATH is a file of this machine; name the Secret of the certificate with --mtls-secret"
                .to_owned(),
        );
    }
    if !args.with_secrets || matches!(config.token, TokenSource::File(_)) {
        config.token = TokenSource::Elsewhere;
    }
    let namespace = args.namespace.clone().or_else(|| config.namespace.clone());
    config.delegate_type = kind;
    Ok(KubernetesSpec {
        config,
        namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        image: args.image.clone(),
        replicas: args.replicas,
        permissions: args.permissions.clone(),
        resources: None,
        env: std::collections::BTreeMap::new(),
        mtls_secret: args.mtls_secret.clone(),
        ca_secret: args.ca_secret.clone(),
        token_secret: args.token_secret.clone(),
    })
}

fn kubernetes(args: &Args, config: DelegateConfig) -> Result<String, String> {
    let spec = spec(args, config, DelegateType::Kubernetes)?;
    let installer = Installer {
        managed_by: "harness-delegate",
        secret_revision: None,
    };
    let mut text = heading(&spec, args);
    if args.with_secrets {
        text.push_str(&yaml::documents([&token_secret(&spec, installer)]));
    }
    text.push_str(&yaml::documents(&objects(&spec, installer)));
    Ok(text)
}

fn chart_values(args: &Args, config: DelegateConfig) -> Result<String, String> {
    let spec = spec(args, config, DelegateType::HelmDelegate)?;
    let mut values = values(&spec, ChartKind::Ours, None);
    let mut text = String::new();
    let token = spec
        .config
        .to_env()
        .into_iter()
        .find(|(name, _)| *name == TOKEN_KEY);
    if let (true, Some((_, token))) = (args.with_secrets, token) {
        // The chart makes the Secret then, under a name of its own.
        if let Some(values) = values.as_object_mut() {
            values.shift_remove("existingDelegateToken");
        }
        values["delegateToken"] = json!(token.expose());
    } else {
        text = heading(&spec, args);
    }
    text.push_str(&yaml::document(&values));
    Ok(text)
}

/// What has to be there before, as comments.
fn heading(spec: &KubernetesSpec, args: &Args) -> String {
    let namespace = &spec.namespace;
    let mut text = format!("# In the namespace {namespace:?}, which must exist");
    if args.with_secrets {
        text.push_str(". The Secret holds the token: keep this text to yourself.\n");
        return text;
    }
    let secret = spec.secret_with_token();
    let _ = writeln!(
        text,
        ", with a Secret {secret:?}. To make it from the variable {TOKEN_KEY}:"
    );
    let _ = writeln!(
        text,
        "#   printf %s \"${TOKEN_KEY}\" | kubectl --namespace {namespace} create secret generic {secret} --from-file={TOKEN_KEY}=/dev/stdin"
    );
    text
}
