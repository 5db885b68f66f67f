//! The `helm` program: Helm 3 and 4.
//!
//! It reads a kubeconfig and a values file of ours, both of mode 0600 in a private folder that goes with the call;
//! nothing secret is on its command line. Its own settings (`HELM_*`) are the user's.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use delegate_core::process::{Captured, Command, Environment, Limits};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Chart, HelmError, HelmSpec};
use crate::install::cluster::Connection;

/// Most output kept of one run, bytes; a rendered chart of a delegate has about 20 KiB.
const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// Longest run. Helm itself waits for hooks only, which a delegate's charts do not have.
const RUN_LIMIT: Duration = Duration::from_mins(10);

/// Time for Helm to put its record in order after it was asked to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Revisions kept of a release.
const HISTORY: &str = "10";

/// Marks in an error where the useful part of Helm's text begins.
const NOISE: &[&str] = &["Error: ", "UPGRADE FAILED: ", "INSTALLATION FAILED: "];

/// A `helm` that can be run.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    major: u32,
}

impl Helm {
    /// Finds the program and asks its version.
    ///
    /// # Errors
    /// When there is none, or it is older than Helm 3.
    pub async fn find(binary: Option<&str>, stop: &CancellationToken) -> Result<Self, HelmError> {
        let wanted = binary.unwrap_or("helm");
        let environment = Environment::of_this_process(&[]);
        let program = environment
            .find_program(wanted)
            .ok_or_else(|| HelmError::Missing {
                wanted: wanted.to_owned(),
            })?;
        let unknown = Self { program, major: 0 };
        let answer = unknown
            .run(&["version", "--template", "{{.Version}}"], None, stop)
            .await?;
        let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let major = version
            .trim_start_matches('v')
            .split('.')
            .next()
            .and_then(|part| part.parse().ok());
        match major {
            Some(major) if major >= 3 => Ok(Self { major, ..unknown }),
            _ => Err(HelmError::TooOld {
                program: unknown.program,
                version,
            }),
        }
    }

    /// Renders the chart without a cluster: what is wrong with it shows before anything is changed.
    ///
    /// # Errors
    /// When the chart cannot be had or does not render; with Helm's own words.
    pub async fn render(
        &self,
        spec: &HelmSpec,
        values: &Value,
        stop: &CancellationToken,
    ) -> Result<String, HelmError> {
        let work = Work::new(spec, values, None)?;
        let mut args = vec!["template".to_owned(), spec.release.clone()];
        args.extend(work.chart_args(spec));
        let answer = self.run(&args, None, stop).await?;
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// Installs or upgrades the release.
    ///
    /// # Errors
    /// When Helm fails; with its own words.
    pub async fn upgrade(
        &self,
        cluster: &Connection,
        spec: &HelmSpec,
        values: &Value,
        stop: &CancellationToken,
    ) -> Result<(), HelmError> {
        let work = Work::new(spec, values, Some(cluster))?;
        let mut args = vec!["upgrade".to_owned(), "--install".to_owned(), spec.release.clone()];
        args.extend(work.chart_args(spec));
        args.extend(["--history-max".to_owned(), HISTORY.to_owned()]);
        if self.major >= 4 {
            // On the server, also a release that Helm 3 began; what somebody changed by hand is drift, and is set right.
            args.extend(["--server-side=true", "--force-conflicts"].map(str::to_owned));
        }
        self.run(&args, Some(&work), stop).await.map(|_| ())
    }

    /// Removes the release; fine when there is none.
    ///
    /// # Errors
    /// When Helm fails; with its own words.
    pub async fn uninstall(
        &self,
        cluster: &Connection,
        namespace: &str,
        release: &str,
        stop: &CancellationToken,
    ) -> Result<(), HelmError> {
        let work = Work::for_cluster(cluster)?;
        let args = [
            "uninstall",
            release,
            "--namespace",
            namespace,
            "--ignore-not-found",
        ];
        self.run(&args, Some(&work), stop).await.map(|_| ())
    }

    async fn run<A: AsRef<str>>(
        &self,
        args: &[A],
        work: Option<&Work>,
        stop: &CancellationToken,
    ) -> Result<Captured, HelmError> {
        let own: Vec<String> = std::env::vars()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("HELM_"))
            .collect();
        let mut command = Command::new(self.program.clone(), Environment::of_this_process(&own))
            .args(args.iter().map(|arg| arg.as_ref().to_owned()))
            .limits(Limits {
                timeout: Some(RUN_LIMIT),
                grace: STOP_GRACE,
            });
        // The user's own kubeconfig is never consulted: the target is the one that was named.
        let kubeconfig = work.map_or_else(|| PathBuf::from("/dev/null"), Work::kubeconfig);
        command = command.env("KUBECONFIG", kubeconfig);
        let line = command.to_string();
        let answer = command
            .capture(stop, OUTPUT_LIMIT)
            .await
            .map_err(|error| HelmError::Failed {
                command: line.clone(),
                message: error.to_string(),
            })?;
        if answer.exit.success() {
            return Ok(answer);
        }
        if stop.is_cancelled() {
            return Err(HelmError::Stopped { command: line });
        }
        Err(HelmError::Failed {
            command: line,
            message: message_of(&answer),
        })
    }
}

/// What Helm said went wrong, without its prefixes and warnings.
fn message_of(answer: &Captured) -> String {
    let text = String::from_utf8_lossy(&answer.stderr);
    let from = text.find("Error: ").unwrap_or(0);
    let mut message = text[from..].trim();
    while let Some(rest) = NOISE.iter().find_map(|noise| message.strip_prefix(noise)) {
        message = rest;
    }
    if message.is_empty() {
        format!("exit code {}", answer.exit.code())
    } else {
        message.to_owned()
    }
}

/// The private folder of one call.
struct Work {
    folder: TempDir,
    chart: Option<PathBuf>,
}

impl Work {
    fn new(spec: &HelmSpec, values: &Value, cluster: Option<&Connection>) -> Result<Self, HelmError> {
        let mut work = match cluster {
            Some(cluster) => Self::for_cluster(cluster)?,
            None => Self {
                folder: TempDir::with_prefix("harness-delegate-").map_err(HelmError::Folder)?,
                chart: None,
            },
        };
        work.write("values.json", &values.to_string())?;
        if matches!(spec.chart, Chart::Embedded) {
            work.chart =
                Some(delegate_core::install::chart::write_to(work.folder.path()).map_err(HelmError::Folder)?);
        }
        Ok(work)
    }

    fn for_cluster(cluster: &Connection) -> Result<Self, HelmError> {
        let work = Self {
            folder: TempDir::with_prefix("harness-delegate-").map_err(HelmError::Folder)?,
            chart: None,
        };
        work.write("kubeconfig", cluster.kubeconfig_text()?.expose())?;
        Ok(work)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), HelmError> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let path = self.folder.path().join(name);
        options
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(HelmError::Folder)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Which chart, where, with which values.
    fn chart_args(&self, spec: &HelmSpec) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut args = match (&spec.chart, &self.chart) {
            (Chart::Path(given), _) => vec![path(given)],
            (
                Chart::Repository {
                    repository,
                    name,
                    version,
                },
                _,
            ) => {
                let oci = repository
                    .as_deref()
                    .filter(|repository| repository.starts_with("oci://"));
                let mut args = match (oci, repository) {
                    (Some(oci), _) => vec![format!("{}/{name}", oci.trim_end_matches('/'))],
                    (None, Some(repository)) => vec![name.clone(), "--repo".to_owned(), repository.clone()],
                    (None, None) => vec![name.clone()],
                };
                args.extend(
                    version
                        .iter()
                        .flat_map(|version| ["--version".to_owned(), version.clone()]),
                );
                args
            }
            (Chart::Embedded, embedded) => vec![path(embedded.as_deref().unwrap_or(self.folder.path()))],
        };
        let values = path(&self.folder.path().join("values.json"));
        args.extend([
            "--namespace".to_owned(),
            spec.namespace.clone(),
            "--values".to_owned(),
            values,
        ]);
        args
    }
}
