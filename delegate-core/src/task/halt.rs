//! Why the work of a kind with several steps ends early.

use super::{TaskError, TaskOutput};
use crate::protocol::wire::CommandStatus;

/// Carried by `?` from a step to the kind.
pub(super) enum Halt {
    /// With this outcome.
    Output(Box<TaskOutput>),
    /// The delegate could not do its part.
    Error(TaskError),
}

impl Halt {
    /// The task failed, for this reason.
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        TaskOutput::not(CommandStatus::Failure, reason).into()
    }

    /// What a task returns whose work ended so.
    pub(super) fn outcome(ended: Result<TaskOutput, Self>) -> Result<TaskOutput, TaskError> {
        match ended {
            Ok(output) => Ok(output),
            Err(Self::Output(output)) => Ok(*output),
            Err(Self::Error(error)) => Err(error),
        }
    }
}

impl From<TaskOutput> for Halt {
    fn from(output: TaskOutput) -> Self {
        Self::Output(Box::new(output))
    }
}

impl From<TaskError> for Halt {
    fn from(error: TaskError) -> Self {
        Self::Error(error)
    }
}
