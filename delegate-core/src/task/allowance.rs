//! How long a kind with several steps has left.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bounds::{bounded, end_of};
use super::halt::Halt;
use super::{TaskContext, TaskError, TaskOutput};
use crate::process::{Captured, Command, Exit, Limits, LineSink, Reason};
use crate::protocol::wire::CommandStatus;

/// The time of a task, from when its kind began, and its abort.
pub(super) struct Allowance {
    timeout: Option<Duration>,
    end: Option<Instant>,
    grace: Duration,
    cancel: CancellationToken,
}

impl Allowance {
    /// Begins to count.
    pub(super) fn of(context: &TaskContext) -> Self {
        Self {
            timeout: context.timeout,
            end: end_of(context.timeout),
            grace: context.grace,
            cancel: context.cancel.clone(),
        }
    }

    /// What is left for one more child process.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            timeout: self.end.map(|end| end.saturating_duration_since(Instant::now())),
            grace: self.grace,
        }
    }

    /// Waits for `work`, and drops it when the time is over or the task is aborted. The error is the outcome of the task;
    /// `doing` reads well after "while".
    pub(super) async fn within<T>(
        &self,
        doing: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, TaskOutput> {
        let waited = bounded(work, self.end, &self.cancel).await;
        waited.map_err(|status| self.ended(status, doing))
    }

    /// Waits in the same way for the whole work of a task; returns what came of it.
    pub(super) async fn outcome_of(
        &self,
        doing: &str,
        work: impl Future<Output = Result<(), Halt>>,
    ) -> Result<TaskOutput, TaskError> {
        let worked = self.within(doing, work).await.map_err(Halt::from).flatten();
        Halt::outcome(worked.map(|()| TaskOutput::success()))
    }

    /// Runs a child and keeps what it prints, as [`Command::capture`] does. One that was ended by us ends the work.
    pub(super) async fn capture(
        &self,
        command: Command,
        limit: usize,
        doing: &str,
    ) -> Result<Captured, Halt> {
        let captured = command
            .capture(&self.cancel, limit)
            .await
            .map_err(TaskError::from)?;
        match self.ended_child(&captured.exit, doing) {
            None => Ok(captured),
            Some(output) => Err(output.into()),
        }
    }

    /// Runs a child and passes its lines on, as [`Command::run`] does. One that was ended by us ends the work.
    pub(super) async fn run(
        &self,
        command: Command,
        sink: &mut dyn LineSink,
        doing: &str,
    ) -> Result<Exit, Halt> {
        let exit = command.run(&self.cancel, sink).await.map_err(TaskError::from)?;
        match self.ended_child(&exit, doing) {
            None => Ok(exit),
            Some(output) => Err(output.into()),
        }
    }

    /// The outcome of a task whose child was ended by us; none when it ended by itself.
    pub(super) fn ended_child(&self, exit: &Exit, doing: &str) -> Option<TaskOutput> {
        match exit.reason {
            Reason::Exited => None,
            Reason::TimedOut => Some(self.ended(CommandStatus::Timeout, doing)),
            Reason::Aborted => Some(self.ended(CommandStatus::Aborted, doing)),
        }
    }

    fn ended(&self, status: CommandStatus, doing: &str) -> TaskOutput {
        let reason = match status {
            CommandStatus::Aborted => format!("the task was aborted while {doing}"),
            _ => format!(
                "the task's time of {:?} was over while {doing}",
                self.timeout.unwrap_or_default()
            ),
        };
        TaskOutput::not(status, reason)
    }
}
