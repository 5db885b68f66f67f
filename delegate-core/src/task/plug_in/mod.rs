//! Kinds of the owner's own: a program and a manifest in a folder, spoken to by JSON.
//!
//! [`load`] reads the manifests of a folder, `*.json`, each of which says what its kind is called, what its data and result
//! are, how long it may take, and which program does it, by path and SHA-256. One that cannot be used is a [`PlugInFault`]
//! and nothing worse: it is told, and the other kinds work.
//!
//! A task runs the program as any child: in the task's directory and session, with the allowlist of the environment and what
//! the manifest names, as the user of tasks and within their bounds. It reads one JSON object from its standard input,
//! secrets resolved, and writes one to its standard output; its standard error is the live log. What runs are the
//! very bytes that were digested (see `program`).
//!
//! Files: `manifest` what a kind is, `shape` its JSON Schemas, `program` the pin, `talk` the two objects.

mod manifest;
mod program;
mod shape;
mod talk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::allowance::Allowance;
use super::halt::Halt;
use super::tool::{Progress, quote};
use super::{About, Secrets, TaskContext, TaskError, TaskKind, TaskOutput, workspace};
use crate::process::{Environment, ProcessError};
use manifest::Manifest;

/// Kinds in one folder: each is read at the start, program and all.
const MAX_KINDS: usize = 64;

/// A manifest that makes no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct PlugInFault {
    /// The manifest, or the folder.
    pub path: PathBuf,
    /// What is wrong with it, and after a semicolon what to do.
    pub problem: String,
}

/// A kind that a manifest describes.
pub(super) struct PlugIn {
    manifest: Manifest,
    /// What the manifest names of the delegate's environment.
    environment: Environment,
}

/// Reads the manifests of a folder, in the order of their names, and looks at the program of each. Hidden files, and those
/// that are no `.json`, are something else.
pub(super) fn load(folder: &Path) -> (Vec<PlugIn>, Vec<PlugInFault>) {
    let fault = |path: &Path, problem: String| PlugInFault {
        path: path.to_owned(),
        problem,
    };
    let mut files = match manifests(folder) {
        Ok(files) => files,
        Err(error) => {
            let problem = format!("the folder cannot be read: {error}; correct DELEGATE_TASK_KINDS_DIR");
            return (Vec::new(), vec![fault(folder, problem)]);
        }
    };
    let mut faults = Vec::new();
    if files.len() > MAX_KINDS {
        let problem = format!(
            "the folder has {} manifests, and {MAX_KINDS} are read; take some away",
            files.len()
        );
        faults.push(fault(folder, problem));
        files.truncate(MAX_KINDS);
    }
    let mut kinds = Vec::new();
    let mut names = BTreeMap::new();
    for file in files {
        match PlugIn::read(&file) {
            Ok(kind) => {
                let name = kind.manifest.kind.clone();
                if let Some(first) = names.get(&name) {
                    let first: &PathBuf = first;
                    let problem = format!(
                        "{} makes the kind {name} too; remove one of them",
                        first.display()
                    );
                    faults.push(fault(&file, problem));
                } else {
                    names.insert(name, file);
                    kinds.push(kind);
                }
            }
            Err(problem) => faults.push(fault(&file, problem)),
        }
    }
    (kinds, faults)
}

fn manifests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl PlugIn {
    fn read(file: &Path) -> Result<Self, String> {
        let manifest = Manifest::read(file)?;
        manifest.program.sealed()?;
        let all = Environment::of_this_process(&manifest.environment);
        let mut environment = Environment::empty();
        for name in &manifest.environment {
            if let Some(value) = all.get(name) {
                environment.set(name, value);
            }
        }
        Ok(Self {
            manifest,
            environment,
        })
    }

    async fn work(&self, context: &TaskContext, allowance: &Allowance) -> Result<TaskOutput, Halt> {
        let user = context.confinement.user.as_ref();
        if let Some(folder) = &context.workspace {
            workspace::make(folder, user).await?;
        }
        let path = self.manifest.program.path();
        let program = Arc::clone(&self.manifest.program);
        let sealed = tokio::task::spawn_blocking(move || program.sealed()).await;
        let sealed =
            sealed.unwrap_or_else(|error| Err(format!("the program cannot be read: {error}; try it again")));
        let sealed = sealed.map_err(TaskError::Refused)?;
        let mut command = context
            .command(path)
            .contents(sealed)
            .limits(allowance.limits())
            .stdin(talk::request(&self.manifest.kind, context));
        for (name, value) in self.environment.iter() {
            command = command.env(name, value);
        }
        let mut unseen = |_: &str| {};
        let mut log = Progress::new(context.log.clone(), &mut unseen);
        let answered = command
            .answer(&context.cancel, talk::MAX_ANSWER_BYTES, &mut log)
            .await
            .map_err(|error| self.not_started(error))?;
        let doing = format!("the program of {} ran", self.manifest.kind);
        if let Some(output) = allowance.ended_child(&answered.exit, &doing) {
            return Err(output.into());
        }
        let name = path.display();
        if !answered.exit.success() {
            let said = match quote(&log.last_words(), |_| false) {
                said if said.is_empty() => "it said nothing".to_owned(),
                said => format!("it said last: {said}"),
            };
            return Err(Halt::failed(format!(
                "the program {name} ended with {}, and a program that has an answer ends with 0; {said}",
                answered.exit.code()
            )));
        }
        if answered.truncated {
            return Err(Halt::failed(format!(
                "the answer of the program {name} is larger than {} MiB; it should put large results into a file or an artifact \
                 store",
                talk::MAX_ANSWER_BYTES >> 20
            )));
        }
        talk::outcome(&answered.stdout, &self.manifest)
            .map_err(|problem| Halt::failed(format!("the answer of the program {name} {problem}")))
    }

    /// The system says of a script without its interpreter that there is no such file.
    fn not_started(&self, error: ProcessError) -> TaskError {
        match &error {
            ProcessError::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                TaskError::Refused(format!(
                    "the program {} cannot be started: the interpreter that its first line names is not on this machine; install it",
                    self.manifest.program.path().display()
                ))
            }
            _ => error.into(),
        }
    }
}

#[async_trait]
impl TaskKind for PlugIn {
    fn type_name(&self) -> &str {
        &self.manifest.kind
    }

    fn about(&self) -> About {
        self.manifest.about.clone()
    }

    fn validate(&self, data: &Value, secrets: &Secrets) -> Result<(), TaskError> {
        let mut given = Vec::new();
        self.manifest.data.secrets(data, &mut given);
        secrets.mask(given);
        let checked = self.manifest.data.check("", data);
        checked.map_err(|wrong| TaskError::data(wrong.path, wrong.problem))
    }

    fn timeout(&self, asked: Option<Duration>) -> Option<Duration> {
        let time = asked.unwrap_or(self.manifest.timeout);
        Some(self.manifest.max_timeout.map_or(time, |most| time.min(most)))
    }

    async fn run(&self, context: TaskContext) -> Result<TaskOutput, TaskError> {
        let allowance = Allowance::of(&context);
        Halt::outcome(self.work(&context, &allowance).await)
    }
}
