//! What a task kind gets to work with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::bounds::{bounded, end_of};
use super::{LogWriter, Secrets, TaskError, TaskOutput, data};
use crate::process::{Command, Confinement, Environment, Limits};
use crate::protocol::http::Http;
use crate::protocol::wire::CommandStatus;

/// One task, and everything that belongs to it.
pub struct TaskContext {
    /// Identity of the task; also the mark of its processes.
    pub task_id: String,
    /// What to do, as the manager sent it, with values in the place of references to secrets. Read it with [`TaskContext::data`].
    pub data: Value,
    /// The log of the task. What goes in is masked.
    pub log: LogWriter,
    /// An empty directory that only this user can read. It is removed after the task. It does not exist for a kind that
    /// needs none.
    pub work_dir: PathBuf,
    /// A folder that tasks share and that stays, where the delegate has one. It need not exist yet, and belongs to the
    /// user of tasks.
    pub workspace: Option<PathBuf>,
    /// How long the kind may run, from its start. `None`: without bound.
    pub timeout: Option<Duration>,
    /// Between asking a process to end and ending it.
    pub grace: Duration,
    /// Cancelled when the task is to be aborted.
    pub cancel: CancellationToken,
    /// What is masked. A kind whose data has secrets spelled out makes them known here.
    pub secrets: Secrets,
    /// What child processes may see of our environment.
    pub environment: Environment,
    /// What child processes may use, and who they are.
    pub confinement: Confinement,
    /// The shell of scripts that name none (`DELEGATE_SHELL`).
    pub shell: Option<PathBuf>,
    /// HTTP clients with the delegate's proxy and authorities, and without its own client certificate, which is meant
    /// for the manager.
    pub http: Arc<Http>,
}

impl TaskContext {
    /// The data as a type; the error names the field that is wrong, and shows no value.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        data::read(&self.data)
    }

    /// Waits for something within the time of the task, counted from this call, and until the task is aborted; the error
    /// is what to return then. For work that is not a child process, which has these bounds by itself.
    pub async fn within_bounds<T>(&self, work: impl Future<Output = T>) -> Result<T, TaskOutput> {
        let waited = bounded(work, end_of(self.timeout), &self.cancel).await;
        waited.map_err(|status| {
            let reason = match status {
                CommandStatus::Aborted => "the task was aborted".to_owned(),
                _ => format!(
                    "the task did not end within {:?} and was ended",
                    self.timeout.unwrap_or_default()
                ),
            };
            TaskOutput::not(status, reason)
        })
    }

    /// A program to run for this task: in its directory, with its environment, limits, mark and masking. To be called
    /// after the secrets are made known, since those that become so later are not masked in its output.
    pub fn command(&self, program: impl Into<std::ffi::OsString>) -> Command {
        let mut environment = self.environment.clone();
        if let Some(user) = &self.confinement.user {
            // The only place where it may write.
            environment.set("HOME", &self.work_dir);
            environment.set("USER", &user.name);
            environment.set("LOGNAME", &user.name);
        }
        Command::new(program, environment)
            .confine(self.confinement.clone())
            .current_dir(&self.work_dir)
            .mark(&self.task_id)
            .limits(Limits {
                timeout: self.timeout,
                grace: self.grace,
            })
            .masker(self.secrets.masker())
    }
}
