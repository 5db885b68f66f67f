//! When the process ends.
//!
//! | what happens | what it means |
//! |---|---|
//! | `GRPCController.Shutdown` | the host is done with us: end at once (see [`services`](super::services)) |
//! | SIGINT | the user pressed Ctrl-C, and the terminal told the whole process group: not for us, the host sends `StopProvider` |
//! | SIGTERM, SIGHUP | somebody ends us: stop the work, tidy up, go |
//! | another parent | the host died without a word: the same |
//!
//! In debug serving there is no host that owns us: SIGINT and SIGTERM end us, parents do not matter.

use std::{io, time::Duration};

use tokio::time;

/// How often the parent is looked at: a provider without host lives this much longer, and a look costs nothing.
///
/// Looking beats being told. Linux can send a signal when a parent ends, but it takes the end of the parent's
/// *thread* for that, and hosts start plugins from whichever thread is at hand. Closed pipes say nothing either.
const PARENT_LOOK: Duration = Duration::from_millis(500);

/// Why the server is to end, other than by the host's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The process that started us is gone.
    Orphaned,
    /// Whoever embeds the server has enough of it.
    Released,
    /// A signal that ends programs.
    Signal(&'static str),
}

/// The process that started this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent(#[cfg(unix)] nix::unistd::Pid);

impl Parent {
    /// To be asked first thing in the process: a parent that is gone by then cannot be told from an adoptive one.
    pub(super) fn now() -> Self {
        Self(
            #[cfg(unix)]
            nix::unistd::getppid(),
        )
    }

    /// Waits until somebody else is our parent.
    async fn gone(self) {
        let mut look = time::interval(PARENT_LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        while Self::now() == self {
            look.tick().await;
        }
    }
}

/// From now on signals are ours: SIGINT does nothing, the others come out of [`ending`](Self::ending).
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes over the signals, for the life of the process. Must be called within a tokio runtime.
    ///
    /// Children are not affected: a handler, unlike an ignored signal, is not inherited.
    ///
    /// # Errors
    /// The system refused to install a handler.
    #[cfg(unix)]
    pub(super) fn take() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the end of a process that a host started.
    #[cfg(unix)]
    pub(super) async fn hosted_ending(mut self, parent: Parent) -> Ending {
        tokio::select! {
            () = parent.gone() => Ending::Orphaned,
            _ = self.terminate.recv() => Ending::Signal("SIGTERM"),
            _ = self.hangup.recv() => Ending::Signal("SIGHUP"),
        }
    }

    /// Waits for the end of a process that a person started.
    #[cfg(unix)]
    pub(super) async fn debug_ending(mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Signal("SIGINT"),
            _ = self.terminate.recv() => Ending::Signal("SIGTERM"),
            _ = self.hangup.recv() => Ending::Signal("SIGHUP"),
        }
    }

    /// On other systems Ctrl-C is what there is.
    #[cfg(not(unix))]
    pub(super) fn take() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Listening for Ctrl-C is what keeps it from ending us.
    #[cfg(not(unix))]
    pub(super) async fn hosted_ending(self, _parent: Parent) -> Ending {
        loop {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for the end of a process that a person started.
    #[cfg(not(unix))]
    pub(super) async fn debug_ending(self) -> Ending {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Ending::Signal("Ctrl-C")
    }
}
