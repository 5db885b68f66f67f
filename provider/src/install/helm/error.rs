//! What can go wrong with a Helm release: one error for each thing that a person can do something about.

use std::path::PathBuf;

use super::recovery;
use crate::install::cluster::ClusterError;

/// What went wrong, with what was tried.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// There is no such program.
    #[error(
        "there is no program {wanted:?}; install Helm 3 or 4, or set the provider's helm_binary to its path"
    )]
    Missing {
        /// What was looked for.
        wanted: String,
    },
    /// The program is not Helm 3 or newer.
    #[error("{} is not Helm 3 or 4: its version is {version:?}; set the provider's helm_binary to a newer one", program.display())]
    TooOld {
        /// What was found.
        program: PathBuf,
        /// What it said.
        version: String,
    },
    /// The values cannot be made.
    #[error("{0}")]
    Values(String),
    /// Helm failed.
    #[error("{message}\n(command: {command})")]
    Failed {
        /// The command line, without secrets.
        command: String,
        /// Helm's own words.
        message: String,
    },
    /// It was asked to stop.
    #[error("interrupted during: {command}")]
    Stopped {
        /// The command line, without secrets.
        command: String,
    },
    /// The program is too old for what is asked of it.
    #[error("{what} needs Helm {needs}, and {} is {found}; set the provider's helm_binary to a newer one", program.display())]
    Lacks {
        /// What was found.
        program: PathBuf,
        /// Its version.
        found: String,
        /// The argument.
        what: &'static str,
        /// The first version that has it.
        needs: &'static str,
    },
    /// The chart cannot be had.
    #[error("cannot get the chart {chart}: {message}\n(command: {command})")]
    Chart {
        /// What was asked for.
        chart: String,
        /// The command line, without secrets.
        command: String,
        /// Helm's own words.
        message: String,
    },
    /// The private folder of a run.
    #[error("cannot write a private folder for Helm: {0}; check TMPDIR")]
    Folder(std::io::Error),
    /// The namespace is missing and is not to be made.
    #[error("the namespace {0:?} does not exist; create it, or set helm.create_namespace = true")]
    NoNamespace(String),
    /// The release belongs to somebody else.
    #[error(
        "the release {release:?} exists in the namespace {namespace:?} and was not installed by this provider; import it \
         (terraform import … helm/{context}/{namespace}/{release}), take it over with helm.upgrade_install = true, or choose \
         another helm.release"
    )]
    Foreign {
        /// Name of the release.
        release: String,
        /// Its namespace.
        namespace: String,
        /// Context of the kubeconfig.
        context: String,
    },
    /// Somebody else runs Helm on this release right now.
    #[error("another Helm operation on the release {release:?} has been running since {since}; wait for it, or, if it was interrupted, try again after {} minutes", recovery::FOREIGN_PENDING.as_secs() / 60)]
    Busy {
        /// Name of the release.
        release: String,
        /// When it began.
        since: String,
    },
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}
