//! A running child and what it started.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::{self, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe;

use super::cage::Cage;
use super::handle::Handle;
use super::sealed::Sealed;
use super::{adopt, procfs, spawn};
use crate::process::{MARK, Status};

/// Processes that fork while they are being killed are caught in the next round; whoever survives this many forks
/// faster than we can look.
const KILL_ROUNDS: usize = 20;

/// How long a killed process may take to vanish before the next round.
const KILL_TIME: Duration = Duration::from_millis(200);

/// A running child. Dropping it before [`Child::reap`] kills its group.
pub(in crate::process) struct Child {
    /// Taken when it is reaped.
    process: Option<process::Child>,
    handle: Handle,
    mark: String,
}

/// The read ends of a child's output and the write end of its input.
pub(in crate::process) struct Pipes {
    pub(in crate::process) stdin: Option<pipe::Sender>,
    pub(in crate::process) stdout: pipe::Receiver,
    pub(in crate::process) stderr: pipe::Receiver,
}

impl Child {
    /// Starts a program as the leader of its own session. `command` has its three standard streams set, both outputs
    /// as pipes, and [`MARK`] set to `mark` in its environment; `sealed` is what it runs, where that has no path.
    pub(in crate::process) async fn spawn(
        command: process::Command,
        mark: &str,
        cage: Arc<Cage>,
        sealed: Option<Arc<Sealed>>,
    ) -> io::Result<(Self, Pipes)> {
        let process = spawn::spawn(command, cage, sealed).await?;
        let missing = || io::Error::other("no handle on the new process");
        let Some(handle) = Handle::open(process.id()) else {
            // Cannot be: an unreaped child has its id. If it is, it must not run unwatched.
            reap_in_background(process);
            return Err(missing());
        };
        let mut child = Self {
            process: Some(process),
            handle,
            mark: mark.to_owned(),
        };
        let streams = child.process.as_mut().ok_or_else(missing)?;
        let (stdin, stdout, stderr) = (streams.stdin.take(), streams.stdout.take(), streams.stderr.take());
        let pipes = Pipes {
            stdin: stdin
                .map(|end| pipe::Sender::from_owned_fd(end.into()))
                .transpose()?,
            stdout: pipe::Receiver::from_owned_fd(stdout.ok_or_else(missing)?.into())?,
            stderr: pipe::Receiver::from_owned_fd(stderr.ok_or_else(missing)?.into())?,
        };
        Ok((child, pipes))
    }

    /// Waits until the leader has ended. What it started may go on.
    pub(in crate::process) async fn ended(&self) -> io::Result<()> {
        self.handle.ended().await
    }

    /// Asks the whole group to end.
    pub(in crate::process) fn terminate(&self) {
        self.signal_group(Signal::TERM);
    }

    /// Asks the leader to end, and nobody else.
    pub(in crate::process) fn interrupt(&self) {
        self.handle.signal(Signal::INT);
    }

    /// Ends the whole group.
    pub(in crate::process) fn kill(&self) {
        self.signal_group(Signal::KILL);
    }

    /// What the child started and is still running. Cheap when there is nothing.
    pub(in crate::process) async fn leftovers(&self) -> Leftovers {
        let group = self.handle.id();
        if adopt::is_subreaper() && !adopt::any_adopted() {
            // Whatever outlives the leader would be ours by now.
            return Leftovers(Vec::new());
        }
        Leftovers(find(Some(group), self.mark.clone()).await)
    }

    /// Ends everything the child started, those that left its session too. False when some of it could not be ended.
    pub(in crate::process) async fn kill_leftovers(&self) -> bool {
        kill_all(Some(self.handle.id()), &self.mark).await.1
    }

    /// Takes the exit status; to be called when [`Child::ended`] has returned.
    pub(in crate::process) fn reap(mut self) -> io::Result<Status> {
        let mut process = self
            .process
            .take()
            .ok_or_else(|| io::Error::other("already reaped"))?;
        let status = process.wait()?;
        spawn::ours().remove(&process.id());
        Ok(status_of(status))
    }

    fn signal_group(&self, signal: Signal) {
        if self.process.is_some()
            && let Some(group) = Pid::from_raw(self.handle.id().cast_signed())
            && let Err(error) = rustix::process::kill_process_group(group, signal)
        {
            tracing::debug!(group = self.handle.id(), %error, "cannot signal the group");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if let Some(process) = self.process.take() {
            reap_in_background(process);
        }
    }
}

/// Other processes that belong to a child.
pub(in crate::process) struct Leftovers(Vec<Handle>);

impl Leftovers {
    pub(in crate::process) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks each to end.
    pub(in crate::process) fn terminate(&self) {
        self.0.iter().for_each(|handle| handle.signal(Signal::TERM));
    }

    /// Waits until none is left.
    pub(in crate::process) async fn ended(&self) {
        join_all(self.0.iter().map(Handle::ended)).await;
    }
}

/// Ends every process with this value of [`MARK`], whoever started it, and says how many there were: what a run left
/// behind when the program that watched it was killed.
pub async fn kill_marked(mark: &str) -> usize {
    kill_all(None, mark).await.0
}

/// Returns how many were killed, and whether none is left.
async fn kill_all(group: Option<u32>, mark: &str) -> (usize, bool) {
    let mut killed = std::collections::BTreeSet::new();
    for _ in 0..KILL_ROUNDS {
        let left = Leftovers(find(group, mark.to_owned()).await);
        if left.is_empty() {
            return (killed.len(), true);
        }
        for handle in &left.0 {
            handle.signal(Signal::KILL);
            killed.insert(handle.id());
        }
        // Not an error: one that does not vanish in time is met again in the next round.
        drop(tokio::time::timeout(KILL_TIME, left.ended()).await);
    }
    tracing::warn!(mark, "processes are left that could not be ended");
    (killed.len(), false)
}

/// Finds the members of a group, without its leader, and everybody with the mark, without ourselves.
async fn find(group: Option<u32>, mark: String) -> Vec<Handle> {
    let entry = [MARK.as_bytes(), b"=", OsStr::new(&mark).as_bytes()].concat();
    let belongs = move |pid: u32| {
        pid != process::id()
            && Some(pid) != group
            && procfs::stat(pid).is_some_and(|stat| {
                let may_be = !stat.dead && !stat.of_kernel;
                may_be && (Some(stat.group) == group || procfs::has_mark(pid, &entry))
            })
    };
    let scan = tokio::task::spawn_blocking(move || {
        let found: Vec<u32> = procfs::all().into_iter().filter(|&pid| belongs(pid)).collect();
        (found, belongs)
    });
    let Ok((found, belongs)) = scan.await else {
        return Vec::new();
    };
    // Held first, then looked at again: the id may have changed hands in between, the handle cannot.
    found
        .into_iter()
        .filter_map(|pid| Handle::open(pid).filter(|_| belongs(pid)))
        .collect()
}

/// A killed process that nobody waits for any more. It ends soon, unless the kernel holds it; a thread can wait.
fn reap_in_background(mut process: process::Child) {
    let wait = move || {
        drop(process.kill());
        drop(process.wait());
        spawn::ours().remove(&process.id());
    };
    if let Err(error) = std::thread::Builder::new().name("reaper".to_owned()).spawn(wait) {
        tracing::warn!(%error, "cannot reap a killed process");
    }
}

fn status_of(status: ExitStatus) -> Status {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Status::Code(code),
        (None, Some(signal)) => Status::Signal(signal),
        // wait() reports no stopped children, so one of the two is there.
        (None, None) => Status::Code(-1),
    }
}
