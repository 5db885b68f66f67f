//! What can go wrong before a child runs, or while we watch it.

use std::io;
use std::path::PathBuf;

/// A child could not be started or watched. Command lines in here are redacted.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not there.
    #[error("program `{program}` not found; looked in {looked_in}. Install it, or name it by its full path")]
    NotFound {
        /// As it was asked for.
        program: String,
        /// The directories that were searched, or the path itself.
        looked_in: String,
    },
    /// The program is there, but may not be executed.
    #[error(
        "program `{program}` may not be executed; check its mode and the mount options of its file system"
    )]
    NotExecutable {
        /// As it was asked for.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The directory the program should start in cannot be used.
    #[error("working directory `{}` {problem}", path.display())]
    WorkingDir {
        /// The directory.
        path: PathBuf,
        /// "does not exist", "is not a directory" …
        problem: &'static str,
    },
    /// The operating system refused to start it.
    #[error("failed to start `{command}`")]
    Spawn {
        /// The redacted command line.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Its bounds could not be set up.
    #[error(
        "failed to make a control group; check DELEGATE_TASK_MAX_PROCESSES, DELEGATE_TASK_MAX_MEMORY_MIB and DELEGATE_TASK_MAX_MILLICPUS"
    )]
    Confine(#[source] io::Error),
    /// It runs, or ran, but we cannot learn how it ended.
    #[error("failed to watch `{command}`")]
    Watch {
        /// The redacted command line.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
}
