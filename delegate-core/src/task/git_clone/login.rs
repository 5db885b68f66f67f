//! Credentials, from the data of a task to git and ssh.
//!
//! They are in files of the task's own directory that nobody else may read, and go with it. Command lines and the
//! environment hold the paths only, and `.git/config` nothing.

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::{Address, Further, Transport, scheme};
use crate::Secret;
use crate::task::data::one_line;
use crate::task::files::write_private;
use crate::task::ssh::{Client, SshLogin, quoted};
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
    pub(super) user: String,
    /// Password or token.
    password: Secret,
}

impl Credentials {
    /// What is secret in them.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Https(login) => vec![login.password.clone()],
            Self::Ssh(login) => login.secrets().collect(),
        }
    }

    /// Whether they fit the address and are what they should be.
    pub(super) fn check(&self, address: &Address) -> Result<(), TaskError> {
        match (self, address.transport()) {
            (Self::Https(login), Transport::Https) => {
                one_line("credentials.https.user", &login.user)?;
                one_line("credentials.https.password", login.password.expose())
            }
            (Self::Https(_), Transport::Further(Further::Http)) => Err(TaskError::data(
                "credentials.https",
                "would be sent in the clear; use an https URL",
            )),
            (Self::Ssh(login), Transport::Ssh) => login.check("credentials.ssh"),
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
        let mut login = Self {
            // Whatever the machine or an earlier task configured is not asked, and is not told the password.
            settings: vec!["credential.helper=".to_owned()],
            variables: Vec::new(),
        };
        if let Some(Credentials::Https(https)) = credentials {
            let answer = context.work_dir.join("https-login");
            let text = format!("username={}\npassword={}\n", https.user, https.password.expose());
            write_private(&answer, &text, context.confinement.user.as_ref()).await?;
            let site = address.site().unwrap_or_default();
            let cat = format!("cat {}", quoted(&answer.to_string_lossy()));
            // Git also tells a helper what to store and to erase.
            login.settings.push(format!(
                "credential.{site}.helper=!f() {{ test \"$1\" = get && {cat}; }}; f"
            ));
        }
        let ssh = match credentials {
            Some(Credentials::Ssh(given)) => Client::lay_out(given, context).await?,
            _ => Client::of_the_user(),
        };
        login.variables.push(("GIT_SSH_COMMAND", ssh.command_line()));
        login.variables.extend(ssh.variables);
        Ok(login)
    }
}
