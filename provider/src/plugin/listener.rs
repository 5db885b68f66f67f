//! Where the host connects: a unix socket that only this user can reach, or TCP on loopback where there are
//! no unix sockets.
//!
//! The socket lies in a directory of its own with mode 0700, so there is no moment in which someone else could
//! open it, whatever the umask. It goes away with the [`Directory`], and not with the listener, which a task
//! may hold for longer than its owner.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    pin::Pin,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

use super::host::HostEnv;

/// Prefix of the private directory's name, for whoever finds one after a `kill -9`.
const DIRECTORY_PREFIX: &str = "tfplugin-";
/// Name of the socket in it. Short, because a socket's path may have only about 100 bytes.
const SOCKET_NAME: &str = "socket";

/// Why there is no place to listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// No directory gave a working socket, and loopback TCP failed too.
    #[error("listening on {place} (TMPDIR may name another directory: short, and writable)")]
    Bind {
        /// The last place tried.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// `PLUGIN_UNIX_SOCKET_GROUP` could not be applied.
    #[error("giving the group `{group}` of PLUGIN_UNIX_SOCKET_GROUP access to the socket")]
    Group {
        /// As the host named it.
        group: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A listener, and how a host finds it.
#[derive(Debug)]
pub(super) struct Bound {
    listener: Listener,
    network: &'static str,
    address: String,
}

/// The private directory of a socket; removed, with the socket in it, on drop. A TCP port has none.
pub(super) type Directory = Option<TempDir>;

#[derive(Debug)]
enum Listener {
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
    Tcp(TcpListener),
}

impl Bound {
    /// Listens where the host wants it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ListenError`] when neither a socket nor loopback TCP is to be had.
    pub(super) fn new(env: &HostEnv) -> Result<(Self, Directory), ListenError> {
        #[cfg(unix)]
        match bind_unix(env) {
            Ok(bound) => return Ok(bound),
            // A host that asked for a place, or for a group, must not get a port that anyone may connect to.
            Err(error) if env.socket_dir.is_some() || env.socket_group.is_some() => return Err(error),
            Err(error) => tracing::warn!(%error, "there is no unix socket to be had, taking loopback TCP"),
        }
        Ok((bind_tcp(env.ports.clone())?, None))
    }

    /// `unix` or `tcp`, as the handshake line has it.
    pub(super) fn network(&self) -> &'static str {
        self.network
    }

    /// The socket's path, or `address:port`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits for one connection.
    ///
    /// # Errors
    /// Whatever `accept` gives; most are of the moment (out of descriptors), none ends the listener.
    pub(super) async fn accept(&self) -> io::Result<Raw> {
        match &self.listener {
            #[cfg(unix)]
            Listener::Unix(listener) => Ok(Box::pin(listener.accept().await?.0)),
            Listener::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                // Without it, every few calls wait 40 ms for an acknowledgement.
                stream.set_nodelay(true)?;
                Ok(Box::pin(stream))
            }
        }
    }
}

/// Makes the socket where the host wants it, or in the first temporary directory that takes it.
#[cfg(unix)]
fn bind_unix(env: &HostEnv) -> Result<(Bound, Directory), ListenError> {
    let parents = match &env.socket_dir {
        Some(directory) => vec![directory.clone()],
        // The second is the way out when TMPDIR is too long for a socket's path.
        None => vec![std::env::temp_dir(), PathBuf::from("/tmp")],
    };
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    let mut place = String::new();
    for parent in parents {
        match bind_unix_in(&parent) {
            Ok((bound, directory)) => {
                if let Some(group) = &env.socket_group {
                    share_with_group(directory.path(), group).map_err(|source| ListenError::Group {
                        group: group.clone(),
                        source,
                    })?;
                }
                return Ok((bound, Some(directory)));
            }
            Err(error) => (place, failure) = (parent.display().to_string(), error),
        }
    }
    Err(ListenError::Bind {
        place,
        source: failure,
    })
}

#[cfg(unix)]
fn bind_unix_in(parent: &Path) -> io::Result<(Bound, TempDir)> {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::Builder::new()
        .prefix(DIRECTORY_PREFIX)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)?;
    let path = directory.path().join(SOCKET_NAME);
    let address = path.to_str().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path is not UTF-8 and cannot be told to the host",
        )
    })?;
    let listener = Listener::Unix(tokio::net::UnixListener::bind(&path)?);
    Ok((
        Bound {
            listener,
            network: "unix",
            address: address.to_owned(),
        },
        directory,
    ))
}

/// Lets the members of `group`, a name or a number, walk to the socket and use it.
#[cfg(unix)]
fn share_with_group(directory: &Path, group: &str) -> io::Result<()> {
    use std::{fs, os::unix::fs::PermissionsExt};

    use nix::unistd::{Gid, Group};

    let gid = match group.parse() {
        Ok(number) => Gid::from_raw(number),
        Err(_) => {
            Group::from_name(group)?
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such group"))?
                .gid
        }
    };
    for (path, mode) in [
        (directory.join(SOCKET_NAME), 0o660),
        (directory.to_owned(), 0o710),
    ] {
        std::os::unix::fs::chown(&path, None, Some(gid.as_raw()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Listens on a free loopback port, within `ports` when the host gave a range.
fn bind_tcp(ports: Option<RangeInclusive<u16>>) -> Result<Bound, ListenError> {
    let attempt = |port: u16| -> io::Result<Bound> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address: SocketAddr = listener.local_addr()?;
        Ok(Bound {
            listener: Listener::Tcp(TcpListener::from_std(listener)?),
            network: "tcp",
            address: address.to_string(),
        })
    };
    let ports = ports.unwrap_or(0..=0);
    let place = format!(
        "{}, ports {} to {}",
        Ipv4Addr::LOCALHOST,
        ports.start(),
        ports.end()
    );
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for port in ports {
        match attempt(port) {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error,
        }
    }
    Err(ListenError::Bind {
        place,
        source: failure,
    })
}

/// A connection before TLS, of whichever kind.
pub(super) type Raw = Pin<Box<dyn Duplex>>;

/// Both directions of a byte stream.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_passed_over_and_the_range_is_kept() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();

        let error = bind_tcp(Some(port..=port)).expect_err("the only port is taken");
        assert!(
            error.to_string().contains(&format!("ports {port} to {port}")),
            "{error}"
        );

        let range = port..=port.saturating_add(100);
        let bound = bind_tcp(Some(range.clone())).expect("one of them is free");
        let address: SocketAddr = bound.address().parse().expect("an address");
        assert_eq!(
            (bound.network(), address.ip()),
            ("tcp", Ipv4Addr::LOCALHOST.into())
        );
        assert!(
            range.contains(&address.port()) && address.port() != port,
            "{address}"
        );
    }

    #[tokio::test]
    async fn a_tcp_listener_takes_connections() {
        let bound = bind_tcp(None).expect("a free port");
        let address: SocketAddr = bound.address().parse().expect("an address");
        let (ours, theirs) = tokio::join!(bound.accept(), tokio::net::TcpStream::connect(address));
        assert!(ours.is_ok() && theirs.is_ok());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_socket_goes_with_its_directory_even_while_someone_still_listens() {
        let place = tempfile::tempdir().expect("a directory");
        let env = HostEnv {
            socket_dir: Some(place.path().to_owned()),
            ..HostEnv::default()
        };
        let (bound, directory) = Bound::new(&env).expect("a socket");
        assert!(Path::new(bound.address()).exists());
        drop(directory);
        assert_eq!(std::fs::read_dir(place.path()).expect("readable").count(), 0);
        drop(bound);
    }
}
