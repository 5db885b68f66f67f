//! The installation of a service of a machine.

use std::path::{Path, PathBuf};

use delegate_core::config::{ClientCertificate, DelegateConfig};
use delegate_core::install::host::{self, HostSpec, ServiceKind};

use super::super::model::{self, Model};
use super::notes;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::expand_home;

pub(super) fn spec(
    model: &Model,
    host: &model::Host,
    mut config: DelegateConfig,
) -> Result<HostSpec, Diagnostics> {
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
pub(in crate::delegate) fn default_directory(name: &str) -> PathBuf {
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
