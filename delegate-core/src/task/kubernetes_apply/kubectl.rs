//! The `kubectl` program, as one task runs it, and what its complaints mean.

use std::path::PathBuf;

use serde_json::{Deserializer, Value};

use super::data::{Data, Files, Inline, Kustomize, Manifests};
use super::object::{Id, Objects, Told};
use crate::process::Command;
use crate::process::mask::Masker;
use crate::task::allowance::Allowance;
use crate::task::halt::Halt;
use crate::task::tool::{Answer, Tool, quote};
use crate::task::workspace::{self, Place};
use crate::task::{TaskContext, TaskError};

pub(super) const PROGRAM: &str = "kubectl";

/// Who owns the fields that we apply.
const FIELD_MANAGER: &str = "--field-manager=harness-delegate";

/// The program, and the cluster that it talks to.
pub(super) struct Kubectl<'t> {
    tool: Tool<'t>,
    kubeconfig: Option<PathBuf>,
    context_name: Option<&'t str>,
    namespace: &'t str,
}

impl<'t> Kubectl<'t> {
    /// Writes the kubeconfig.
    pub(super) async fn lay_out(
        data: &'t Data,
        context: &'t TaskContext,
        allowance: &'t Allowance,
    ) -> Result<Self, TaskError> {
        Ok(Self {
            tool: Tool::new(PROGRAM, context, allowance),
            kubeconfig: data.cluster.lay_out(context).await?,
            context_name: data.cluster.context.as_deref(),
            namespace: data.namespace(),
        })
    }

    pub(super) fn context(&self) -> &TaskContext {
        self.tool.context
    }

    /// A run in the namespace of the task.
    fn command(&self, args: &[&str]) -> Command {
        self.command_in(self.namespace, args)
    }

    /// A run in a namespace.
    pub(super) fn command_in(&self, namespace: &str, args: &[&str]) -> Command {
        let mut command = self.tool.command().env("LC_ALL", "C");
        if let Some(file) = &self.kubeconfig {
            command = command.env("KUBECONFIG", file);
        }
        let cache = self.tool.context.work_dir.join("cache");
        command
            .arg(format!("--cache-dir={}", cache.display()))
            .args(self.context_name.map(|name| format!("--context={name}")))
            .arg(format!("--namespace={namespace}"))
            .args(args.iter().copied())
    }

    /// Reads the manifests, and asks the API server nothing but what kinds there are. What is read is not masked: it is to be
    /// applied as it is.
    pub(super) async fn read(&self, manifests: &Manifests) -> Result<Objects, Halt> {
        let mut command = self.command(&["create", "--dry-run=client", "--validate=false", "--output=json"]);
        match manifests {
            Manifests::Inline(Inline { text }) => {
                command = command.arg("--filename=-").stdin(text.as_bytes());
            }
            Manifests::Files(Files { paths }) => {
                command = command.arg("--recursive");
                for path in paths {
                    let place = self.find("manifests.files.paths", path).await?;
                    command = command.arg(format!("--filename={}", place.path().display()));
                }
            }
            Manifests::Kustomize(Kustomize { folder }) => {
                let place = self.find("manifests.kustomize.folder", folder).await?;
                command = command.arg(format!("--kustomize={}", place.path().display()));
            }
        }
        let doing = "reading the manifests";
        let text = match self.tool.ask(command.masker(Masker::none()), doing).await? {
            Ok(text) => text,
            // Its words may hold some of the manifests, and those secrets.
            Err(complaint) => {
                let masked = self.context().secrets.masker().mask_str(&complaint).into_owned();
                return Err(failure(doing, &masked));
            }
        };
        let values: Result<Vec<Value>, _> = Deserializer::from_str(&text).into_iter().collect();
        let values =
            values.map_err(|_| Halt::failed(format!("{doing} failed: kubectl prints what is no JSON")))?;
        let objects =
            Objects::of(values).map_err(|problem| Halt::failed(format!("{doing} failed: {problem}")))?;
        if objects.ids().next().is_none() {
            return Err(Halt::failed(format!(
                "{doing} failed: there is no object in them; check `manifests`"
            )));
        }
        Ok(objects)
    }

    async fn find(&self, field: &'static str, path: &str) -> Result<Place, TaskError> {
        let context = self.context();
        let place = Place::of(field, workspace::read(field, path)?, context.workspace.as_deref())?;
        place.enter(context.confinement.user.as_ref()).await?;
        match tokio::fs::try_exists(place.path()).await {
            Ok(true) => Ok(place),
            Ok(false) => Err(place.wrong("is not there; bring it by GIT_CLONE first, or correct the path")),
            Err(error) => Err(place.wrong(format_args!("cannot be read: {error}"))),
        }
    }

    /// Applies them, or asks whether they could be. What was applied is in `told`, also when not all of it was.
    pub(super) async fn apply(
        &self,
        objects: &Objects,
        data: &Data,
        dry_run: bool,
        told: &mut Vec<Told>,
    ) -> Result<(), Halt> {
        let mut command = self.command(&["apply", "--server-side", FIELD_MANAGER, "--filename=-"]);
        if data.force_conflicts {
            command = command.arg("--force-conflicts");
        }
        if dry_run {
            command = command.arg("--dry-run=server");
        }
        let command = command.stdin(objects.list().to_string());
        let mut left: Vec<&Id> = objects.ids().collect();
        let doing = if dry_run {
            "trying the manifests"
        } else {
            "applying the manifests"
        };
        let applied = self
            .tool
            .run_seeing(command, doing, &mut |line| {
                let Some((said, _)) = line.split_once(" serverside-applied") else {
                    return;
                };
                if let Some(at) = left.iter().position(|id| id.said() == said) {
                    told.push(left.remove(at).told("applied"));
                }
            })
            .await?;
        let Err(complaint) = applied else { return Ok(()) };
        let names: Vec<String> = left.iter().map(ToString::to_string).collect();
        let not = if dry_run {
            String::new()
        } else {
            format!("; not applied: {}", names.join(", "))
        };
        Err(match failure(doing, &complaint) {
            Halt::Output(output) => {
                Halt::failed(format!("{}{not}", output.error_message.unwrap_or_default()))
            }
            error @ Halt::Error(_) => error,
        })
    }

    /// Removes an object, unless it is gone. Does not wait until its end.
    pub(super) async fn delete(&self, id: &Id) -> Result<(), Halt> {
        let command = self
            .command(&["delete", "--ignore-not-found", "--wait=false", "--filename=-"])
            .stdin(id.stub().to_string());
        match self.tool.run(command, &format!("removing {id}")).await? {
            Ok(()) => Ok(()),
            // With its kind it went itself.
            Err(complaint) if complaint.contains("no matches for kind") => Ok(()),
            Err(complaint) => Err(failure(&format!("removing {id}"), &complaint)),
        }
    }

    /// An object of the task's namespace; none when it is not there. Not masked.
    pub(super) async fn get(&self, kind: &str, name: &str) -> Result<Option<Value>, Halt> {
        let doing = format!("reading the {kind} {name}");
        let command = self
            .command(&["get", "--ignore-not-found", "--output=json", kind, name])
            .masker(Masker::none());
        match self.tool.ask(command, &doing).await? {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => match serde_json::from_str(&text) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Halt::failed(format!(
                    "{doing} failed: kubectl prints what is no JSON"
                ))),
            },
            Err(complaint) => Err(failure(&doing, &complaint)),
        }
    }

    /// Writes an object of our own.
    pub(super) async fn keep(&self, object: &Value) -> Result<(), Halt> {
        let command = self
            .command(&[
                "apply",
                "--server-side",
                "--force-conflicts",
                FIELD_MANAGER,
                "--filename=-",
            ])
            .stdin(object.to_string());
        let doing = "writing down what is applied";
        match self.tool.ask(command, doing).await? {
            Ok(_) => Ok(()),
            Err(complaint) => Err(failure(doing, &complaint)),
        }
    }

    /// Runs it and returns what it prints, or what it complains of.
    pub(super) async fn ask(&self, command: Command, doing: &str) -> Result<Answer<String>, Halt> {
        self.tool.ask(command, doing).await
    }

    /// Runs it with its progress in the log.
    pub(super) async fn run(&self, command: Command, doing: &str) -> Result<Answer<()>, Halt> {
        self.tool.run(command, doing).await
    }
}

/// The outcome when kubectl says no: what was tried, what it said, what to do.
fn failure(doing: &str, complaint: &str) -> Halt {
    let words = quote(complaint, |line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("error") || line.starts_with("the connection to the server")
    });
    Halt::failed(match remedy(complaint) {
        Some(remedy) => format!("{doing} failed: {words}; {remedy}"),
        None => format!("{doing} failed: {words}"),
    })
}

/// What to do about what kubectl complains of.
fn remedy(complaint: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    Some(if has(&["conflict with", "conflicts with"]) {
        "others own these fields: leave them out of the manifests, or take them over by `force_conflicts`"
    } else if has(&["no matches for kind"]) {
        "the cluster does not know the kind; install its definition by a task of its own before, or correct `apiVersion`"
    } else if has(&["namespaces \""]) && has(&["not found"]) {
        "there is no such namespace; make it first, or correct `namespace`"
    } else if has(&["(Forbidden)", "is forbidden"]) {
        "whom the kubeconfig or the delegate's service account names may not do that; give that account the right"
    } else if has(&["must be logged in", "Unauthorized", "provide credentials"]) {
        "the cluster does not take the login; renew `cluster.kubeconfig`"
    } else if has(&["context \"", "context was not found"]) && has(&["does not exist", "not found"]) {
        "the kubeconfig has no such context; correct `cluster.context`"
    } else if has(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "was refused",
        "Unable to connect",
    ]) {
        "this delegate does not reach the cluster; check `cluster`, the network and the proxy"
    } else if has(&["certificate signed by unknown authority", "x509:"]) {
        "the cluster's certificate is not that of the kubeconfig's authority; renew `cluster.kubeconfig`"
    } else if has(&["error parsing", "error converting YAML"]) {
        "correct the manifests"
    } else if has(&["is immutable"]) {
        "this field cannot be changed: remove the object first, or give it another name"
    } else {
        return None;
    })
}
