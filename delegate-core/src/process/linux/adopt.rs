//! Adopting what escapes, and reaping it.
//!
//! A subreaper becomes the parent of every descendant whose own parent ends. That is how a process that left its
//! session is still found, and why somebody must reap those that end by themselves.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, WaitOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{procfs, spawn};

static SUBREAPER: AtomicBool = AtomicBool::new(false);

/// Makes this process the parent of orphaned descendants, and reaps those that end, for as long as the current tokio
/// runtime lives. To be called once, at the start of a program; a library must not.
///
/// Only children are reaped that nobody here waits for: neither those started through this module nor those in our own
/// process group, which some library may have started by its own means.
pub fn become_subreaper() -> io::Result<()> {
    let ended = signal(SignalKind::child())?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    SUBREAPER.store(true, Ordering::Relaxed);
    tokio::spawn(reap_adopted(ended));
    Ok(())
}

/// Whether orphans come to us.
pub(super) fn is_subreaper() -> bool {
    SUBREAPER.load(Ordering::Relaxed)
}

/// Whether we have children, dead ones aside, that we did not start.
pub(super) fn any_adopted() -> bool {
    // The lock comes first: a child that is being forked is ours before it is looked at.
    let ours = spawn::ours();
    procfs::children()
        .into_iter()
        .any(|pid| !ours.contains(&pid) && procfs::stat(pid).is_some_and(|stat| !stat.dead))
}

async fn reap_adopted(mut ended: Signal) {
    let group = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
    while ended.recv().await.is_some() {
        let ours = spawn::ours();
        for pid in procfs::children() {
            let adopted = !ours.contains(&pid)
                && procfs::stat(pid).is_some_and(|stat| stat.dead && stat.group != group);
            if adopted && let Some(pid) = Pid::from_raw(pid.cast_signed()) {
                // Nothing to learn from its status; gone already is fine.
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }
}
