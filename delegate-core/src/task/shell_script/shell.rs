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

impl Family {
    /// By the name of the program.
    fn of(program: &Path) -> Self {
        match program.file_stem().and_then(|stem| stem.to_str()) {
            Some("bash") => Self::Bash,
            Some("pwsh" | "powershell") => Self::PowerShell,
            _ => Self::Posix,
        }
    }
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

/// A program that gets the script as its only argument.
pub(super) fn check_interpreter(asked: &str) -> Result<(), TaskError> {
    let wrong = |letter: char| letter.is_control() || letter.is_whitespace();
    if asked.is_empty() || asked.starts_with('-') || asked.contains(wrong) {
        return Err(TaskError::data(
            "interpreter",
            "must be the name or the path of one program, without arguments",
        ));
    }
    Ok(())
}

/// What runs a script.
pub(super) enum Program {
    Shell(Shell),
    Interpreter(PathBuf),
}

impl Program {
    pub(super) fn interpreter(asked: &str, environment: &Environment) -> Result<Self, TaskError> {
        match environment.find_program(asked) {
            Some(program) => Ok(Self::Interpreter(program)),
            None => Err(TaskError::Refused(format!(
                "interpreter `{asked}`, wanted by task data field `interpreter`, is not on this delegate; install it, or choose \
                 another one"
            ))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Shell(shell) => &shell.program,
            Self::Interpreter(program) => program,
        }
    }

    /// A path in `dir` with the ending that it insists on.
    pub(super) fn file_in(&self, dir: &Path, name: &str) -> PathBuf {
        match self {
            Self::Shell(shell) => shell.file_in(dir, name),
            Self::Interpreter(_) => dir.join(name),
        }
    }
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
        Self::named(&wanted, by, environment)
    }

    /// The one of this name or path. `by`: what wants it, for the error.
    pub(super) fn named(wanted: &Path, by: &str, environment: &Environment) -> Result<Self, TaskError> {
        let Some(program) = environment.find_program(wanted) else {
            return Err(TaskError::Refused(format!(
                "shell `{}`, wanted by {by}, is not on this delegate; install it, or choose another one",
                wanted.display()
            )));
        };
        Ok(Self {
            program,
            family: Family::of(wanted),
        })
    }

    /// Those that a task asks for on another machine, the best one first. Whether they are there is seen there.
    pub(super) fn wanted_elsewhere(asked: Option<&str>) -> Vec<Self> {
        let names = asked.map_or_else(|| vec!["bash", "sh"], |asked| vec![asked]);
        let shell = |name: &str| Self {
            program: name.into(),
            family: Family::of(Path::new(name)),
        };
        names.into_iter().map(shell).collect()
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
            Family::PowerShell => {
                // On Windows, files are not run unless the policy of the machine lets them.
                let policy: &[&str] = if cfg!(windows) {
                    &["-ExecutionPolicy", "Bypass"]
                } else {
                    &[]
                };
                ["-NoProfile", "-NonInteractive"]
                    .iter()
                    .chain(policy)
                    .chain(&["-File"])
                    .map(OsString::from)
                    .chain([file.as_os_str().to_owned()])
                    .collect()
            }
            Family::Bash | Family::Posix => vec![file.as_os_str().to_owned()],
        }
    }
}
