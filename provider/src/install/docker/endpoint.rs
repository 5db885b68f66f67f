//! Which engine: from arguments and environment to an address and what opens it. Nothing is contacted here.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::DockerError;
use super::registry::Login;
use crate::install::cluster::expand_home;

/// Where an engine listens when nothing else is said.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Port of an engine with TLS, and without.
const TLS_PORT: u16 = 2376;
const PLAIN_PORT: u16 = 2375;

/// The `docker` argument of the provider, or that of one resource laid over it.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `unix://…`, `tcp://host:port` or `ssh://user@host`; `DOCKER_HOST` when absent.
    pub host: Option<String>,
    /// Folder with `ca.pem`, `cert.pem` and `key.pem`; `DOCKER_CERT_PATH` when absent.
    pub cert_path: Option<String>,
    /// Further arguments of the `ssh` program.
    pub ssh_opts: Vec<String>,
    /// Logins of registries, by the registry's address.
    pub registries: Vec<Login>,
}

/// An address of an engine, with what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A port; with TLS when a folder of certificates is named.
    Tcp {
        host: String,
        port: u16,
        certificates: Option<PathBuf>,
    },
    /// A machine that the user's `ssh` program reaches and that has the `docker` program.
    Ssh {
        destination: String,
        port: Option<u16>,
        /// Socket on that machine, when it is not that of its `docker` program's choice.
        socket: Option<String>,
        options: Vec<String>,
    },
}

impl Endpoint {
    /// The endpoint that a target leads to.
    ///
    /// # Errors
    /// When the address is none that can be used.
    pub(super) fn of(target: &Target) -> Result<Self, DockerError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (host, from_environment) = match (&target.host, variable("DOCKER_HOST")) {
            (Some(host), _) => (host.clone(), false),
            (None, Some(host)) => (host, true),
            (None, None) => (format!("unix://{DEFAULT_SOCKET}"), true),
        };
        // The environment's certificates belong to the environment's engine.
        let certificates = target.cert_path.clone().or_else(|| {
            let by_environment = from_environment && variable("DOCKER_TLS_VERIFY").is_some();
            let path = variable("DOCKER_CERT_PATH");
            by_environment.then(|| path.unwrap_or_else(|| "~/.docker".to_owned()))
        });
        Self::parse(
            &host,
            certificates.as_deref().map(expand_home),
            &target.ssh_opts,
        )
        .ok_or_else(|| {
            DockerError::Target(format!(
                "{host:?} is no address of a Docker engine; give unix:///var/run/docker.sock, tcp://host:2376 or \
                         ssh://user@host"
            ))
        })
    }

    fn parse(host: &str, certificates: Option<PathBuf>, ssh_options: &[String]) -> Option<Self> {
        if let Some(path) = host.strip_prefix("unix://") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let url: Url = host.parse().ok()?;
        let name = url.host_str().filter(|name| !name.is_empty())?;
        match url.scheme() {
            "tcp" | "https" | "http" if matches!(url.path(), "" | "/") => {
                let default = if certificates.is_some() {
                    TLS_PORT
                } else {
                    PLAIN_PORT
                };
                Some(Self::Tcp {
                    host: name.trim_matches(['[', ']']).to_owned(),
                    port: url.port().unwrap_or(default),
                    certificates,
                })
            }
            // A name that begins with '-' would be an option of the program.
            "ssh" if url.password().is_none() && !name.starts_with('-') => {
                let name = name.trim_matches(['[', ']']);
                let destination = match url.username() {
                    "" => name.to_owned(),
                    user => format!("{user}@{name}"),
                };
                let socket = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
                (!destination.starts_with('-')).then(|| Self::Ssh {
                    destination,
                    port: url.port(),
                    socket: socket.map(str::to_owned),
                    options: ssh_options.to_vec(),
                })
            }
            _ => None,
        }
    }

    /// The name of this engine in an import id: `localhost` for the usual socket of this machine.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Unix(path) if path == Path::new(DEFAULT_SOCKET) => "localhost".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colons = |host: &str| host.contains(':');
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if colons(host) => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh {
                destination,
                port,
                socket,
                ..
            } => {
                write!(f, "ssh://{destination}")?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
        }
    }
}

/// The name of a target's engine in an import id; `None` when the target cannot be used.
pub fn place_of(target: &Target) -> Option<String> {
    Endpoint::of(target).ok().map(|endpoint| endpoint.place())
}

/// The `host` argument that an import id's place stands for; none for the usual one.
pub fn host_of_place(place: &str) -> Option<&str> {
    (place != "localhost").then_some(place)
}

/// Whether `text` can be a `host` argument.
pub fn is_host(text: &str) -> bool {
    Endpoint::parse(text, None, &[]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for text in [
            "unix:///run/x.sock",
            "tcp://10.0.0.1:2376",
            "tcp://[::1]:2375",
            "ssh://root@build-1:2222/run/docker.sock",
            "ssh://build-1",
        ] {
            assert_eq!(Endpoint::parse(text, None, &[]).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "docker",
            "unix://x",
            "tcp://",
            "ftp://x",
            "tcp://x/path",
            "ssh://-oProxyCommand=x",
            "ssh://u:password@x",
            "npipe:////./pipe/docker_engine",
        ] {
            assert_eq!(Endpoint::parse(text, None, &[]), None, "{text}");
        }
    }

    #[test]
    fn the_port_follows_the_certificates() {
        let port = |certificates: Option<&str>| match Endpoint::parse(
            "tcp://x",
            certificates.map(PathBuf::from),
            &[],
        ) {
            Some(Endpoint::Tcp { port, .. }) => port,
            other => panic!("{other:?}"),
        };
        assert_eq!((port(None), port(Some("/certs"))), (PLAIN_PORT, TLS_PORT));
    }
}
