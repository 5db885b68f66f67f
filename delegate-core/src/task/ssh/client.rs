//! How `ssh` is started: its options, and what answers when it asks.

use std::path::Path;

use super::{SshLogin, quoted};
use crate::task::files::{write_private, write_private_program};
use crate::task::{TaskContext, TaskError};

/// The options and environment of `ssh` for one login.
#[derive(Clone)]
pub(in crate::task) struct Client {
    /// For its command line.
    pub(super) options: Vec<String>,
    /// For its environment.
    pub(in crate::task) variables: Vec<(&'static str, String)>,
}

impl Client {
    /// Whom the ssh configuration of the delegate's user names, and the hosts that this user knows.
    pub(in crate::task) fn of_the_user() -> Self {
        let mut client = Self {
            options: Vec::new(),
            variables: Vec::new(),
        };
        client.set("BatchMode=yes");
        client.set("StrictHostKeyChecking=yes");
        client
    }

    /// Writes the files of a login into the task's directory. Nothing of the machine's or a user's own configuration is
    /// read.
    pub(in crate::task) async fn lay_out(login: &SshLogin, context: &TaskContext) -> Result<Self, TaskError> {
        let user = context.confinement.user.as_ref();
        let file = |name: &str| context.work_dir.join(name);
        let (key, known_hosts) = (file("ssh-key"), file("ssh-known-hosts"));
        write_private(&key, &lines(login.key.expose()), user).await?;
        write_private(&known_hosts, &lines(&login.known_hosts), user).await?;
        let mut client = Self {
            options: ["-F", "none", "-i", &in_settings(&key)].map(str::to_owned).into(),
            variables: Vec::new(),
        };
        for setting in [
            "IdentitiesOnly=yes",
            "PreferredAuthentications=publickey",
            "NumberOfPasswordPrompts=1",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=/dev/null",
        ] {
            client.set(setting);
        }
        client.set(&format!("UserKnownHostsFile=\"{}\"", in_settings(&known_hosts)));
        if let Some(passphrase) = &login.passphrase {
            let (answer, program) = (file("ssh-passphrase"), file("ssh-askpass"));
            write_private(&answer, &lines(passphrase.expose()), user).await?;
            let script = format!("#!/bin/sh\nexec cat {}\n", quoted(&answer.to_string_lossy()));
            write_private_program(&program, &script, user).await?;
            let program = program.to_string_lossy().into_owned();
            client.variables.push(("SSH_ASKPASS", program));
            client.variables.push(("SSH_ASKPASS_REQUIRE", "force".to_owned()));
        } else {
            client.set("BatchMode=yes");
        }
        Ok(client)
    }

    /// With what ssh tells of the connection on its standard error, each line of which begins with `debug1: `.
    #[must_use]
    pub(in crate::task) fn telling_more(mut self) -> Self {
        self.set("LogLevel=DEBUG1");
        self
    }

    /// As a line for a shell, for programs that start `ssh` themselves.
    pub(in crate::task) fn command_line(&self) -> String {
        let mut line = super::PROGRAM.to_owned();
        for option in &self.options {
            line.push(' ');
            line.push_str(&quoted(option));
        }
        line
    }

    pub(super) fn set(&mut self, setting: &str) {
        self.options.extend(["-o".to_owned(), setting.to_owned()]);
    }
}

/// A path in ssh's own settings, where `%` begins a placeholder.
fn in_settings(path: &Path) -> String {
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
