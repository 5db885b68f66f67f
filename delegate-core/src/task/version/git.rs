//! What is asked of git, by its program.
//!
//! git asks nobody for anything, uses no other transports than ssh, https, http and folders, and learns a login by its
//! environment only.

use std::ffi::OsString;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::Ended;
use super::data::{Login, Tags};
use crate::Secret;
use crate::process::{Command, Reason};
use crate::protocol::wire::CommandStatus;
use crate::task::{TaskContext, TaskError, TaskOutput};

/// So much is read of what git prints, in bytes: some hundred thousand tags, or commits since a release.
const MOST_OUTPUT: usize = 16 * 1024 * 1024;

/// What stands between two commit messages.
const BETWEEN: char = '\0';

/// The names of a repository's tags.
pub(super) async fn tags(context: &TaskContext, tags: &Tags) -> Result<Vec<String>, Ended> {
    let mut git = git(context)?;
    if let Some(login) = &tags.login {
        git = with_login(git, &tags.repository, login);
    }
    let git = git
        .args(["ls-remote", "--tags", "--refs", "--"])
        .arg(&tags.repository);
    let text = read(context, git, "list the tags of the repository").await?;
    let names = text.lines().filter_map(|line| line.split_once("\trefs/tags/"));
    Ok(names.map(|(_, name)| name.to_owned()).collect())
}

/// A repository on this machine.
pub(super) struct Folder<'c> {
    context: &'c TaskContext,
    path: &'c Path,
}

impl<'c> Folder<'c> {
    pub(super) fn new(context: &'c TaskContext, path: &'c Path) -> Self {
        Self { context, path }
    }

    /// The tags of the commit that is checked out.
    pub(super) async fn tags_of_head(&self) -> Result<Vec<String>, Ended> {
        let text = self
            .ask(["tag", "--points-at", "HEAD"], "list the tags of the commit")
            .await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The messages of the commits since a tag, or of all.
    pub(super) async fn messages_since(&self, tag: Option<&str>) -> Result<Vec<String>, Ended> {
        let range = tag.map_or_else(|| "HEAD".to_owned(), |tag| format!("refs/tags/{tag}..HEAD"));
        let args = ["log", "-z", "--format=%B", "--end-of-options", &range];
        let text = self.ask(args, "read the commits since the last release").await?;
        let messages = text
            .split(BETWEEN)
            .map(str::trim)
            .filter(|message| !message.is_empty());
        Ok(messages.map(str::to_owned).collect())
    }

    /// Tags the commit that is checked out.
    pub(super) async fn tag(&self, name: &str) -> Result<(), Ended> {
        self.ask(["tag", "--", name], "make the tag").await.map(drop)
    }

    /// Pushes a tag to where the folder came from.
    pub(super) async fn push(&self, name: &str) -> Result<(), Ended> {
        let tag = format!("refs/tags/{name}");
        self.ask(["push", "--quiet", "origin", &tag], "push the tag")
            .await
            .map(drop)
    }

    async fn ask(
        &self,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        action: &str,
    ) -> Result<String, Ended> {
        let git = git(self.context)?.arg("-C").arg(self.path).args(args);
        read(self.context, git, action).await
    }
}

fn git(context: &TaskContext) -> Result<Command, TaskError> {
    let Some(program) = context.environment.find_program("git") else {
        return Err(TaskError::Elsewhere(
            "git is not on this delegate, and versions from tags need it; install it, or name a delegate that has it".to_owned(),
        ));
    };
    Ok(context
        .command(program)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        .env("GIT_ALLOW_PROTOCOL", "file:https:http:ssh")
        .env("LC_ALL", "C"))
}

/// A header for one server, by the environment: neither a command line nor a file shows it.
fn with_login(git: Command, repository: &str, login: &Login) -> Command {
    let Ok(url) = Url::parse(repository) else {
        return git;
    };
    let value = STANDARD.encode(format!("{}:{}", login.user, login.password.expose()));
    git.env("GIT_CONFIG_COUNT", "1")
        .env(
            "GIT_CONFIG_KEY_0",
            format!("http.{}/.extraHeader", url.origin().ascii_serialization()),
        )
        .secret_env(
            "GIT_CONFIG_VALUE_0",
            &Secret::new(format!("Authorization: Basic {value}")),
        )
}

/// What git prints. `action` reads well after "git could not".
async fn read(context: &TaskContext, git: Command, action: &str) -> Result<String, Ended> {
    let captured = git
        .capture(&context.cancel, MOST_OUTPUT)
        .await
        .map_err(TaskError::from)?;
    match captured.exit.reason {
        Reason::Exited => {}
        Reason::Aborted => {
            let output = TaskOutput::not(CommandStatus::Aborted, "the task was aborted");
            return Err(Ended::Task(output));
        }
        Reason::TimedOut => {
            let time = context.timeout.unwrap_or_default();
            let problem = format!("git did not {action} within {time:?} and was ended");
            return Err(Ended::Task(TaskOutput::not(CommandStatus::Timeout, problem)));
        }
    }
    if !captured.exit.success() {
        let said = String::from_utf8_lossy(&captured.stderr);
        return Err(Ended::failure(format!(
            "git could not {action}: {}",
            last_words(&said)
        )));
    }
    if captured.truncated {
        return Err(Ended::failure(format!(
            "git could not {action}: it printed more than 16 MiB"
        )));
    }
    Ok(String::from_utf8_lossy(&captured.stdout).into_owned())
}

/// The end of what a program said, as one line.
fn last_words(said: &str) -> String {
    const LINES: usize = 5;
    let lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    match lines.len() {
        0 => "it did not say why".to_owned(),
        many => lines[many.saturating_sub(LINES)..].join("; "),
    }
}
