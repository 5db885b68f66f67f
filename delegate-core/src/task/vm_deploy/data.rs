//! What a task asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Secret;
use crate::task::data::check_environment;
use crate::task::ssh::{SshLogin, check_host, check_user, quoted};
use crate::task::{TaskData, TaskError, workspace};

/// Most hosts of one task: a result tells of each.
const MAX_HOSTS: usize = 1000;

/// Longest path of most systems.
const MAX_PATH: usize = 4096;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The hosts, in the order in which they are worked on.
    pub(super) hosts: Vec<Host>,
    /// The user there, where a host names none.
    user: Option<String>,
    /// Who logs in, and the keys of all hosts.
    pub(super) login: SshLogin,
    /// Files that are copied first.
    #[serde(default)]
    pub(super) files: Vec<File>,
    /// What runs then. Its input is empty. What it starts and leaves running must not keep its output open. When the task is aborted
    /// it is asked to end (SIGTERM), and ended before the delegate's grace is over.
    pub(super) script: Option<String>,
    /// What runs the script. Default: `sh`.
    pub(super) shell: Option<Shell>,
    /// Environment variables of the script.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The same of values that are secret.
    #[serde(default)]
    secrets: BTreeMap<String, Secret>,
    /// How many hosts are worked on before the next ones begin. Default: all of them.
    wave: Option<Wave>,
    /// How many hosts may fail before no further wave begins. Default: none.
    #[serde(default)]
    pub(super) max_failures: usize,
}

// A host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    /// Name or address.
    #[serde(rename = "host")]
    pub(super) name: String,
    /// Its port. Default: 22.
    pub(super) port: Option<NonZeroU16>,
    /// The user there.
    user: Option<String>,
}

// A file that is copied.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What is copied.
    pub(super) from: From,
    /// Where it goes, as an absolute path. Folders that are missing are made.
    pub(super) to: String,
    /// Its permissions, in octal. Default: `0644`.
    mode: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    /// A file of the delegate: relative to its workspace, or absolute.
    Path(String),
    /// A text.
    Content(String),
    /// A text that is secret.
    Secret(Secret),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shell {
    Sh,
    Bash,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Wave {
    /// So many hosts.
    Hosts(NonZeroU16),
    /// So many in a hundred of all hosts, one at least.
    Percent(NonZeroU16),
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        let files = self.files.iter().filter_map(|file| match &file.from {
            From::Secret(secret) => Some(secret.clone()),
            _ => None,
        });
        files
            .chain(self.secrets.values().cloned())
            .chain(self.login.secrets())
            .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        self.check_hosts()?;
        self.login.check("login")?;
        self.check_files()?;
        if self.files.is_empty() && self.script.is_none() {
            return wrong(
                "script",
                "is missing, and there are no `files`: there is nothing to do",
            );
        }
        if self.script.is_none() && (!self.env.is_empty() || !self.secrets.is_empty()) {
            return wrong("env", "is for the script, and there is none");
        }
        if self
            .script
            .as_ref()
            .is_some_and(|script| script.contains('\0') || script.trim().is_empty())
        {
            return wrong("script", "must be a text that is not empty and has no NUL");
        }
        check_environment(&self.env, &self.secrets, |_| false)?;
        match self.wave {
            Some(Wave::Percent(percent)) if percent.get() > 100 => {
                wrong("wave.percent", "must be from 1 to 100")
            }
            _ => Ok(()),
        }
    }
}

impl Data {
    /// The user on a host.
    pub(super) fn user_of<'d>(&'d self, host: &'d Host) -> Option<&'d str> {
        host.user.as_deref().or(self.user.as_deref())
    }

    /// How many hosts are in a wave.
    pub(super) fn wave_size(&self) -> usize {
        let all = self.hosts.len();
        match self.wave {
            None => all,
            Some(Wave::Hosts(hosts)) => usize::from(hosts.get()),
            Some(Wave::Percent(percent)) => all * usize::from(percent.get()) / 100,
        }
        .max(1)
    }

    /// The script with its variables, for a shell. None where there is no script.
    pub(super) fn script_text(&self) -> Option<String> {
        let script = self.script.as_ref()?;
        let mut text = String::new();
        // In one line: the script's own lines have other numbers by no more than that.
        let plain = self.env.iter().map(|(name, value)| (name, value.as_str()));
        let secrets = self.secrets.iter().map(|(name, value)| (name, value.expose()));
        for (name, value) in plain.chain(secrets) {
            text = text + "export " + name + "=" + &quoted(value) + "; ";
        }
        Some(text + "\n" + script)
    }

    fn check_hosts(&self) -> Result<(), TaskError> {
        if self.hosts.is_empty() || self.hosts.len() > MAX_HOSTS {
            return wrong("hosts", "must hold from 1 to 1000 hosts");
        }
        let mut seen = BTreeSet::new();
        for (at, host) in self.hosts.iter().enumerate() {
            let field = format!("hosts[{at}]");
            check_host(&format!("{field}.host"), &host.name)?;
            if let Some(user) = &host.user {
                check_user(&format!("{field}.user"), user)?;
            }
            if !seen.insert((&host.name, host.port)) {
                return wrong(&field, "is there already; a host is worked on once");
            }
        }
        match &self.user {
            Some(user) => check_user("user", user),
            None => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), TaskError> {
        let mut places = BTreeSet::new();
        for (at, file) in self.files.iter().enumerate() {
            let field = |name: &str| format!("files[{at}].{name}");
            if let From::Path(path) = &file.from {
                workspace::read(&field("from.path"), path)?;
            }
            let to = &file.to;
            if !to.starts_with('/')
                || to.ends_with('/')
                || to.len() > MAX_PATH
                || to.contains(char::is_control)
                || to.split('/').any(|name| name == "..")
            {
                return wrong(
                    &field("to"),
                    "must be the absolute path of a file, with its name and without `..`",
                );
            }
            if !places.insert(to) {
                return wrong(&field("to"), "is where another file goes already");
            }
            let octal = |digit: char| ('0'..='7').contains(&digit);
            if !matches!(file.mode().len(), 3 | 4) || !file.mode().chars().all(octal) {
                return wrong(&field("mode"), "must be permissions in octal, such as 0644");
            }
        }
        Ok(())
    }
}

impl File {
    pub(super) fn mode(&self) -> &str {
        self.mode.as_deref().unwrap_or("0644")
    }
}

impl Shell {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Bash => "bash",
        }
    }
}

fn wrong(field: &str, problem: &str) -> Result<(), TaskError> {
    Err(TaskError::data(field, problem))
}
