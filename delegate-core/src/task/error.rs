//! Why a delegate could not do its part.

use std::error::Error;
use std::fmt::Write;
use std::io;

use crate::process::ProcessError;
use crate::protocol::wire::ResponseCode;

/// The delegate could not do its part of a task. What the task itself did wrong is not here, but in its output.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The data of the task is not what its kind takes.
    #[error("task data field `{path}`: {problem}")]
    Data {
        /// Path of the field, `env.NAME`.
        path: String,
        /// What is wrong with it, without its value.
        problem: String,
    },
    /// A secret could not be had.
    #[error("secret `{reference}` in task data field `{path}`: {problem}")]
    Secret {
        /// Path of the field.
        path: String,
        /// The reference; never the value.
        reference: String,
        /// What went wrong and what to do.
        problem: String,
    },
    /// A program that the kind needs could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Something on this machine failed.
    #[error("failed to {action}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// No delegate can do it.
    #[error("{0}")]
    Refused(String),
    /// This delegate cannot do it, another one may.
    #[error("{0}")]
    Elsewhere(String),
}

impl TaskError {
    /// The data has something wrong in the field of this path. `problem` reads well after the field's name, shows no
    /// value and says what is expected.
    pub fn data(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Data {
            path: path.into(),
            problem: problem.into(),
        }
    }

    /// For `map_err` of file operations: `action` reads well after "failed to".
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// What is answered.
    pub fn code(&self) -> ResponseCode {
        match self {
            Self::Elsewhere(_) => ResponseCode::RetryOnOtherDelegate,
            _ => ResponseCode::Failed,
        }
    }

    /// The whole chain of causes as one line.
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing to a string does not fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}
