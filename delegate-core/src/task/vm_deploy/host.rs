//! One host: its files, and its script.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::data::{Data, File, From, Host, Shell};
use crate::process::{Command, Exit, Line, LineSink, Reason, Stream};
use crate::protocol::wire::CommandStatus;
use crate::task::allowance::Allowance;
use crate::task::files::write_private;
use crate::task::halt::Halt;
use crate::task::said::{LastWords, quoted};
use crate::task::ssh::{Client, Leftovers, Remote, Run, failure_of, new_folder};
use crate::task::workspace::{self, Place};
use crate::task::{Level, LogWriter, TaskContext, TaskError};

/// Says `same` when the file `$1` has the digest `$2` already, and gives it the permissions `$3`.
const SAME: &str = include_str!("same.sh");

/// Takes a file of the digest `$2` from the input and puts it at `$1` with the permissions `$3`, when it arrived whole.
const PUT: &str = include_str!("put.sh");

/// Most that is read of an answer of ours.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What came of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Everything is there, and the script exited with 0.
    Done,
    /// Something did not work.
    Failed,
    /// The task ended in the middle.
    CutOff,
    /// It was not touched.
    NotBegun,
}

/// What came of a host, for the result.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HostResult {
    /// Name or address, with the port where one is given.
    pub(super) host: String,
    /// What came of it.
    pub(super) state: State,
    /// What went wrong; null where nothing did.
    pub(super) error: Option<String>,
    /// The script's exit code; null where it did not run to its end.
    exit_code: Option<i32>,
    /// Files that were sent.
    copied: Vec<String>,
    /// Files that were there already.
    unchanged: Vec<String>,
}

impl HostResult {
    pub(super) fn not_begun(host: &Host) -> Self {
        Self {
            host: name(host),
            state: State::NotBegun,
            error: None,
            exit_code: None,
            copied: Vec::new(),
            unchanged: Vec::new(),
        }
    }
}

/// A file as it is here.
struct Ready<'t> {
    file: &'t File,
    path: PathBuf,
    /// SHA-256, in hex.
    digest: String,
}

/// What is brought to each host.
pub(super) struct Deployment<'t> {
    data: &'t Data,
    client: &'t Client,
    context: &'t TaskContext,
    allowance: &'t Allowance,
    files: Vec<Ready<'t>>,
    script: Option<String>,
}

/// Why a host is not done.
enum Stop {
    Failed(String),
    Ended(CommandStatus),
    Error(TaskError),
}

impl std::convert::From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Error(error)
    }
}

impl<'t> Deployment<'t> {
    /// Looks at the files. They are read as the user of tasks.
    pub(super) async fn prepare(
        data: &'t Data,
        client: &'t Client,
        context: &'t TaskContext,
        allowance: &'t Allowance,
    ) -> Result<Self, Halt> {
        let mut files = Vec::new();
        for (at, file) in data.files.iter().enumerate() {
            let own = context.work_dir.join(format!("file-{at}"));
            let user = context.confinement.user.as_ref();
            let path = match &file.from {
                From::Content(text) => {
                    write_private(&own, text, user).await?;
                    own
                }
                From::Secret(text) => {
                    write_private(&own, text.expose(), user).await?;
                    own
                }
                From::Path(path) => {
                    let field = "files.from.path";
                    let place =
                        Place::of(field, workspace::read(field, path)?, context.workspace.as_deref())?;
                    place.enter(user).await?;
                    place.path().to_owned()
                }
            };
            let digest = digest(&path, context, allowance).await?;
            files.push(Ready { file, path, digest });
        }
        Ok(Self {
            data,
            client,
            context,
            allowance,
            files,
            script: data.script_text(),
        })
    }

    /// Brings everything to a host. Returns how the task ended, when that was in the middle.
    pub(super) async fn bring(&self, host: &Host) -> Result<(HostResult, Option<CommandStatus>), TaskError> {
        let mut result = HostResult::not_begun(host);
        if self.context.cancel.is_cancelled() {
            return Ok((result, Some(CommandStatus::Aborted)));
        }
        let worked = self.work(host, &mut result).await;
        let log = &self.context.log;
        let ended = match worked {
            Ok(()) => {
                result.state = State::Done;
                log.line(Level::Info, &format!("{}: done", result.host)).await;
                None
            }
            Err(Stop::Failed(reason)) => {
                log.line(Level::Error, &format!("{}: {reason}", result.host))
                    .await;
                result.state = State::Failed;
                result.error = Some(reason);
                None
            }
            Err(Stop::Ended(status)) => {
                result.state = State::CutOff;
                result.error = Some("the task ended in the middle of it".to_owned());
                Some(status)
            }
            Err(Stop::Error(error)) => return Err(error),
        };
        Ok((result, ended))
    }

    async fn work(&self, host: &Host, result: &mut HostResult) -> Result<(), Stop> {
        let remote = Remote {
            host: &host.name,
            port: host.port.map(std::num::NonZeroU16::get),
            user: self.data.user_of(host),
            client: self.client,
        };
        let log = &self.context.log;
        for ready in &self.files {
            let to = &ready.file.to;
            let args = [&**to, &ready.digest, ready.file.mode()];
            let asked = remote.program(self.context, self.allowance, SAME, &args);
            let same = self.ask(asked, &format!("looking at {to}")).await?;
            if same.trim() == "same" {
                result.unchanged.push(to.clone());
                log.line(Level::Info, &format!("{}: {to} is there already", result.host))
                    .await;
                continue;
            }
            let sent = remote.program_with(self.context, self.allowance, &ready.path, PUT, &args);
            self.ask(sent, &format!("copying {to}")).await?;
            result.copied.push(to.clone());
            log.line(
                Level::Info,
                &format!("{}: {to} copied, sha256:{}", result.host, ready.digest),
            )
            .await;
        }
        let Some(script) = &self.script else { return Ok(()) };
        let run = Run {
            interpreter: self.data.shell.map_or("sh", Shell::name),
            text: script,
            folder: &new_folder(),
            leftovers: Leftovers::Stay,
        };
        let mut told = Told {
            log: log.clone(),
            host: result.host.clone(),
            kept: LastWords::default(),
        };
        let exit = remote
            .script(self.context, self.allowance, &run)
            .run(&self.context.cancel, &mut told)
            .await
            .map_err(TaskError::from)?;
        ended(&exit)?;
        let said = told.kept.text();
        if let Some(reason) = failure_of(&exit, &said, "login") {
            return Err(Stop::Failed(reason));
        }
        result.exit_code = Some(exit.code());
        if exit.success() {
            return Ok(());
        }
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let last = last.map_or_else(String::new, |line| format!(": {}", quoted(line)));
        Err(Stop::Failed(format!(
            "the script exited with {}{last}",
            exit.code()
        )))
    }

    /// Runs something of ours there, and returns what it says.
    async fn ask(&self, command: Command, doing: &str) -> Result<String, Stop> {
        let captured = command
            .capture(&self.context.cancel, MAX_ANSWER_BYTES)
            .await
            .map_err(TaskError::from)?;
        ended(&captured.exit)?;
        if captured.exit.success() {
            return Ok(String::from_utf8_lossy(&captured.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&captured.stderr);
        if let Some(reason) = failure_of(&captured.exit, &said, "login") {
            return Err(Stop::Failed(reason));
        }
        let said = said.trim();
        Err(Stop::Failed(if said.is_empty() {
            format!("{doing} failed with {}", captured.exit.code())
        } else {
            format!("{doing} failed: {}", quoted(said))
        }))
    }
}

fn ended(exit: &Exit) -> Result<(), Stop> {
    match exit.reason {
        Reason::Exited => Ok(()),
        Reason::TimedOut => Err(Stop::Ended(CommandStatus::Timeout)),
        Reason::Aborted => Err(Stop::Ended(CommandStatus::Aborted)),
    }
}

/// The SHA-256 of a file here.
async fn digest(
    path: &std::path::Path,
    context: &TaskContext,
    allowance: &Allowance,
) -> Result<String, Halt> {
    let doing = "reading a file";
    let command = context
        .command("sha256sum")
        .limits(allowance.limits())
        .arg("--")
        .arg(path);
    let captured = allowance.capture(command, MAX_ANSWER_BYTES, doing).await?;
    let said = String::from_utf8_lossy(&captured.stdout).into_owned();
    // A name with unusual letters is written in another way, and the line begins with a backslash.
    let digest = said
        .trim_start_matches('\\')
        .split_whitespace()
        .next()
        .unwrap_or_default();
    if captured.exit.success() && !digest.is_empty() {
        return Ok(digest.to_owned());
    }
    let said = String::from_utf8_lossy(&captured.stderr);
    Err(Halt::failed(format!(
        "reading a file of `files` failed, and no host was touched: {}",
        quoted(said.trim())
    )))
}

fn name(host: &Host) -> String {
    match host.port {
        Some(port) => format!("{}:{port}", host.name),
        None => host.name.clone(),
    }
}

/// Passes on what a host says, with its name.
struct Told {
    log: LogWriter,
    host: String,
    kept: LastWords,
}

#[async_trait]
impl LineSink for Told {
    async fn write(&mut self, lines: Vec<Line>) {
        for line in lines {
            let level = match line.stream {
                Stream::Stdout => Level::Info,
                Stream::Stderr => {
                    self.kept.push(&line.text);
                    Level::Error
                }
            };
            self.log
                .line(level, &format!("{}: {}", self.host, line.text))
                .await;
        }
    }
}
