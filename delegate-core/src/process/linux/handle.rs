//! A hold on a process: to signal it, and to learn that it ended, without reaping it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::procfs;

/// How often a process without a pidfd is looked at (kernels before 5.3, some sandboxes).
const POLL: Duration = Duration::from_millis(20);

/// A hold on one process.
pub(super) struct Handle {
    pid: Pid,
    /// Readable when the process has ended. Absent where the kernel has no such thing.
    fd: Option<AsyncFd<OwnedFd>>,
}

impl Handle {
    /// Takes hold of a process. `None` when it is gone.
    pub(super) fn open(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => watched(fd),
            Err(rustix::io::Errno::SRCH) => return None,
            Err(_) => None,
        };
        Some(Self { pid, fd })
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal; a process that is gone is fine.
    pub(super) fn signal(&self, signal: Signal) {
        let sent = match &self.fd {
            Some(fd) => rustix::process::pidfd_send_signal(fd, signal),
            None => rustix::process::kill_process(self.pid, signal),
        };
        if let Err(error) = sent
            && error != rustix::io::Errno::SRCH
        {
            tracing::debug!(pid = self.id(), %error, "cannot signal");
        }
    }

    /// Waits for the end of the process, reaped or not.
    pub(super) async fn ended(&self) -> io::Result<()> {
        if let Some(fd) = &self.fd {
            fd.readable().await?.retain_ready();
            return Ok(());
        }
        let mut tick = tokio::time::interval(POLL);
        while !self.has_ended() {
            tick.tick().await;
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::Pid(self.pid), peek) {
            Ok(state) => state.is_some(),
            // Not our child.
            Err(_) => procfs::stat(self.id()).is_none_or(|stat| stat.dead),
        }
    }
}

/// `None`, and then looking at the process from time to time, when the reactor cannot take another descriptor.
#[expect(
    unsafe_code,
    reason = "tokio asks us to promise that the descriptor stays open"
)]
fn watched(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the AsyncFd, which is never taken apart: it is closed with it, not before.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.ok()
}
