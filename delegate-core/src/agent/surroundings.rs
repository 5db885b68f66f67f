//! What child processes find around them: our environment's harmless part, and proxies and certificates as the delegate
//! itself uses them.
//!
//! A delegate that reaches the world through a proxy, or trusts a company's own authority, is of little use when the
//! programs it runs do not. The password of a proxy is in that environment, and masked in everything they print.

use std::path::Path;

use tracing::{debug, warn};

use crate::Secret;
use crate::config::{ConfinementSettings, DelegateConfig};
use crate::process::{Confinement, Environment, User};
use crate::protocol::trust;

/// Name of the bundle in the working directory.
const BUNDLE: &str = "ca-certificates.pem";

/// What programs of the usual kinds read a bundle from: OpenSSL and Go, git, curl, Python, Node.
const BUNDLE_VARIABLES: [&str; 5] = [
    "SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
];

/// The environment of children, and what in it is secret.
pub(super) fn of_children(config: &DelegateConfig) -> (Environment, Vec<Secret>) {
    let mut environment = Environment::of_this_process(&[]);
    let mut secrets = config.secrets.own();
    secrets.extend(config.telemetry.own());
    if let Some(proxy) = &config.proxy {
        let url = proxy.url();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            environment.set_secret(name, &url);
        }
        if let Some(login) = &proxy.credentials {
            secrets.extend([login.password.clone(), url]);
        }
        for name in ["NO_PROXY", "no_proxy"] {
            environment.set(name, config.no_proxy.join(","));
        }
    }
    let file = config.working_dir.join(BUNDLE);
    if let Some(bundle) = trust::bundle(&config.ca_bundle_dir) {
        match write(&file, &bundle) {
            Ok(()) => {
                for name in BUNDLE_VARIABLES {
                    environment.set(name, &file);
                }
            }
            Err(error) => {
                warn!(%error, file = %file.display(), "the certificates of HARNESS_CERTS_DIR cannot be given to child processes");
            }
        }
    } else if let Err(error) = std::fs::remove_file(&file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        debug!(%error, "an old certificate bundle stays");
    }
    (environment, secrets)
}

/// What child processes may use, and who they are. The error reads well after the variable.
pub(super) fn confinement(settings: &ConfinementSettings) -> Result<Confinement, String> {
    let user = settings.user.as_deref().map(User::find).transpose()?;
    #[cfg(unix)]
    if user.is_some() && !nix::unistd::geteuid().is_root() {
        return Err(
            "takes that the delegate runs as root; leave it out, tasks have no more rights than it"
                .to_owned(),
        );
    }
    Ok(Confinement {
        processes: settings.max_processes,
        memory: settings.max_memory_mib.map(|mib| u64::from(mib) << 20),
        millicpus: settings.max_millicpus,
        user,
    })
}

/// In one step: a child may be reading the old one.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, file)
}
