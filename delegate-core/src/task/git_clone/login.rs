//! Credentials, from the data of a task to git and ssh.
//!
//! They are in files of the task's own directory that nobody else may read, and go with it. Command lines and the
//! environment hold the paths only, and `.git/config` nothing.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::{Address, Further, Transport, scheme};
use crate::Secret;
use crate::task::files::{write_private, write_private_program};
use crate::task::{TaskContext, TaskError};

// Its description is that of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Credentials {
    /// A user and a password, which most servers want to be a token. Sent to the host of `url` only, submodules
    /// included.
    Https(HttpsLogin),
    /// A private key, and the keys of the hosts.
    Ssh(SshLogin),
}

// A login of an `https` server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpsLogin {
    /// Name of the user; where a token is the login, what the server asks for, such as `x-access-token`.
    user: String,
    /// Password or token.
    password: Secret,
}

// A login of an ssh server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SshLogin {
    /// The private key, in OpenSSH or PEM form.
    key: Secret,
    /// What the key is encrypted with.
    passphrase: Option<Secret>,
    /// Lines of a `known_hosts` file: a host with another key is refused.
    known_hosts: String,
}

impl Credentials {
    /// What is secret in them.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Https(login) => vec![login.password.clone()],
            Self::Ssh(login) => std::iter::once(login.key.clone())
                .chain(login.passphrase.clone())
                .collect(),
        }
    }

    /// Whether they fit the address and are what they should be.
    pub(super) fn check(&self, address: &Address) -> Result<(), TaskError> {
        let one_line = |path: &str, text: &str| {
            let problem = if text.is_empty() {
                "is empty"
            } else if text.contains(['\n', '\r', '\0']) {
                "has more than one line; a line end at its end is often one too many"
            } else {
                return Ok(());
            };
            Err(TaskError::data(path, problem))
        };
        match (self, address.transport()) {
            (Self::Https(login), Transport::Https) => {
                one_line("credentials.https.user", &login.user)?;
                one_line("credentials.https.password", login.password.expose())
            }
            (Self::Https(_), Transport::Further(Further::Http)) => Err(TaskError::data(
                "credentials.https",
                "would be sent in the clear; use an https URL",
            )),
            (Self::Ssh(login), Transport::Ssh) => {
                if !login.key.expose().contains("-----BEGIN ") {
                    return Err(TaskError::data(
                        "credentials.ssh.key",
                        "is no private key; give the whole file, from its BEGIN line on",
                    ));
                }
                if login.known_hosts.trim().is_empty() {
                    return Err(TaskError::data(
                        "credentials.ssh.known_hosts",
                        "is empty; give the host's key as `ssh-keyscan HOST` prints it, after comparing it",
                    ));
                }
                login.passphrase.as_ref().map_or(Ok(()), |passphrase| {
                    one_line("credentials.ssh.passphrase", passphrase.expose())
                })
            }
            (given, transport) => {
                let field = match given {
                    Self::Https(_) => "credentials.https",
                    Self::Ssh(_) => "credentials.ssh",
                };
                Err(TaskError::data(
                    field,
                    format!("does not fit the URL, which is reached by {}", scheme(transport)),
                ))
            }
        }
    }
}

/// What git is given to log in.
pub(super) struct Login {
    /// Settings, for `-c`.
    pub(super) settings: Vec<String>,
    /// What its ssh is started by, and what asks it for a passphrase.
    pub(super) variables: Vec<(&'static str, String)>,
}

impl Login {
    /// Writes the files.
    pub(super) async fn lay_out(
        address: &Address,
        credentials: Option<&Credentials>,
        context: &TaskContext,
    ) -> Result<Self, TaskError> {
        let user = context.confinement.user.as_ref();
        let file = |name: &str| context.work_dir.join(name);
        let mut login = Self {
            // Whatever the machine or an earlier task configured is not asked, and is not told the password.
            settings: vec!["credential.helper=".to_owned()],
            variables: Vec::new(),
        };
        let mut ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes".to_owned();
        match credentials {
            None => {}
            Some(Credentials::Https(https)) => {
                let answer = file("https-login");
                let text = format!("username={}\npassword={}\n", https.user, https.password.expose());
                write_private(&answer, &text, user).await?;
                let site = address.site().unwrap_or_default();
                let cat = format!("cat {}", quoted(&answer.to_string_lossy()));
                // Git also tells a helper what to store and to erase.
                login.settings.push(format!(
                    "credential.{site}.helper=!f() {{ test \"$1\" = get && {cat}; }}; f"
                ));
            }
            Some(Credentials::Ssh(given)) => {
                let (key, known_hosts) = (file("ssh-key"), file("ssh-known-hosts"));
                write_private(&key, &lines(given.key.expose()), user).await?;
                write_private(&known_hosts, &lines(&given.known_hosts), user).await?;
                ssh = format!(
                    "ssh -F none -i {} -o IdentitiesOnly=yes -o PreferredAuthentications=publickey -o NumberOfPasswordPrompts=1 -o StrictHostKeyChecking=yes -o {} -o GlobalKnownHostsFile=/dev/null",
                    quoted(&for_ssh(&key)),
                    quoted(&format!("UserKnownHostsFile=\"{}\"", for_ssh(&known_hosts))),
                );
                if let Some(passphrase) = &given.passphrase {
                    let (answer, program) = (file("ssh-passphrase"), file("ssh-askpass"));
                    write_private(&answer, &lines(passphrase.expose()), user).await?;
                    let script = format!("#!/bin/sh\nexec cat {}\n", quoted(&answer.to_string_lossy()));
                    write_private_program(&program, &script, user).await?;
                    login.variable("SSH_ASKPASS", program.to_string_lossy());
                    login.variable("SSH_ASKPASS_REQUIRE", "force");
                } else {
                    ssh.push_str(" -o BatchMode=yes");
                }
            }
        }
        login.variable("GIT_SSH_COMMAND", ssh);
        Ok(login)
    }

    fn variable(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.push((name, value.into()));
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path in ssh's own settings, where `%` begins a placeholder.
fn for_ssh(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%%")
}

/// With the line ends that ssh insists on, also at the end.
fn lines(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
