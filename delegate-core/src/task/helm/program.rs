//! Running `helm`.

use serde::de::DeserializeOwned;

use super::PROGRAM;
use crate::process::Command;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::tool::{Answer, Tool, quote};
use crate::task::{TaskContext, TaskError};

/// Largest answer that is read: a release with its manifests and the objects as they are, of which a Secret of at most
/// 1 MiB keeps the packed half.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Most that is read of what it says to people: some lines are expected.
const MAX_SAID_BYTES: usize = 64 * 1024;

/// The program, as one task runs it.
pub(super) struct Helm<'t> {
    tool: Tool<'t>,
    /// Added to each run: which cluster, and which namespace.
    pub(super) options: Vec<String>,
    pub(super) kubeconfig: Option<std::path::PathBuf>,
    /// Its major version, 3 or 4.
    pub(super) major: u32,
}

impl<'t> Helm<'t> {
    /// Looks which one is there.
    pub(super) async fn find(context: &'t TaskContext, allowance: &'t Allowance) -> Result<Self, Halt> {
        let mut helm = Self {
            tool: Tool::new(PROGRAM, context, allowance),
            options: Vec::new(),
            kubeconfig: None,
            major: 0,
        };
        let doing = "looking at helm";
        let asked = helm
            .tool
            .command()
            .args(["version", "--template", "{{.Version}}"]);
        let said = match helm.tool.ask(asked, doing).await? {
            Ok(said) => said,
            Err(complaint) => return Err(failure(doing, &complaint)),
        };
        let major = said.trim().trim_start_matches('v').split('.').next();
        let Some(major @ 3..) = major.and_then(|major| major.parse().ok()) else {
            return Err(TaskError::Elsewhere(format!(
                "helm on this delegate is {}; 3.14 or newer is needed",
                said.trim()
            ))
            .into());
        };
        helm.major = major;
        Ok(helm)
    }

    pub(super) fn context(&self) -> &TaskContext {
        self.tool.context
    }

    pub(super) fn allowance(&self) -> &Allowance {
        self.tool.allowance
    }

    /// A run of it. Nothing is read of a user's own configuration, and nothing is left there.
    pub(super) fn command<A: Into<std::ffi::OsString>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let at = |name: &str| self.tool.context.work_dir.join(name);
        let mut command = self.tool.command();
        for (name, place) in [
            ("HELM_CACHE_HOME", "helm-cache"),
            ("HELM_CONFIG_HOME", "helm-config"),
            ("HELM_DATA_HOME", "helm-data"),
            ("HELM_REGISTRY_CONFIG", "registry.json"),
            ("HELM_REPOSITORY_CONFIG", "repositories.yaml"),
            ("HELM_REPOSITORY_CACHE", "helm-repositories"),
        ] {
            command = command.env(name, at(place));
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command = command.env("KUBECONFIG", kubeconfig);
        }
        command.args(args).args(&self.options)
    }

    /// Runs it, its progress in the log.
    pub(super) async fn run(&self, command: Command, doing: &str) -> Result<Answer<()>, Halt> {
        self.tool.run(command, doing).await
    }

    /// Runs it and returns what it says on both of its outputs: which one it takes for what differs by its version.
    pub(super) async fn ask_both(
        &self,
        args: impl IntoIterator<Item = String>,
        doing: &str,
    ) -> Result<String, Halt> {
        let command = self.command(args);
        let captured = self.allowance().capture(command, MAX_SAID_BYTES, doing).await?;
        let said = [captured.stdout, captured.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if captured.exit.success() {
            Ok(said)
        } else {
            Err(failure(doing, &said))
        }
    }

    /// Runs it and reads the JSON that it prints.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        command: Command,
        doing: &str,
    ) -> Result<Answer<T>, Halt> {
        // A secret that reads like a part of the answer must not spoil it; only single values of it go on, masked.
        let command = command.masker(crate::process::mask::Masker::none());
        let captured = self.allowance().capture(command, MAX_ANSWER_BYTES, doing).await?;
        if !captured.exit.success() {
            return Ok(Err(String::from_utf8_lossy(&captured.stderr).into_owned()));
        }
        serde_json::from_slice(&captured.stdout)
            .map(Ok)
            .map_err(|error| Halt::failed(format!("{doing}: helm's answer is not understood: {error}")))
    }
}

/// The outcome when it says no.
pub(super) fn failure(doing: &str, complaint: &str) -> Halt {
    Halt::failed(said(doing, complaint))
}

/// What was tried, what it said, what to do.
pub(super) fn said(doing: &str, complaint: &str) -> String {
    let quote = quote(complaint, |line| line.starts_with("Error:"));
    match remedy(complaint) {
        Some(remedy) => format!("{doing} failed: {quote}; {remedy}"),
        None => format!("{doing} failed: {quote}"),
    }
}

fn remedy(complaint: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    Some(
        if has(&[
            "401 Unauthorized",
            "401: Unauthorized",
            "403 Forbidden",
            "403: Forbidden",
            "unauthorized:",
            "basic credential not found",
        ]) {
            "check `login`: its user, its password and what it may do there"
        } else if has(&["Kubernetes cluster unreachable", "connection refused"]) {
            "check `cluster`, or the address, and the delegate's way there"
        } else if has(&["Unauthorized", "is forbidden:"]) {
            "the delegate's login in the cluster may not do that; check `cluster` and its roles"
        } else if has(&["namespaces \"", "namespace not found"]) && complaint.contains("not found") {
            "create the namespace, or set `create_namespace`"
        } else if has(&["another operation (install/upgrade/rollback) is in progress"]) {
            "wait for it, and run the task again"
        } else if has(&[
            "cannot be imported into the current release",
            "invalid ownership metadata",
        ]) {
            "an object of this name belongs to somebody else; rename it, or the release"
        } else if has(&[
            "certificate signed by unknown authority",
            "failed to verify certificate",
        ]) {
            "name the server's authority in `ca`"
        } else if has(&["no such host", "server misbehaving"]) {
            "this delegate cannot resolve the host; check its name and DNS"
        } else if has(&["context deadline exceeded", "timed out waiting"]) {
            "look at what is not ready, or give a longer `timeout`"
        } else {
            return None;
        },
    )
}
