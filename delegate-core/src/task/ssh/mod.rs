//! Reaching other machines by the `ssh` program: who one is there, and running something there.
//!
//! A login is laid out in files of the task's own directory that nobody else may read; command lines and the environment
//! hold their paths only. A host whose key is not among the known ones is refused, always.

mod client;
mod remote;

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::Deserialize;

use super::TaskError;
use super::data::one_line;
use crate::Secret;

pub(super) use client::Client;
pub(super) use remote::{Leftovers, PROGRAM, Remote, Run, check_host, check_user, failure_of, new_folder};

// A login of an ssh server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SshLogin {
    /// The private key, in OpenSSH or PEM form.
    pub(super) key: Secret,
    /// What the key is encrypted with.
    pub(super) passphrase: Option<Secret>,
    /// Lines of a `known_hosts` file: a host with another key is refused.
    pub(super) known_hosts: String,
}

impl SshLogin {
    /// What is secret in it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Secret> {
        std::iter::once(self.key.clone()).chain(self.passphrase.clone())
    }

    /// Whether it is what it should be. `field` is its own path.
    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let wrong = |name: &str, problem: &str| Err(TaskError::data(format!("{field}.{name}"), problem));
        if !self.key.expose().contains("-----BEGIN ") {
            return wrong(
                "key",
                "is no private key; give the whole file, from its BEGIN line on",
            );
        }
        if self.known_hosts.trim().is_empty() {
            return wrong(
                "known_hosts",
                "is empty; give the host's key as `ssh-keyscan HOST` prints it, after comparing it",
            );
        }
        match &self.passphrase {
            Some(passphrase) => one_line(&format!("{field}.passphrase"), passphrase.expose()),
            None => Ok(()),
        }
    }
}

// A host, and who logs in there. Its description is that of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SshHost {
    /// Name or address.
    pub(super) host: String,
    /// Its port. Default: 22.
    port: Option<NonZeroU16>,
    /// The user there. Default: the name of the user who runs the delegate's tasks.
    user: Option<String>,
    /// What lets us in, and the host's key.
    pub(super) login: SshLogin,
}

impl SshHost {
    /// Whether it is what it should be. `field` is its own path.
    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        check_host(&format!("{field}.host"), &self.host)?;
        if let Some(user) = &self.user {
            check_user(&format!("{field}.user"), user)?;
        }
        self.login.check(&format!("{field}.login"))
    }

    /// It, as `client` reaches it.
    pub(super) fn reached_by<'t>(&'t self, client: &'t Client) -> Remote<'t> {
        Remote {
            host: &self.host,
            port: self.port.map(NonZeroU16::get),
            user: self.user.as_deref(),
            client,
        }
    }
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
