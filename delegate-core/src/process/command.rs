//! What to run, and running it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::mask::Masker;
use super::output::{Answer, Capture, Consumer, LineConsumer, Output};
use super::platform::{Cage, Child, Sealed};
use super::supervise::supervise;
use super::{Confinement, Environment, Exit, LineSink, MARK, ProcessError};
use crate::Secret;

/// Between SIGTERM and SIGKILL, and between the end of a child and that of what it left behind. Long enough for a
/// `terraform` or `helm` to release its lock.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How long a child may run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From its start. `None`: until it ends or is cancelled.
    pub timeout: Option<Duration>,
    /// Between asking it to end and ending it, and how long after its end its output may stay open. Zero kills at once.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: None,
            grace: DEFAULT_GRACE,
        }
    }
}

/// How a child is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Request {
    /// SIGTERM, to it and to all of its group.
    #[default]
    Terminate,
    /// SIGINT, to it alone.
    Interrupt,
    /// The end of its input.
    EndInput,
}

/// What a child reads.
#[derive(Default)]
pub(super) enum Input {
    /// Nothing.
    #[default]
    Empty,
    /// This much, and then the end; or, when it stays open, no end before the child's own.
    Bytes { bytes: Vec<u8>, stays_open: bool },
    /// A file.
    File(std::fs::File),
}

/// A program to run. See the module for what every child gets.
pub struct Command {
    program: OsString,
    contents: Option<Arc<Sealed>>,
    args: Vec<OsString>,
    environment: Environment,
    current_dir: Option<PathBuf>,
    stdin: Input,
    mark: String,
    limits: Limits,
    request: Request,
    confinement: Confinement,
    masker: Masker,
}

/// What [`Command::capture`] returns.
#[derive(Clone, Debug)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// The first bytes of file descriptor 1, masked.
    pub stdout: Vec<u8>,
    /// The first bytes of file descriptor 2, masked.
    pub stderr: Vec<u8>,
    /// There was more than the limit in one of them.
    pub truncated: bool,
}

/// What [`Command::answer`] returns.
pub struct Answered {
    /// How it ended.
    pub exit: Exit,
    /// The first bytes of file descriptor 1, as they were: not masked.
    pub stdout: Zeroizing<Vec<u8>>,
    /// There was more than the limit.
    pub truncated: bool,
}

impl Command {
    /// A program by name (found in the `PATH` of `environment`) or path, without arguments.
    pub fn new(program: impl Into<OsString>, environment: Environment) -> Self {
        Self {
            program: program.into(),
            contents: None,
            args: Vec::new(),
            environment,
            current_dir: None,
            stdin: Input::Empty,
            mark: format!("{:016x}", fastrand::u64(..)),
            limits: Limits::default(),
            request: Request::default(),
            confinement: Confinement::default(),
            masker: Masker::none(),
        }
    }

    /// Runs these bytes, whatever is at the path of the program by now; that stays its name.
    #[must_use]
    pub fn contents(mut self, contents: Arc<Sealed>) -> Self {
        self.contents = Some(contents);
        self
    }

    /// Adds an argument. Arguments are public: any user of the machine can read them. A secret goes into the
    /// environment, a file or the standard input.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.set(name, value);
        self
    }

    /// Sets an environment variable to a secret.
    #[must_use]
    pub fn secret_env(mut self, name: impl Into<OsString>, value: &Secret) -> Self {
        self.environment.set_secret(name, value);
        self
    }

    /// Starts in this directory instead of ours.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Writes these bytes to the standard input, then closes it. Without, it is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes {
            bytes: bytes.into(),
            stays_open: false,
        };
        self
    }

    /// Writes these bytes to the standard input and leaves it open until the child has ended, or we have: a child that
    /// reads on learns by the end of its input that nobody waits for it any more.
    #[must_use]
    pub fn stdin_left_open(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes {
            bytes: bytes.into(),
            stays_open: true,
        };
        self
    }

    /// Gives the child a file as its standard input, from where that stands. It is never held in memory.
    #[must_use]
    pub fn stdin_file(mut self, file: std::fs::File) -> Self {
        self.stdin = Input::File(file);
        self
    }

    /// The value of [`MARK`] in the environment, by default a random one. A task uses its id, so that after a crash
    /// of the program its processes can be found ([`super::kill_marked`]).
    #[must_use]
    pub fn mark(mut self, mark: impl Into<String>) -> Self {
        self.mark = mark.into();
        self
    }

    /// Bounds the run.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks the program alone to end when its time is over or it is cancelled, by SIGINT, instead of it and all of its
    /// group by SIGTERM: for one that brings what it started to a good end by itself, and needs it for that. After the
    /// grace the group is ended as ever.
    #[must_use]
    pub fn interrupted(mut self) -> Self {
        self.request = Request::Interrupt;
        self
    }

    /// Asks it to end by the end of its input, which was left open, and by no signal: for one that brings to an end what it
    /// started elsewhere, and tells how that ended. After the grace the group is ended as ever.
    #[must_use]
    pub fn asked_by_end_of_input(mut self) -> Self {
        self.request = Request::EndInput;
        self
    }

    /// Bounds what it may use, and says who it is.
    #[must_use]
    pub fn confine(mut self, confinement: Confinement) -> Self {
        self.confinement = confinement;
        self
    }

    /// Masks secrets in the output, and in the command line that errors show.
    #[must_use]
    pub fn masker(mut self, masker: Masker) -> Self {
        self.masker = masker;
        self
    }

    /// Runs it and hands its output to `sink`, line by line. Returns when the child and everything it started have
    /// ended and the output has been taken, or given up ([`Exit::output_complete`]).
    ///
    /// Dropping the future kills the child and its group.
    pub async fn run(
        self,
        cancel: &CancellationToken,
        sink: &mut dyn LineSink,
    ) -> Result<Exit, ProcessError> {
        let masker = self.masker.clone();
        self.consume(cancel, &mut LineConsumer::new(&masker, sink)).await
    }

    /// Runs it and keeps up to `limit` bytes of each of its outputs. For programs whose output is data.
    pub async fn capture(self, cancel: &CancellationToken, limit: usize) -> Result<Captured, ProcessError> {
        let mut kept = Capture::new(&self.masker, limit);
        let exit = self.consume(cancel, &mut kept).await?;
        let (stdout, stderr, truncated) = kept.finish();
        Ok(Captured {
            exit,
            stdout,
            stderr,
            truncated,
        })
    }

    /// Runs it, keeps up to `limit` bytes of its standard output as they are, and hands its standard error to `sink`, line
    /// by line and masked. For programs that answer in a form that masking would break: who reads the answer masks what
    /// is in it.
    pub async fn answer(
        self,
        cancel: &CancellationToken,
        limit: usize,
        sink: &mut dyn LineSink,
    ) -> Result<Answered, ProcessError> {
        let masker = self.masker.clone();
        let mut answer = Answer::new(&masker, limit, sink);
        let exit = self.consume(cancel, &mut answer).await?;
        let (stdout, truncated) = answer.finish();
        Ok(Answered {
            exit,
            stdout,
            truncated,
        })
    }

    async fn consume(
        mut self,
        cancel: &CancellationToken,
        consumer: &mut impl Consumer,
    ) -> Result<Exit, ProcessError> {
        let command = self.prepare()?;
        let cage = Cage::make(&self.confinement).map_err(ProcessError::Confine)?;
        let cage = Arc::new(cage);
        let (child, pipes) = Child::spawn(command, &self.mark, Arc::clone(&cage), self.contents.clone())
            .await
            .map_err(|source| self.spawn_error(source))?;
        let output = Output::drain(pipes, std::mem::take(&mut self.stdin));
        let exit = supervise(child, self.limits, self.request, cancel, output, consumer)
            .await
            .map_err(|source| ProcessError::Watch {
                command: self.to_string(),
                source,
            });
        // The forker has let go of it: it was the only other one.
        if let Some(cage) = Arc::into_inner(cage) {
            cage.remove().await;
        }
        exit
    }

    fn prepare(&mut self) -> Result<std::process::Command, ProcessError> {
        // std reports a missing directory as a missing program.
        if let Some(dir) = &self.current_dir {
            let problem = match dir.metadata() {
                Ok(meta) if meta.is_dir() => None,
                Ok(_) => Some("is not a directory"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Some("does not exist"),
                Err(_) => Some("cannot be read"),
            };
            if let Some(problem) = problem {
                return Err(ProcessError::WorkingDir {
                    path: dir.clone(),
                    problem,
                });
            }
        }
        self.environment.set(MARK, &self.mark);
        let mut command = match &self.contents {
            None => std::process::Command::new(&self.program),
            Some(contents) => contents.command(&self.program),
        };
        command.args(&self.args).env_clear().envs(self.environment.iter());
        command.stdin(match std::mem::take(&mut self.stdin) {
            Input::Empty => Stdio::null(),
            Input::File(file) => file.into(),
            bytes @ Input::Bytes { .. } => {
                self.stdin = bytes;
                Stdio::piped()
            }
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(dir) = &self.current_dir {
            command.current_dir(dir);
        }
        Ok(command)
    }

    fn spawn_error(&self, source: io::Error) -> ProcessError {
        let program = self.masker.mask_str(&self.program.to_string_lossy()).into_owned();
        match source.kind() {
            // Of contents, it is the interpreter that is not found.
            io::ErrorKind::NotFound
                if self.contents.is_none() && self.environment.find_program(&self.program).is_none() =>
            {
                ProcessError::NotFound {
                    program,
                    looked_in: self.looked_in(),
                }
            }
            io::ErrorKind::PermissionDenied => ProcessError::NotExecutable { program, source },
            _ => ProcessError::Spawn {
                command: self.to_string(),
                source,
            },
        }
    }

    fn looked_in(&self) -> String {
        if self.program.as_encoded_bytes().contains(&b'/') {
            return "that place".to_owned();
        }
        let path = self
            .environment
            .get("PATH")
            .unwrap_or(OsStr::new(""))
            .to_string_lossy();
        if path.is_empty() {
            "an empty PATH".to_owned()
        } else {
            format!("PATH {path}")
        }
    }
}

/// The command line for an error message: secrets masked, long arguments cut, no environment.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Enough to recognize an argument by.
        const SHOWN: usize = 200;
        let words = std::iter::once(&self.program).chain(&self.args);
        for (index, word) in words.enumerate() {
            let word = word.to_string_lossy();
            let masked = self.masker.mask_str(&word);
            let mut shown: String = masked.chars().take(SHOWN).collect();
            if shown.len() < masked.len() {
                shown.push('…');
            }
            let gap = if index == 0 { "" } else { " " };
            if shown.is_empty() || shown.contains(char::is_whitespace) {
                write!(f, "{gap}{shown:?}")?;
            } else {
                write!(f, "{gap}{shown}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("line", &self.to_string())
            .field("environment", &self.environment)
            .field("current_dir", &self.current_dir)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_line_hides_secrets_and_the_environment() {
        let secret = Secret::new("hunter2");
        let command = Command::new("helm", Environment::empty())
            .args(["upgrade", "--set", "password=hunter2", "two words", ""])
            .secret_env("PASSWORD", &secret)
            .masker(Masker::new([&secret]));
        assert_eq!(
            command.to_string(),
            r#"helm upgrade --set password=************** "two words" """#
        );
        assert!(!format!("{command:?}").contains("hunter2"));
    }
}
