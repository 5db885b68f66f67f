//! What an installation by Helm is to be, as plain data: validated by the caller, interpreted by this room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use delegate_core::Secret;
use delegate_core::config::DelegateConfig;
use serde_json::Value;

/// Revisions that Helm keeps of a release when nobody says how many; Helm's own number.
pub const DEFAULT_HISTORY: u32 = 10;

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct HelmSpec {
    /// Settings of the delegate. Its token is put into a Secret of ours; `Elsewhere` leaves that Secret as it is.
    pub config: DelegateConfig,
    /// Namespace of the release.
    pub namespace: String,
    /// Whether to make the namespace when it is missing.
    pub create_namespace: bool,
    /// Name of the release.
    pub release: String,
    /// Which chart.
    pub chart: Chart,
    /// Image of the delegate; the chart's own when absent.
    pub image: Option<String>,
    /// Pods.
    pub replicas: u32,
    /// `k8sPermissionsType` of the chart; its own default when absent.
    pub permissions: Option<String>,
    /// Kubernetes resources of the container.
    pub resources: Option<Value>,
    /// Further variables of the owner.
    pub env: BTreeMap<String, String>,
    /// Secret with the client certificate.
    pub mtls_secret: Option<String>,
    /// Secret with extra authorities.
    pub ca_secret: Option<String>,
    /// Secret of the owner that holds the token, instead of ours.
    pub token_secret: Option<String>,
    /// Values of the owner, as YAML documents.
    pub values: Vec<String>,
    /// Attributes that somebody has set, by the name users know them by: what [`values`](Self::values) sets too is told.
    pub given: BTreeSet<&'static str>,
    /// How Helm is to go about it.
    pub options: Options,
    /// Facts of the owner, kept beside the installation and given back by [`observe`].
    pub notes: BTreeMap<String, String>,
}

/// How Helm is to go about an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Undo a change that has not become ready within this time.
    pub atomic: Option<Duration>,
    /// Revisions kept of the release; 0 keeps all.
    pub max_history: u32,
    /// Whether a create takes over a release of the same name, and objects that belong to no release or to another one.
    pub take_ownership: bool,
    /// Whether a create takes over a release of the same name.
    pub upgrade_install: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            atomic: None,
            max_history: DEFAULT_HISTORY,
            take_ownership: false,
            upgrade_install: false,
        }
    }
}

impl Options {
    /// Whether a create may go on with a release of the same name that somebody else made.
    pub fn takes_over(&self) -> bool {
        self.take_ownership || self.upgrade_install
    }
}

/// Which chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chart {
    /// Ours, of this program's version.
    Embedded,
    /// One of a repository.
    Repository {
        /// `https://…` or `oci://…`; absent when `name` says it all.
        repository: Option<String>,
        /// Name of the chart.
        name: String,
        /// Version; the newest when absent.
        version: Option<String>,
        /// Who we are there.
        login: Option<Login>,
        /// PEM file of the authority that vouches for the repository's certificate.
        ca_file: Option<PathBuf>,
    },
    /// A folder or a packed chart of this machine.
    Path(PathBuf),
}

/// Credentials for a chart repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

#[cfg(test)]
pub(in crate::install::helm) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use delegate_core::config::{DelegateConfig, TokenSource};

    use super::{Chart, HelmSpec, Options};

    /// Settings of a small release.
    pub(in crate::install::helm) fn spec() -> HelmSpec {
        let token = TokenSource::Inline("000102030405060708090a0b0c0d0e0f".parse().unwrap());
        let url = "https://manager.example".parse().unwrap();
        HelmSpec {
            config: DelegateConfig::new("acc".parse().unwrap(), "team-a".parse().unwrap(), token, url),
            namespace: "ns".into(),
            create_namespace: true,
            release: "team-a".into(),
            chart: Chart::Embedded,
            image: None,
            replicas: 1,
            permissions: None,
            resources: None,
            env: BTreeMap::new(),
            mtls_secret: None,
            ca_secret: None,
            token_secret: None,
            values: Vec::new(),
            given: BTreeSet::new(),
            options: Options::default(),
            notes: BTreeMap::new(),
        }
    }
}
