//! What `ssh` says went wrong, and what to do about it.

use std::time::Duration;

use super::Destination;

/// There is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SshError {
    /// The program is not there.
    #[error("there is no program ssh on the PATH; install the OpenSSH client")]
    Missing,
    /// It could not be started, or its private folder not be made.
    #[error("ssh cannot be used: {0}")]
    Local(String),
    /// Nobody has said yet that this host is the right one.
    #[error(
        "the host key of {to} is not known, so it was not connected to: {said}. Make sure that it is the right machine (on it, \
         ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows the fingerprint), then connect once by hand and confirm it: \
         {by_hand}; or put the key into a file and name that in known_hosts_file"
    )]
    UnknownKey {
        /// Where to.
        to: String,
        /// The last line of ssh.
        said: String,
        /// A command to type.
        by_hand: String,
    },
    /// The host is not the one it was.
    #[error(
        "the host key of {to} is not the one that is known for it, so it was not connected to: {said}. Either the machine was made \
         anew or somebody is in between: find out which. If it is the right machine, forget the old key (ssh-keygen -R) and \
         confirm the new one: {by_hand}"
    )]
    ChangedKey {
        /// Where to.
        to: String,
        /// The last line of ssh.
        said: String,
        /// A command to type.
        by_hand: String,
    },
    /// The host does not take what was offered.
    #[error(
        "the machine {to} did not let us in: {said}. Nothing is asked here, so the key has to be in your agent (ssh-add -l) or in \
         identity_file without a passphrase, and allowed on the machine (authorized_keys). By hand: {by_hand}"
    )]
    Denied {
        /// Where to.
        to: String,
        /// The last line of ssh.
        said: String,
        /// A command to type.
        by_hand: String,
    },
    /// No connection, or one that broke off.
    #[error(
        "the machine {to} cannot be reached over ssh: {said}. Check that the machine is up and the address right. By hand: {by_hand}"
    )]
    Unreachable {
        /// Where to.
        to: String,
        /// The last line of ssh.
        said: String,
        /// A command to type.
        by_hand: String,
    },
    /// A command took too long.
    #[error("the machine {to} did not answer within {} s over ssh; it may be overloaded, or its disk stuck", limit.as_secs())]
    Slow {
        /// Where to.
        to: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// It was interrupted.
    #[error("interrupted while connected to {to}")]
    Stopped {
        /// Where to.
        to: String,
    },
}

impl SshError {
    /// What the lines that `ssh` has written mean.
    pub(super) fn of_lines<'a>(to: &Destination, lines: impl Iterator<Item = &'a str>) -> Self {
        let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        let has = |part: &str| lines.iter().any(|line| line.contains(part));
        let said = lines
            .last()
            .map_or("it ended without a word", |line| line.trim_end_matches('.'))
            .to_owned();
        let (to, by_hand) = (to.to_string(), by_hand(to));
        if has("IDENTIFICATION HAS CHANGED") || has("host key has just changed") || has("REVOKED HOST KEY") {
            Self::ChangedKey { to, said, by_hand }
        } else if has("Host key verification failed") || has("host key is known for") {
            Self::UnknownKey { to, said, by_hand }
        } else if has("Permission denied") || has("Too many authentication failures") {
            Self::Denied { to, said, by_hand }
        } else {
            Self::Unreachable { to, said, by_hand }
        }
    }
}

/// The same connection, as a person would make it.
fn by_hand(to: &Destination) -> String {
    let mut line = String::from("ssh");
    if let Some(port) = to.port {
        line += &format!(" -p {port}");
    }
    if let Some(file) = &to.identity_file {
        line += &format!(" -i {}", file.display());
    }
    if let Some(file) = &to.known_hosts_file {
        line += &format!(" -o UserKnownHostsFile={}", file.display());
    }
    if let Some(user) = &to.user {
        line += &format!(" -l {user}");
    }
    format!("{line} {}", to.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_ssh_has_its_own_advice() {
        let to = Destination {
            identity_file: Some("/k".into()),
            ..Destination::parse("deploy@web:2222").unwrap()
        };
        for (lines, part) in [
            (
                "No ED25519 host key is known for web and you have requested strict checking.\nHost key verification failed.",
                "is not known",
            ),
            (
                "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
                "ssh-keygen -R",
            ),
            ("deploy@web: Permission denied (publickey).", "did not let us in"),
            (
                "ssh: connect to host web port 2222: Connection refused",
                "port 2222: Connection refused. Check",
            ),
            ("", "without a word"),
        ] {
            let error = SshError::of_lines(&to, lines.lines()).to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.contains("deploy@web:2222"), "{error}");
            assert!(
                error.ends_with("-p 2222 -i /k -l deploy web") || error.contains("known_hosts_file"),
                "{error}"
            );
        }
    }
}
