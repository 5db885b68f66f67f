//! What an installation by Helm is to be, as plain data: validated by the caller, interpreted by this room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use delegate_core::Secret;
use delegate_core::install::kubernetes::KubernetesSpec;

use crate::install::kubernetes::Home;

/// Annotation that names the release a Secret or namespace was made for.
const RELEASE: &str = "harness-delegate/release";

/// Revisions that Helm keeps of a release when nobody says how many; Helm's own number.
pub const DEFAULT_HISTORY: u32 = 10;

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct HelmSpec {
    /// The delegate. Its token is put into a Secret of ours; `Elsewhere` leaves that Secret as it is.
    pub delegate: KubernetesSpec,
    /// Whether to make the namespace when it is missing.
    pub create_namespace: bool,
    /// Name of the release.
    pub release: String,
    /// Which chart.
    pub chart: Chart,
    /// Values of the owner, as YAML documents.
    pub values: Vec<String>,
    /// Attributes that somebody has set, by the name users know them by: what [`values`](Self::values) sets too is told.
    pub given: BTreeSet<&'static str>,
    /// How Helm is to go about it.
    pub options: Options,
    /// Facts of the owner, kept beside the installation and given back by [`observe`].
    pub notes: BTreeMap<String, String>,
}

impl HelmSpec {
    pub(super) fn home(&self) -> Home<'_> {
        Home {
            delegate: &self.delegate,
            create_namespace: self.create_namespace,
            notes: &self.notes,
            marker: (RELEASE, &self.release),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.delegate.namespace
    }
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
    use delegate_core::install::kubernetes::KubernetesSpec;

    use super::{Chart, HelmSpec, Options};

    /// Settings of a small release.
    pub(in crate::install::helm) fn spec() -> HelmSpec {
        let token = TokenSource::Inline("000102030405060708090a0b0c0d0e0f".parse().unwrap());
        let url = "https://manager.example".parse().unwrap();
        let delegate = KubernetesSpec {
            config: DelegateConfig::new("acc".parse().unwrap(), "team-a".parse().unwrap(), token, url),
            namespace: "ns".into(),
            image: None,
            replicas: 1,
            permissions: None,
            resources: None,
            env: BTreeMap::new(),
            mtls_secret: None,
            ca_secret: None,
            token_secret: None,
        };
        HelmSpec {
            delegate,
            create_namespace: true,
            release: "team-a".into(),
            chart: Chart::Embedded,
            values: Vec::new(),
            given: BTreeSet::new(),
            options: Options::default(),
            notes: BTreeMap::new(),
        }
    }
}
