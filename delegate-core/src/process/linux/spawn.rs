//! Starting a child.
//!
//! Every child is forked by one thread that lives as long as the process. The kernel sends the parent death signal
//! when the *thread* that forked ends, so a thread of a pool would take its children along when it is retired.

#![expect(
    unsafe_code,
    reason = "what happens between fork and exec has no safe interface"
)]

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::CommandExt;
use std::process;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, getpid, getppid, setgid, setgroups, setsid, setuid, write};
use tokio::sync::oneshot;

use super::cage::Cage;
use super::sealed::Sealed;

/// Of equals, the kernel kills the job and not the delegate when memory is short. The scale ends at 1000.
const OOM_SCORE: &[u8] = b"500";

type Request = (process::Command, oneshot::Sender<io::Result<process::Child>>);

/// Children that we forked and have not reaped. Held while forking, so that a child is never unknown.
static OURS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// The process ids of our own children, as opposed to those we adopted.
pub(super) fn ours() -> MutexGuard<'static, BTreeSet<u32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program as the leader of a new session, in a cage; `sealed` is what the command runs, where that has no path.
pub(super) async fn spawn(
    mut command: process::Command,
    cage: Arc<Cage>,
    sealed: Option<Arc<Sealed>>,
) -> io::Result<process::Child> {
    let parent = getpid();
    // SAFETY: between fork and exec in a process with threads, only async-signal-safe functions may be called:
    // `prepare` makes plain system calls, takes no lock and allocates nothing, in its errors neither.
    unsafe {
        command.pre_exec(move || prepare(parent, &cage, sealed.as_deref()));
    }
    let (reply, child) = oneshot::channel();
    forker()?
        .send((command, reply))
        .map_err(|_| io::Error::other("the thread that starts programs is gone"))?;
    child
        .await
        .map_err(|_| io::Error::other("the thread that starts programs is gone"))?
}

/// The queue is as long as there are callers waiting, each with one request.
fn forker() -> io::Result<Sender<Request>> {
    static FORKER: OnceLock<Sender<Request>> = OnceLock::new();
    if let Some(sender) = FORKER.get() {
        return Ok(sender.clone());
    }
    let (sender, requests) = channel::<Request>();
    std::thread::Builder::new()
        .name("forker".to_owned())
        .spawn(move || {
            for (mut command, reply) in requests {
                let mut ours = ours();
                let child = command.spawn();
                if let Ok(child) = &child {
                    ours.insert(child.id());
                }
                drop(ours);
                if let Err(Ok(mut child)) = reply.send(child) {
                    // Nobody waits for it any more; it must not run unwatched.
                    drop(child.kill());
                    drop(child.wait());
                    self::ours().remove(&child.id());
                }
            }
        })?;
    // Lost a race: the other thread serves, ours ends with its queue.
    Ok(FORKER.get_or_init(|| sender).clone())
}

/// What a shell's `&` or `nohup` made us ignore is no wish of the child's: a script could not even end itself by it.
fn default_signals() -> io::Result<()> {
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ] {
        // SAFETY: the default action is no function of ours.
        unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl)? };
    }
    Ok(nix::sys::signal::SigSet::empty().thread_set_mask()?)
}

/// Runs in the child, between fork and exec.
fn prepare(parent: Pid, cage: &Cage, sealed: Option<&Sealed>) -> io::Result<()> {
    setsid()?;
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    default_signals()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // A wish, not a condition: in some sandboxes the file cannot be written. Before the user changes, who may not.
    if let Ok(file) = open(
        c"/proc/self/oom_score_adj",
        OFlag::O_WRONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    ) {
        let _ = write(&file, OOM_SCORE);
    }
    if !cage.is_open() {
        cage.enter()?;
        if let Some((uid, gid)) = cage.user {
            setgroups(&[])?;
            setgid(Gid::from_raw(gid))?;
            setuid(Uid::from_raw(uid))?;
        }
    }
    // After the change of user, which takes it off.
    // SAFETY: prctl with these two arguments reads no memory.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, Signal::SIGKILL as libc::c_ulong) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if getppid() != parent {
        // The parent died before the line above: nobody would ever end us.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // What we inherited from whoever started us and do not know of. Marked, not closed, because std reports a failed
    // exec through a descriptor. Kernels before 5.11 cannot; everything we opened ourselves is marked anyway.
    // SAFETY: the call takes three numbers.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    sealed.map_or(Ok(()), Sealed::keep)
}
