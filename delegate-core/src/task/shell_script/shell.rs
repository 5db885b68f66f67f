//! Which shell runs a script, and how it is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::TaskError;
use crate::process::Environment;

/// The languages that differ in how a script is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Bash,
    /// `sh`, dash, ash, ksh, and any other that is taken to read a POSIX script.
    Posix,
    PowerShell,
}

/// A name is one that we know how to call; anything else must be a path.
pub(super) fn check_name(asked: &str) -> Result<(), TaskError> {
    if Path::new(asked).components().count() != 1 || ["bash", "sh", "pwsh"].contains(&asked) {
        return Ok(());
    }
    Err(TaskError::data(
        "shell",
        "must be bash, sh, pwsh, or the path of a shell",
    ))
}

/// A shell that is there.
pub(super) struct Shell {
    pub(super) program: PathBuf,
    pub(super) family: Family,
}

impl Shell {
    /// The one the task asks for; else the delegate's; else bash, and where that is missing, sh.
    pub(super) fn choose(
        asked: Option<&str>,
        delegates: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, TaskError> {
        let (wanted, by) = match (asked, delegates) {
            (Some(name), _) => (PathBuf::from(name), "task data field `shell`"),
            (None, Some(path)) => (path.to_owned(), "setting DELEGATE_SHELL"),
            (None, None) => match environment.find_program("bash") {
                Some(bash) => (bash, ""),
                None => (PathBuf::from("sh"), "a script that names no shell"),
            },
        };
        let Some(program) = environment.find_program(&wanted) else {
            return Err(TaskError::Refused(format!(
                "shell `{}`, wanted by {by}, is not on this delegate; install it, or choose another one",
                wanted.display()
            )));
        };
        let family = match wanted.file_stem().and_then(|stem| stem.to_str()) {
            Some("bash") => Family::Bash,
            Some("pwsh" | "powershell") => Family::PowerShell,
            _ => Family::Posix,
        };
        Ok(Self { program, family })
    }

    /// A path in `dir` with the ending the shell insists on.
    pub(super) fn file_in(&self, dir: &Path, name: &str) -> PathBuf {
        match self.family {
            Family::PowerShell => dir.join(format!("{name}.ps1")),
            Family::Bash | Family::Posix => dir.join(format!("{name}.sh")),
        }
    }

    /// The arguments that make it run a file.
    pub(super) fn args_to_run(&self, file: &Path) -> Vec<OsString> {
        match self.family {
            Family::PowerShell => ["-NoProfile", "-NonInteractive", "-File"]
                .into_iter()
                .map(OsString::from)
                .chain([file.as_os_str().to_owned()])
                .collect(),
            Family::Bash | Family::Posix => vec![file.as_os_str().to_owned()],
        }
    }
}
