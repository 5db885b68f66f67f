//! Running a task of any kind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::bounds::{bounded, end_of};
use super::request::MadeSecrets;
use super::{
    LogSink, LogWriter, NoProvider, Registry, SecretResolver, Secrets, TaskContext, TaskError, TaskKind,
    TaskOutput,
};
use crate::Secret;
use crate::process::mask::{Masker, Rules};
use crate::process::{Confinement, Environment};
use crate::protocol::http::{Http, HttpSettings};
use crate::protocol::runner::{Request, RunnerTask};
use crate::protocol::wire::{CommandStatus, ResponseCode, Task, TaskResponse};

/// Between SIGTERM and SIGKILL, where nothing else is set.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// On top of the grace: how long after its time, or its abort, a kind may take to come back. It covers what a child
/// process may take to be ended and its output to be delivered; beyond, the kind hangs, and is dropped.
const OVERRUN: Duration = Duration::from_mins(2);

/// What the tasks of a delegate have in common.
#[derive(Clone)]
pub struct Settings {
    /// What child processes may see of our environment.
    pub environment: Environment,
    /// Where each task gets a directory of its own; created when it is missing.
    pub work_root: PathBuf,
    /// A folder that tasks share and that stays; outside of `work_root`. `None`: tasks keep nothing.
    pub workspace: Option<PathBuf>,
    /// The shell of scripts that name none.
    pub shell: Option<PathBuf>,
    /// Between asking a process to end and ending it.
    pub grace: Duration,
    /// For tasks that come without a timeout. `None`: no bound.
    pub default_timeout: Option<Duration>,
    /// What child processes of each task may use, and who they are.
    pub confinement: Confinement,
    /// Where secrets come from.
    pub resolver: Arc<dyn SecretResolver>,
    /// Masked in every task, whatever it brings: the delegate's own token and its like.
    pub own_secrets: Vec<Secret>,
    /// Patterns of the owner's own that are masked as well.
    pub rules: Rules,
    /// How servers are reached. Its client certificate is not shown to those that tasks talk to.
    pub http: HttpSettings,
}

impl Settings {
    /// No workspace, no shell set, no default timeout, no secret provider, no own secrets, no proxy.
    pub fn new(environment: Environment, work_root: impl Into<PathBuf>) -> Self {
        Self {
            environment,
            work_root: work_root.into(),
            workspace: None,
            shell: None,
            grace: DEFAULT_GRACE,
            default_timeout: None,
            confinement: Confinement::default(),
            resolver: Arc::new(NoProvider),
            own_secrets: Vec::new(),
            rules: Rules::default(),
            http: HttpSettings::default(),
        }
    }
}

/// Runs tasks.
#[derive(Clone)]
pub struct Runner {
    registry: Registry,
    settings: Settings,
    /// One for all tasks, so that they share connections and loaded certificates.
    http: Arc<Http>,
}

impl Runner {
    /// Knows the kinds of `registry`.
    pub fn new(registry: Registry, settings: Settings) -> Self {
        let http = Arc::new(Http::new(HttpSettings {
            client_certificate: None,
            ..settings.http.clone()
        }));
        Self {
            registry,
            settings,
            http,
        }
    }

    /// The kinds it knows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Runs a task to its end and says what to answer: always something, and masked. The log is complete when this
    /// returns; the task's directory is gone.
    ///
    /// Dropping the future ends the task's processes without a word.
    pub async fn run(&self, task: Task, cancel: CancellationToken, sink: Arc<dyn LogSink>) -> TaskResponse {
        let Task {
            id,
            kind: kind_name,
            data,
            timeout,
            logging,
            delegate,
            ..
        } = task;
        let secrets = self.secrets([logging.token, delegate.token]);
        let timeout = self.time_of(&kind_name, bound(timeout));
        let mut data = data;
        let outcome = match resolve(&mut data, &secrets, timeout, &cancel).await {
            Ok(()) => {
                self.run_named(&kind_name, &id, data, timeout, cancel, sink, &secrets)
                    .await
            }
            Err(outcome) => outcome,
        };
        respond(id, kind_name, outcome, || secrets.masker())
    }

    /// Runs the requests of a task of the early runner protocol, in their order, until one does not succeed; the last
    /// one that ran is the answer. Otherwise as [`Runner::run`].
    pub async fn run_requests(
        &self,
        id: String,
        kind_name: String,
        requests: Vec<Request>,
        cancel: CancellationToken,
        sink: Arc<dyn LogSink>,
    ) -> TaskResponse {
        let tokens = requests.iter().filter_map(|request| request.task.logger.as_ref());
        let secrets = self.secrets(tokens.map(|logger| logger.token.clone()));
        let mut outcome = Err(TaskError::Refused(
            "the manager gave a task without a request".to_owned(),
        ));
        for request in requests {
            outcome = self.run_request(&id, request, &cancel, &sink, &secrets).await;
            if !matches!(&outcome, Ok(output) if output.status == CommandStatus::Success) {
                break;
            }
        }
        respond(id, kind_name, outcome, || secrets.masker())
    }

    async fn run_request(
        &self,
        id: &str,
        request: Request,
        cancel: &CancellationToken,
        sink: &Arc<dyn LogSink>,
        secrets: &Secrets,
    ) -> Result<TaskOutput, TaskError> {
        let mut made = MadeSecrets::default();
        let run = |task: RunnerTask| {
            let timeout = self.time_of(&task.kind, None);
            let (cancel, sink) = (cancel.clone(), Arc::clone(sink));
            async move {
                self.run_named(&task.kind, id, task.data, timeout, cancel, sink, secrets)
                    .await
            }
        };
        for mut task in request.secrets {
            let name = task.id.clone();
            let timeout = self.time_of(&task.kind, None);
            if let Err(outcome) = resolve(&mut task.data, secrets, timeout, cancel).await {
                return outcome;
            }
            made.resolve(&mut task.data, secrets)?;
            made.take(&name, run(task).await?, secrets)?;
        }
        let mut task = request.task;
        let timeout = self.time_of(&task.kind, None);
        if let Err(outcome) = resolve(&mut task.data, secrets, timeout, cancel).await {
            return outcome;
        }
        made.resolve(&mut task.data, secrets)?;
        run(task).await
    }

    /// How long a task of a kind may run.
    fn time_of(&self, kind_name: &str, asked: Option<Duration>) -> Option<Duration> {
        let own = match self.registry.get(kind_name) {
            Some(kind) => kind.timeout(asked),
            None => asked,
        };
        own.or(self.settings.default_timeout)
    }

    /// The secrets of a task that are known before it runs.
    fn secrets(&self, own: impl IntoIterator<Item = String>) -> Secrets {
        let own = own.into_iter().map(Secret::new);
        let known = self.settings.own_secrets.iter().cloned().chain(own).collect();
        Secrets::with_rules(self.settings.resolver.clone(), known, self.settings.rules.clone())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one context, put together here and nowhere else"
    )]
    async fn run_named(
        &self,
        kind_name: &str,
        task_id: &str,
        data: serde_json::Value,
        timeout: Option<Duration>,
        cancel: CancellationToken,
        sink: Arc<dyn LogSink>,
        secrets: &Secrets,
    ) -> Result<TaskOutput, TaskError> {
        let Some(kind) = self.registry.get(kind_name) else {
            return Err(TaskError::Refused(format!(
                "this delegate does not know task type `{kind_name}`; it knows {}",
                self.registry.type_names().join(", ")
            )));
        };
        self.run_kind(kind, task_id, data, timeout, cancel, sink, secrets)
            .await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one context, put together here and nowhere else"
    )]
    async fn run_kind(
        &self,
        kind: Arc<dyn TaskKind>,
        task_id: &str,
        data: serde_json::Value,
        timeout: Option<Duration>,
        cancel: CancellationToken,
        sink: Arc<dyn LogSink>,
        secrets: &Secrets,
    ) -> Result<TaskOutput, TaskError> {
        let data = validated(&kind, task_id, data, secrets).await?;
        let work_dir = if kind.needs_directory() {
            Some(self.work_dir().await?)
        } else {
            None
        };
        let context = TaskContext {
            task_id: task_id.to_owned(),
            data,
            log: LogWriter::new(sink, secrets.clone()),
            work_dir: work_dir
                .as_ref()
                .map(|dir| dir.path().to_owned())
                .unwrap_or_default(),
            workspace: self.settings.workspace.clone(),
            timeout,
            grace: self.settings.grace,
            cancel: cancel.clone(),
            secrets: secrets.clone(),
            environment: self.settings.environment.clone(),
            confinement: self.settings.confinement.clone(),
            shell: self.settings.shell.clone(),
            http: Arc::clone(&self.http),
        };
        let name = kind.type_name();
        let runs = Arc::clone(&kind);
        let running = AbortOnDropHandle::new(tokio::spawn(async move { runs.run(context).await }));
        let outcome = tokio::select! {
            joined = running => joined.unwrap_or_else(|error| Err(panicked(name, task_id, &error))),
            status = self.hung(timeout, &cancel) => {
                tracing::error!(task_id, "task kind does not come back; dropped");
                Ok(TaskOutput::not(status, format!("task type {name} did not end when it had to, and was given up")))
            }
        };
        if let Some(work_dir) = work_dir {
            remove(work_dir).await;
        }
        outcome
    }

    /// Comes when a kind is long past its end.
    async fn hung(&self, timeout: Option<Duration>, cancel: &CancellationToken) -> CommandStatus {
        let overrun = self.settings.grace * 2 + OVERRUN;
        let out_of_time = async {
            match timeout {
                Some(timeout) => sleep(timeout.saturating_add(overrun)).await,
                None => std::future::pending().await,
            }
        };
        let aborted = async {
            cancel.cancelled().await;
            sleep(overrun).await;
        };
        tokio::select! {
            () = out_of_time => CommandStatus::Timeout,
            () = aborted => CommandStatus::Aborted,
        }
    }

    async fn work_dir(&self) -> Result<TempDir, TaskError> {
        let root = self.settings.work_root.clone();
        let action = format!("create a directory for the task in {}", root.display());
        let user = self.settings.confinement.user.clone();
        let created = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&root)?;
            let mut builder = tempfile::Builder::new();
            builder.prefix("task-");
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
            let dir = builder.tempdir_in(&root)?;
            #[cfg(unix)]
            if let Some(user) = user {
                // Its owner must get there, and needs to see nothing on the way.
                std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
                std::os::unix::fs::chown(dir.path(), Some(user.uid), Some(user.gid))?;
            }
            Ok(dir)
        });
        created
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(TaskError::io(action))
    }
}

/// The data, once the kind has nothing against it. In a task of its own, for it may panic.
async fn validated(
    kind: &Arc<dyn TaskKind>,
    task_id: &str,
    data: serde_json::Value,
    secrets: &Secrets,
) -> Result<serde_json::Value, TaskError> {
    let name = kind.type_name();
    let (kind, secrets) = (Arc::clone(kind), secrets.clone());
    let validating = tokio::spawn(async move { kind.validate(&data, &secrets).map(|()| data) });
    let joined = AbortOnDropHandle::new(validating).await;
    joined.unwrap_or_else(|error| Err(panicked(name, task_id, &error)))
}

fn panicked(name: &str, task_id: &str, error: &tokio::task::JoinError) -> TaskError {
    tracing::error!(task_id, %error, "task kind panicked");
    TaskError::Refused(format!(
        "task type {name} ended by a fault of the delegate; please report it with the delegate's log"
    ))
}

/// Resolves the references in task data, within the time of the task and until it is aborted. The error is the task's
/// outcome.
async fn resolve(
    data: &mut serde_json::Value,
    secrets: &Secrets,
    timeout: Option<Duration>,
    cancel: &CancellationToken,
) -> Result<(), Result<TaskOutput, TaskError>> {
    let status = match bounded(secrets.resolve(data), end_of(timeout), cancel).await {
        Ok(resolved) => return resolved.map_err(Err),
        Err(status) => status,
    };
    let how = match status {
        CommandStatus::Aborted => "the task was aborted",
        _ => "the task ran out of time",
    };
    Err(Ok(TaskOutput::not(
        status,
        format!("{how} while its secrets were fetched"),
    )))
}

/// What cannot be removed is not the task's fault, and not silently forgotten.
async fn remove(work_dir: TempDir) {
    let path = work_dir.path().to_owned();
    let removed = tokio::task::spawn_blocking(move || work_dir.close()).await;
    if let Err(error) = removed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        tracing::warn!(path = %path.display(), %error, "cannot remove the directory of a task");
    }
}

/// A bound on the wire, where 0 is none.
fn bound(millis: u64) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis))
}

fn respond(
    id: String,
    kind: String,
    outcome: Result<TaskOutput, TaskError>,
    masker: impl FnOnce() -> Masker,
) -> TaskResponse {
    let (code, output) = match outcome {
        Ok(output) => (ResponseCode::Ok, output),
        Err(error) => (
            error.code(),
            TaskOutput::not(CommandStatus::Failure, error.describe()),
        ),
    };
    TaskResponse {
        id,
        kind,
        code,
        data: output.into_data(masker),
    }
}

#[cfg(test)]
mod tests;
