//! The work on another machine: done there, by the program that is installed there or is about to be.
//!
//! Command lines there are fixed scripts with paths as their arguments; orders, which hold the token, go to the
//! program's standard input. A program is sent beside the installation ([`Layout::incoming`]) and used only when its
//! digest has been confirmed there; it is not sent when the installed one is the same. A program that is too old to
//! understand an order, or is damaged or gone, is passed over: then ours is sent for the occasion.
//!
//! Everything there ends with the connection, as it would here with the process. The delegate does not: it has a session
//! of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delegate_core::install::host::order::{Answer, Order, Sighting, answer_from_line};
use delegate_core::install::host::{FileStamp, HostSpec, Layout, digest_file};
use tokio_util::sync::CancellationToken;

use super::{Facts, MachineError, facts, installed, processor};
use crate::install::ssh::{Connection, Input, Output, SshError};

/// Longest look. Nothing in it waits; but the machine may be loaded.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Exit codes of the scripts, beyond those a shell has for itself.
const NOTHING_THERE: i32 = 44;
const HIDDEN: i32 = 45;
const FOREIGN: i32 = 46;

/// Gives an order to the program installed in `$1`.
const ORDER_INSTALLED: &str = r#"if [ -e "$1/installation.json" ]; then exec "$1/bin/harness-delegate" carry-out; fi; p=$1; while [ ! -e "$p" ]; do p=${p%/*}; [ -n "$p" ] || p=/; done; [ -x "$p" ] || exit 45; exit 44"#;

/// Gives an order to the program that was sent to `$1`.
const ORDER_INCOMING: &str = r#"exec "$1/incoming" carry-out"#;

/// Takes a program for the folder `$1`, unless that holds something else, and says its digest.
const TAKE: &str = r#"umask 077; mkdir -p "$1" || exit; if [ ! -e "$1/installation.json" ]; then for f in "$1"/* "$1"/.[!.]*; do case ${f##*/} in incoming | installation.json.new | "*" | ".[!.]*") ;; *) exit 46 ;; esac; done; fi; rm -f "$1/incoming" && cat >"$1/incoming" && chmod 700 "$1/incoming" && sha256sum "$1/incoming""#;

/// Removes what a copy that was cut off has left in `$1`.
const SWEEP: &str = r#"rm -f "$1/incoming"; rmdir "$1" 2>/dev/null; exit 0"#;

/// Another machine.
pub struct Remote {
    connection: Arc<Connection>,
    sudo: bool,
    facts: Facts,
}

/// What came of an order to the installed program.
enum Reply {
    Answer(Answer),
    NothingThere,
    /// It cannot be asked; why not.
    Silent(String),
}

impl Remote {
    pub(super) async fn new(
        connection: Arc<Connection>,
        sudo: bool,
        stop: &CancellationToken,
    ) -> Result<Self, MachineError> {
        let question = shell_line(sudo, facts::QUESTION, &[]);
        let answer = connection
            .run(&question, Input::Nothing, Some(LOOK_LIMIT), stop)
            .await?;
        let machine = connection.destination().to_string();
        let facts = Facts::of_answer(&machine, &answer.stdout, &answer.last_words())?;
        Ok(Self {
            connection,
            sudo,
            facts,
        })
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn name(&self) -> String {
        self.connection.destination().to_string()
    }

    /// The names of the delegates in the folder where installations are put that name none. No program is needed for it.
    pub(super) async fn installed(&self, stop: &CancellationToken) -> Result<Vec<String>, MachineError> {
        let base = self.facts.default_base();
        let output = self
            .run(installed::QUESTION, &base, Input::Nothing, Some(LOOK_LIMIT), stop)
            .await?;
        match output.code {
            0 => Ok(installed::of_answer(&self.facts, &output.stdout)),
            NOTHING_THERE => Ok(Vec::new()),
            HIDDEN => Err(MachineError::Hidden {
                machine: self.name(),
                path: base,
            }),
            _ => Err(MachineError::Shell {
                machine: self.name(),
                said: output.last_words(),
            }),
        }
    }

    /// Gives an order to the program installed in a folder, and when that cannot be asked to `program`; nothing when
    /// nothing is installed there.
    pub(super) async fn ask(
        &self,
        directory: &Path,
        order: &Order,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<Option<Answer>, MachineError> {
        let why = match self.reply(directory, order, stop).await? {
            Reply::Answer(answer) => return Ok(Some(answer)),
            Reply::NothingThere => return Ok(None),
            Reply::Silent(why) => why,
        };
        tracing::info!(machine = %self.connection.destination(), why, "the installed program cannot be asked; ours is sent");
        self.send(program, &digest_of(program).await?, directory, stop)
            .await?;
        let answer = self.ask_incoming(directory, order, stop).await;
        self.sweep(directory, stop).await?;
        answer.map(Some)
    }

    /// The same without a replacement for a program that cannot be asked.
    pub(super) async fn ask_installed(
        &self,
        directory: &Path,
        order: &Order,
        stop: &CancellationToken,
    ) -> Result<Option<Answer>, MachineError> {
        match self.reply(directory, order, stop).await? {
            Reply::Answer(answer) => Ok(Some(answer)),
            Reply::NothingThere | Reply::Silent(_) => Ok(None),
        }
    }

    /// Installs; the program is sent unless it is there already.
    pub(super) async fn install(
        &self,
        spec: &HostSpec,
        stop: &CancellationToken,
    ) -> Result<(), MachineError> {
        self.check_processor(&spec.binary)?;
        let layout = Layout::new(&spec.directory);
        let stamp = FileStamp::of(&spec.binary).map_err(unreadable(&spec.binary))?;
        let look = Order::Observe {
            directory: spec.directory.clone(),
        };
        let seen = match self.reply(&spec.directory, &look, stop).await? {
            Reply::Answer(Answer::Observed(seen)) => seen,
            _ => None,
        };
        let digest = match seen.as_deref().and_then(|seen| digest_of_same(seen, &stamp)) {
            Some(digest) => digest,
            None => digest_of(&spec.binary).await?,
        };
        let is_there = seen.is_some_and(|seen| seen.observed.binary_digest.as_ref() == Some(&digest));
        let there = HostSpec {
            binary: if is_there {
                layout.program()
            } else {
                layout.incoming()
            },
            origin: Some(stamp),
            ..spec.clone()
        };
        let order = Order::Install(Box::new(there));
        if is_there {
            match self.reply(&spec.directory, &order, stop).await? {
                Reply::Answer(_) => Ok(()),
                Reply::Silent(said) => Err(self.unanswered(layout.program(), said)),
                // Somebody has removed it in this moment; the next apply installs it anew.
                Reply::NothingThere => Err(self.unanswered(layout.program(), "it has vanished".to_owned())),
            }
        } else {
            self.send(&spec.binary, &digest, &spec.directory, stop).await?;
            let done = self.ask_incoming(&spec.directory, &order, stop).await;
            if done.as_ref().is_err_and(MachineError::is_before) {
                self.sweep(&spec.directory, stop).await?;
            }
            done.map(drop)
        }
    }

    /// Removes what a copy that was cut off has left.
    pub(super) async fn sweep(&self, directory: &Path, stop: &CancellationToken) -> Result<(), MachineError> {
        self.run(SWEEP, directory, Input::Nothing, Some(LOOK_LIMIT), stop)
            .await
            .map(drop)
            .map_err(MachineError::Ssh)
    }

    async fn reply(
        &self,
        directory: &Path,
        order: &Order,
        stop: &CancellationToken,
    ) -> Result<Reply, MachineError> {
        let output = self.order(ORDER_INSTALLED, directory, order, stop).await?;
        match output.code {
            NOTHING_THERE => Ok(Reply::NothingThere),
            HIDDEN => Err(MachineError::Hidden {
                machine: self.name(),
                path: directory.to_owned(),
            }),
            _ => match answer_from_line(output.stdout.trim()) {
                Ok(answer) => Ok(Reply::Answer(answer?)),
                Err(problem) if output.code == 0 => Ok(Reply::Silent(problem.to_string())),
                Err(_) => Ok(Reply::Silent(output.last_words())),
            },
        }
    }

    async fn ask_incoming(
        &self,
        directory: &Path,
        order: &Order,
        stop: &CancellationToken,
    ) -> Result<Answer, MachineError> {
        let output = self.order(ORDER_INCOMING, directory, order, stop).await?;
        match answer_from_line(output.stdout.trim()) {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.unanswered(Layout::new(directory).incoming(), output.last_words())),
        }
    }

    async fn order(
        &self,
        script: &str,
        directory: &Path,
        order: &Order,
        stop: &CancellationToken,
    ) -> Result<Output, SshError> {
        let limit = match order {
            Order::Observe { .. } | Order::Log { .. } => Some(LOOK_LIMIT),
            // A drain takes as long as its tasks; the resource's own timeouts bound it.
            Order::Install(_) | Order::Uninstall { .. } => None,
        };
        self.run(script, directory, Input::LeftOpen(order.to_line()), limit, stop)
            .await
    }

    /// Copies a program of this machine beside the installation.
    async fn send(
        &self,
        program: &Path,
        digest: &str,
        directory: &Path,
        stop: &CancellationToken,
    ) -> Result<(), MachineError> {
        self.check_processor(program)?;
        let file = File::open(program).map_err(unreadable(program))?;
        let taken = self.run(TAKE, directory, Input::File(file), None, stop).await?;
        if taken.code == FOREIGN {
            let foreign = delegate_core::install::host::HostError::Foreign(directory.to_owned());
            return Err(MachineError::Refused(foreign.into()));
        }
        if taken.code == 0 && taken.stdout.split_whitespace().next() == Some(digest) {
            return Ok(());
        }
        let said = if taken.code == 0 {
            "what arrived is not what was sent".to_owned()
        } else {
            taken.last_words()
        };
        self.sweep(directory, stop).await?;
        Err(MachineError::Copy {
            machine: self.name(),
            path: Layout::new(directory).incoming(),
            said,
        })
    }

    fn check_processor(&self, program: &Path) -> Result<(), MachineError> {
        let there = &self.facts.processor;
        match processor::of_program(program).map_err(unreadable(program))? {
            Some(names) if !names.contains(&there.as_str()) => Err(MachineError::Processor {
                machine: self.name(),
                there: there.clone(),
                program: program.to_owned(),
                made_for: names[0].to_owned(),
            }),
            _ => Ok(()),
        }
    }

    async fn run(
        &self,
        script: &str,
        directory: &Path,
        input: Input,
        limit: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<Output, SshError> {
        let line = shell_line(self.sudo, script, &[&directory.to_string_lossy()]);
        self.connection.run(&line, input, limit, stop).await
    }

    fn unanswered(&self, path: PathBuf, said: String) -> MachineError {
        MachineError::Unanswered {
            machine: self.name(),
            path,
            said,
        }
    }
}

/// A line for any login shell: everything in it that a shell could take apart is in single quotes.
fn shell_line(sudo: bool, script: &str, arguments: &[&str]) -> String {
    let become_root = if sudo { "sudo -n " } else { "" };
    let mut line = format!("{become_root}sh -c {} sh", quoted(script));
    for argument in arguments {
        line += &format!(" {}", quoted(argument));
    }
    line
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The digest that was taken of the program when it was as it is now.
fn digest_of_same(seen: &Sighting, stamp: &FileStamp) -> Option<String> {
    let record = &seen.observed.record;
    (record.source == *stamp).then(|| record.binary_digest.clone())
}

async fn digest_of(program: &Path) -> Result<String, MachineError> {
    let path = program.to_owned();
    let digest = tokio::task::spawn_blocking(move || digest_file(&path)).await;
    digest
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .map_err(unreadable(program))
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> MachineError {
    let path = path.to_owned();
    move |source| MachineError::Program { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_no_path_leaves_its_quotes() {
        for script in [
            facts::QUESTION,
            installed::QUESTION,
            ORDER_INSTALLED,
            ORDER_INCOMING,
            TAKE,
            SWEEP,
        ] {
            // Not every login shell takes an end of line inside quotes.
            assert!(!script.contains(['\'', '\n']), "{script}");
        }
        let line = shell_line(true, "echo \"$1\"", &["/a b/'c'"]);
        assert_eq!(line, r#"sudo -n sh -c 'echo "$1"' sh '/a b/'\''c'\'''"#);
    }
}
