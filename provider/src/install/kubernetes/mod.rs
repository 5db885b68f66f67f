//! What an installation in a cluster is made of, whoever makes its objects: the namespace, the Secret of the token, the
//! pods to wait for, and the comparison of what was installed with what is there.
//!
//! May touch: the namespace (made when asked for, removed only when we made it and nothing is left in it) and the Secret.
//! Every step can be repeated.

pub(super) mod difference;
pub(super) mod namespace;
pub(super) mod secret;
mod wait;
pub(super) mod workload;

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use delegate_core::install::kubernetes::{Installer, KubernetesSpec, MANAGED_BY_LABEL};
pub use wait::{Until, WaitError};
pub(super) use wait::{until_no_pod, wait};
pub use workload::Workload;

use super::cluster::FIELD_MANAGER;

/// What this provider made, as a label selector: `app.kubernetes.io/managed-by` is [`FIELD_MANAGER`].
pub(super) const OURS: &str = "app.kubernetes.io/managed-by=terraform-provider-harness";

/// Where a delegate lives in a cluster, and how its Secret knows whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'a> {
    /// The delegate.
    pub(super) delegate: &'a KubernetesSpec,
    /// Whether to make the namespace when it is missing, and to remove it when it was made and nobody else lives there.
    pub(super) create_namespace: bool,
    /// Facts of the owner, kept beside the installation.
    pub(super) notes: &'a BTreeMap<String, String>,
    /// Annotation that names the installation, and the name: a Secret of another one is not ours.
    pub(super) marker: (&'static str, &'a str),
}

impl Home<'_> {
    pub(super) fn namespace(&self) -> &str {
        &self.delegate.namespace
    }
}

/// Us, as the maker of objects.
pub(super) fn installer(secret_revision: Option<&str>) -> Installer<'_> {
    Installer {
        managed_by: FIELD_MANAGER,
        secret_revision,
    }
}

/// Whether this provider made an object.
pub(super) fn is_ours(object: &serde_json::Value) -> bool {
    object["metadata"]["labels"][MANAGED_BY_LABEL] == FIELD_MANAGER
}

/// The first 16 hex digits of a SHA-256.
pub(super) fn short_digest(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_is_that_of_our_label() {
        assert_eq!(OURS, format!("{MANAGED_BY_LABEL}={FIELD_MANAGER}"));
    }
}
