//! How an agent is told to stop, from outside.

use tokio::sync::watch;

/// How far a stop goes. A stop is never taken back, and a greater one includes the smaller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// Take no new task; finish and answer what runs.
    Drain,
    /// End what runs as `ABORTED`, and answer it.
    Cancel,
}

/// Gives the order. Dropping it gives none.
#[derive(Debug, Clone)]
pub struct ShutdownHandle(watch::Sender<Stop>);

impl ShutdownHandle {
    /// Orders a stop, unless one as great has been ordered already.
    pub fn stop(&self, how: Stop) {
        self.0.send_if_modified(|now| {
            let more = how > *now;
            if more {
                *now = how;
            }
            more
        });
    }
}

/// Receives the order; [`crate::agent::Agent::run`] takes one.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Stop>);

impl Shutdown {
    /// Waits for a stop of at least this extent. Cancellation safe.
    pub(super) async fn at_least(&mut self, how: Stop) {
        if self.0.wait_for(|now| *now >= how).await.is_err() {
            // Nobody is left who could order one.
            std::future::pending::<()>().await;
        }
    }

    /// What was ordered so far.
    pub(super) fn now(&self) -> Stop {
        *self.0.borrow()
    }
}

/// A pair of both ends.
pub fn shutdown() -> (ShutdownHandle, Shutdown) {
    let (sender, receiver) = watch::channel(Stop::No);
    (ShutdownHandle(sender), Shutdown(receiver))
}
