//! The installation of a service of a machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use delegate_core::config::{ClientCertificate, DelegateConfig};
use delegate_core::install::host::{self, HostSpec, ServiceKind};

use super::super::model::{self, Model};
use super::super::schema::duration;
use super::notes;
use crate::framework::diagnostics::{Diagnostic, Diagnostics};
use crate::install::cluster::expand_home;
use crate::install::host::{Access, Facts};
use crate::install::ssh::{DEFAULT_CONNECT_TIMEOUT, Destination};

/// What is wanted, before the machine has been asked what it is.
#[derive(Debug, Clone)]
pub(in crate::delegate) struct HostWish {
    /// How to get there; nothing for this machine.
    pub(in crate::delegate) access: Option<Access>,
    config: DelegateConfig,
    extra_env: BTreeMap<String, String>,
    /// The program to install, on this machine.
    pub(in crate::delegate) binary: PathBuf,
    directory: Option<PathBuf>,
    service: Option<ServiceKind>,
    user: Option<String>,
    notes: BTreeMap<String, String>,
}

impl HostWish {
    /// The folder, or, as long as none is named, what tells it from others of the same user.
    pub(in crate::delegate) fn folder(&self) -> String {
        match &self.directory {
            Some(directory) => directory.display().to_string(),
            None => format!("default of {}", self.config.name),
        }
    }

    /// What it comes to on a machine.
    ///
    /// # Errors
    /// When that machine cannot do it.
    pub(in crate::delegate) fn on(&self, machine: &Facts) -> Result<HostSpec, Diagnostics> {
        let service = self.service.unwrap_or_else(|| machine.service());
        if self.user.is_some() && service == ServiceKind::Process {
            return Err(Diagnostic::error(
                "Cannot run as another user",
                "Only systemd starts the delegate as another user, and it does not keep services on this machine. Remove \
                 host.user, or run Terraform, or log in, as that user.",
            )
            .at("host.user")
            .into());
        }
        Ok(HostSpec {
            config: self.config.clone(),
            extra_env: self.extra_env.clone(),
            binary: self.binary.clone(),
            origin: None,
            directory: self
                .directory
                .clone()
                .unwrap_or_else(|| machine.default_directory(self.config.name.as_str())),
            service,
            user: self.user.clone(),
            notes: self.notes.clone(),
        })
    }
}

pub(super) fn wish(
    model: &Model,
    host: &model::Host,
    mut config: DelegateConfig,
) -> Result<HostWish, Diagnostics> {
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
    let extra_env = model.env.clone().unwrap_or_default();
    if let Some(name) = host::lost_variable(&config, &extra_env) {
        return Err(Diagnostic::error(
            "Variable already in use",
            format!("{name} is set by the installation itself. Remove it from env."),
        )
        .at("env")
        .into());
    }
    Ok(HostWish {
        access: host.ssh.as_ref().map(access),
        config,
        extra_env,
        binary: host.binary.as_deref().map_or_else(beside_provider, expand_home),
        directory: host.directory.as_ref().map(PathBuf::from),
        service: match host.service.as_deref() {
            Some("systemd") => Some(ServiceKind::Systemd),
            Some("process") => Some(ServiceKind::Process),
            _ => None,
        },
        user: host.user.clone(),
        notes: notes(model),
    })
}

/// How to get to the machine that the arguments name.
pub(in crate::delegate) fn access(ssh: &model::Ssh) -> Access {
    let path = |text: &Option<String>| text.as_deref().map(expand_home);
    Access {
        to: Destination {
            host: ssh.host.clone(),
            port: ssh.port,
            user: ssh.user.clone(),
            identity_file: path(&ssh.identity_file),
            known_hosts_file: path(&ssh.known_hosts_file),
            connect_timeout: ssh
                .connect_timeout
                .as_deref()
                .and_then(duration)
                .unwrap_or(DEFAULT_CONNECT_TIMEOUT),
        },
        sudo: ssh.sudo.unwrap_or_default(),
    }
}

/// The program that came with this provider.
pub(in crate::delegate) fn beside_provider() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new("/")).join("harness-delegate")
}
