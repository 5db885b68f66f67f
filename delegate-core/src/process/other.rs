//! Everything that is not Linux: the functions of `linux`, with what the standard library offers.
//!
//! No escapees are found here and no group is asked to end before it is killed; on Windows not even the group is killed,
//! only the child. Untested: no target of ours runs it.

use std::io;
use std::process;
use std::sync::Arc;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::Mutex;

use super::{Confinement, Status};

/// Here there are no bounds, and asking for some is an error.
pub(super) struct Cage;

impl Cage {
    /// See `linux`.
    pub(super) fn make(confinement: &Confinement) -> io::Result<Self> {
        if confinement.bounds() || confinement.user.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "bounds and another user are known on Linux only",
            ));
        }
        Ok(Self)
    }

    /// See `linux`.
    #[expect(clippy::unused_async, reason = "the signature of `linux`")]
    pub(super) async fn remove(self) {}
}

/// A running child. Dropping it before [`Child::reap`] kills it.
pub(super) struct Child {
    process: Mutex<tokio::process::Child>,
    #[cfg(unix)]
    group: Option<nix::unistd::Pid>,
}

/// The read ends of a child's output and the write end of its input.
pub(super) struct Pipes {
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Child {
    /// See `linux`.
    #[expect(clippy::unused_async, reason = "the signature of `linux`")]
    pub(super) async fn spawn(
        command: process::Command,
        _mark: &str,
        _cage: Arc<Cage>,
        _sealed: Option<Arc<Sealed>>,
    ) -> io::Result<(Self, Pipes)> {
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn()?;
        let missing = || io::Error::other("no pipe to the new process");
        let pipes = Pipes {
            stdin: process.stdin.take(),
            stdout: process.stdout.take().ok_or_else(missing)?,
            stderr: process.stderr.take().ok_or_else(missing)?,
        };
        Ok((
            Self {
                #[cfg(unix)]
                group: process
                    .id()
                    .map(|id| nix::unistd::Pid::from_raw(id.cast_signed())),
                process: Mutex::new(process),
            },
            pipes,
        ))
    }

    /// See `linux`; here the child is reaped at once.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.process.lock().await.wait().await.map(drop)
    }

    /// See `linux`.
    pub(super) fn terminate(&self) {
        #[cfg(unix)]
        self.signal(nix::sys::signal::Signal::SIGTERM);
        #[cfg(not(unix))]
        self.kill();
    }

    /// See `linux`; here the whole group is asked.
    pub(super) fn interrupt(&self) {
        #[cfg(unix)]
        self.signal(nix::sys::signal::Signal::SIGINT);
        #[cfg(not(unix))]
        self.kill();
    }

    /// See `linux`.
    pub(super) fn kill(&self) {
        #[cfg(unix)]
        self.signal(nix::sys::signal::Signal::SIGKILL);
        #[cfg(not(unix))]
        if let Ok(mut process) = self.process.try_lock() {
            drop(process.start_kill());
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: nix::sys::signal::Signal) {
        if let Some(group) = self.group {
            drop(nix::sys::signal::killpg(group, signal));
        }
    }

    /// Nothing is known of them here.
    #[expect(
        clippy::unused_async,
        clippy::unused_self,
        reason = "the signature of `linux`"
    )]
    pub(super) async fn leftovers(&self) -> Leftovers {
        Leftovers
    }

    /// See [`Child::leftovers`].
    #[expect(
        clippy::unused_async,
        clippy::unused_self,
        reason = "the signature of `linux`"
    )]
    pub(super) async fn kill_leftovers(&self) -> bool {
        true
    }

    /// See `linux`.
    pub(super) fn reap(self) -> io::Result<Status> {
        let status = self
            .process
            .into_inner()
            .try_wait()?
            .ok_or_else(|| io::Error::other("still running"))?;
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            if let Some(signal) = status.signal() {
                return Ok(Status::Signal(signal));
            }
        }
        Ok(Status::Code(status.code().unwrap_or(-1)))
    }
}

/// Always empty.
pub(super) struct Leftovers;

#[expect(clippy::unused_self, reason = "the signatures of `linux`")]
impl Leftovers {
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn terminate(&self) {}

    #[expect(clippy::unused_async, reason = "the signature of `linux`")]
    pub(super) async fn ended(&self) {}
}

/// See `linux`; there is none here.
pub struct Sealed(std::convert::Infallible);

impl Sealed {
    /// See `linux`.
    pub fn copy(_from: &mut impl io::Read) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "programs can be sealed on Linux only",
        ))
    }

    pub(super) fn command(&self, _name: &std::ffi::OsStr) -> process::Command {
        match self.0 {}
    }
}

/// There is no such thing here.
pub fn become_subreaper() -> io::Result<()> {
    Ok(())
}

/// Nothing is found here.
#[expect(clippy::unused_async, reason = "the signature of `linux`")]
pub async fn kill_marked(_mark: &str) -> usize {
    0
}

/// Nothing is let go of here.
pub fn let_go_of_startup_pages() -> io::Result<()> {
    Ok(())
}
