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

use super::{HelmError, HelmSpec, chart};
use crate::install::cluster::Connection;

/// Most output kept of one run, bytes; a rendered chart of a delegate has about 20 KiB.
const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// Longest run without what Helm was told to wait for. By itself it waits for hooks only, which a delegate's charts do not
/// have.
const RUN_LIMIT: Duration = Duration::from_mins(10);

/// Time for Helm to put its record in order after it was asked to stop. Whoever pressed Ctrl-C is promised an answer within
/// two seconds; what Helm leaves behind is put in order by the next apply.
const STOP_GRACE: Duration = Duration::from_millis(1500);

/// First version of Helm that takes objects over.
const TAKES_OWNERSHIP: (u32, u32, &str) = (3, 17, "3.17");

/// Marks in an error where the useful part of Helm's text begins.
const NOISE: &[&str] = &["Error: ", "UPGRADE FAILED: ", "INSTALLATION FAILED: "];

/// A `helm` that can be run.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    version: String,
    /// Major and minor.
    release: (u32, u32),
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
        let unknown = Self {
            program,
            version: String::new(),
            release: (0, 0),
        };
        let answer = unknown
            .run(&["version", "--template", "{{.Version}}"], &Run::default(), stop)
            .await?;
        let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let mut parts = version.trim_start_matches('v').split('.').map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if major >= 3 => Ok(Self {
                release: (major, minor),
                version,
                ..unknown
            }),
            _ => Err(HelmError::TooOld {
                program: unknown.program,
                version,
            }),
        }
    }

    /// Major version.
    pub(super) fn major(&self) -> u32 {
        self.release.0
    }

    /// Renders the chart without a cluster: what is wrong with it shows before anything is changed.
    ///
    /// # Errors
    /// When the chart does not render; with Helm's own words.
    pub(super) async fn render(
        &self,
        spec: &HelmSpec,
        chart: &chart::Local,
        values: &Value,
        stop: &CancellationToken,
    ) -> Result<String, HelmError> {
        self.can_do(spec)?;
        let folder = Folder::new()?;
        let args = chart_args(
            "template",
            spec,
            chart,
            &folder.write("values.json", &values.to_string())?,
        );
        let answer = self.run(&args, &Run::default(), stop).await?;
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// Installs or upgrades the release.
    ///
    /// # Errors
    /// When Helm fails; with its own words.
    pub(super) async fn upgrade(
        &self,
        cluster: &Connection,
        spec: &HelmSpec,
        chart: &chart::Local,
        values: &Value,
        stop: &CancellationToken,
    ) -> Result<(), HelmError> {
        let folder = Folder::new()?;
        let mut run = Run::default().on(cluster, &folder)?;
        let mut args = chart_args(
            "upgrade",
            spec,
            chart,
            &folder.write("values.json", &values.to_string())?,
        );
        args.push("--install".to_owned());
        args.extend(["--history-max".to_owned(), spec.options.max_history.to_string()]);
        if spec.options.take_ownership {
            args.push("--take-ownership".to_owned());
        }
        if let Some(limit) = spec.options.atomic {
            let undo = if self.major() >= 4 {
                "--rollback-on-failure"
            } else {
                "--atomic"
            };
            args.extend([
                undo.to_owned(),
                "--timeout".to_owned(),
                format!("{}s", limit.as_secs().max(1)),
            ]);
            // It waits as long for the change, and again for what undoes it.
            run.limit += limit * 2;
        }
        if self.major() >= 4 {
            // On the server, also a release that Helm 3 began; what somebody changed by hand is drift, and is set right.
            args.extend(["--server-side=true", "--force-conflicts"].map(str::to_owned));
        }
        self.run(&args, &run, stop).await.map(|_| ())
    }

    /// Removes the release; fine when there is none.
    ///
    /// # Errors
    /// When Helm fails; with its own words.
    pub(super) async fn uninstall(
        &self,
        cluster: &Connection,
        namespace: &str,
        release: &str,
        stop: &CancellationToken,
    ) -> Result<(), HelmError> {
        let folder = Folder::new()?;
        let run = Run::default().on(cluster, &folder)?;
        let args = [
            "uninstall",
            release,
            "--namespace",
            namespace,
            "--ignore-not-found",
        ];
        self.run(&args, &run, stop).await.map(|_| ())
    }

    /// Refuses what this version has no option for.
    fn can_do(&self, spec: &HelmSpec) -> Result<(), HelmError> {
        let (major, minor, needs) = TAKES_OWNERSHIP;
        if spec.options.take_ownership && self.release < (major, minor) {
            return Err(HelmError::Lacks {
                program: self.program.clone(),
                found: self.version.clone(),
                what: "helm.take_ownership",
                needs,
            });
        }
        Ok(())
    }

    pub(super) async fn run<A: AsRef<str>>(
        &self,
        args: &[A],
        run: &Run,
        stop: &CancellationToken,
    ) -> Result<Captured, HelmError> {
        let own: Vec<String> = std::env::vars()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("HELM_"))
            .collect();
        let mut command = Command::new(self.program.clone(), Environment::of_this_process(&own))
            .args(args.iter().map(|arg| arg.as_ref().to_owned()))
            .limits(Limits {
                timeout: Some(run.limit),
                grace: STOP_GRACE,
            });
        for (name, value) in &run.env {
            command = command.env(*name, value);
        }
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

/// How one call of the program is run: its own variables, and how long it may take.
pub(super) struct Run {
    env: Vec<(&'static str, PathBuf)>,
    limit: Duration,
}

impl Default for Run {
    /// Without a cluster. The user's own kubeconfig is never consulted: the target is the one that was named.
    fn default() -> Self {
        Self {
            env: vec![("KUBECONFIG", PathBuf::from("/dev/null"))],
            limit: RUN_LIMIT,
        }
    }
}

impl Run {
    /// With this file or folder in a variable.
    pub(super) fn env(mut self, name: &'static str, path: PathBuf) -> Self {
        self.env.push((name, path));
        self
    }

    /// Against this cluster.
    fn on(self, cluster: &Connection, folder: &Folder) -> Result<Self, HelmError> {
        let file = folder.write("kubeconfig", cluster.kubeconfig_text()?.expose())?;
        Ok(self.env("KUBECONFIG", file))
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

/// Which chart, as which release, with which values.
fn chart_args(verb: &str, spec: &HelmSpec, chart: &chart::Local, values: &Path) -> Vec<String> {
    vec![
        verb.to_owned(),
        spec.release.clone(),
        chart.path(),
        "--namespace".to_owned(),
        spec.namespace().to_owned(),
        "--values".to_owned(),
        values.display().to_string(),
    ]
}

/// A private folder that goes with the call it is for.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Result<Self, HelmError> {
        TempDir::with_prefix("harness-delegate-")
            .map(Self)
            .map_err(HelmError::Folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that nobody else can read.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, HelmError> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let path = self.path().join(name);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(HelmError::Folder)?;
        Ok(path)
    }
}
