//! The user's own `ssh`: his agent, keys, configuration and known hosts.
//!
//! One connection a destination, shared by everything that goes there at the same time: a master holds it, each command
//! is a session through the master's socket, which lies in a private folder. Nothing is ever asked (`BatchMode`), and
//! host keys are checked as the user has configured it. When this process ends, however it does, so does the master.
//!
//! A command that fails on the other side is no error here; [`SshError`] is for what `ssh` itself says.

mod connection;
mod error;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use connection::{Connection, Connections, Input, Output};
pub use error::SshError;

/// How long a connection may take to come up, when nothing is said.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where to, and with what. Whatever is absent is as the user's configuration of `ssh` says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Name or address, or an alias of the user's configuration.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
    /// User to log in as.
    pub user: Option<String>,
    /// Private key to use, and no other.
    pub identity_file: Option<PathBuf>,
    /// Where the host's key is, instead of the user's own file.
    pub known_hosts_file: Option<PathBuf>,
    /// How long the connection may take to come up.
    pub connect_timeout: Duration,
}

impl Destination {
    /// A destination of which only this is known: `[user@]host[:port]`, an address of IPv6 in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, rest) = text
            .rsplit_once('@')
            .map_or((None, text), |(user, rest)| (Some(user), rest));
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (
                    host,
                    if port.is_empty() {
                        None
                    } else {
                        Some(port.strip_prefix(':')?)
                    },
                )
            }
            None => rest
                .split_once(':')
                .map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
            None => None,
        };
        let fits = is_host(host) && user.is_none_or(is_user);
        fits.then(|| Self {
            host: host.to_owned(),
            port,
            user: user.map(str::to_owned),
            identity_file: None,
            known_hosts_file: None,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
        })
    }
}

/// The same text that [`Destination::parse`] takes.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Whether this can be a host on the command line of `ssh`, and in an import id.
pub fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "._-:%".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
}

/// Whether this can be a user on the command line of `ssh`, and in an import id.
pub fn is_user(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "._-@\\+$".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_what_it_is_written_as() {
        for text in [
            "web",
            "10.0.0.5:2222",
            "deploy@web.example:22",
            "a@b@web",
            "[fe80::1%eth0]:22",
            "u@[::1]",
        ] {
            let destination = Destination::parse(text).unwrap();
            assert_eq!(destination.to_string(), text);
        }
        assert_eq!(Destination::parse("deploy@web:22").unwrap().port, Some(22));
        assert_eq!(Destination::parse("[::1]").unwrap().host, "::1");
    }

    #[test]
    fn what_ssh_would_take_for_an_option_is_no_destination() {
        for text in [
            "",
            "-oProxyCommand=x",
            "-l@web",
            "u@-web",
            "web:",
            "web:0",
            "web:x",
            "we b",
            "[::1",
            "@web",
            "a;b",
        ] {
            assert_eq!(Destination::parse(text), None, "{text:?}");
        }
    }
}
