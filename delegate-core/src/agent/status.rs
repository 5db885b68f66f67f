//! What the agent is doing now: what its loops share, and health and metrics show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::ledger::Ledger;
use super::link::Link;
use super::metrics::Metrics;

/// Shared by all loops of one agent.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) started: Instant,
    pub(super) metrics: Arc<Metrics>,
    pub(super) link: Link,
    pub(super) ledger: Arc<Ledger>,
    draining: AtomicBool,
}

impl Status {
    pub(super) fn new(metrics: Arc<Metrics>, link: Link, ledger: Arc<Ledger>) -> Self {
        Self {
            started: Instant::now(),
            metrics,
            link,
            ledger,
            draining: AtomicBool::new(false),
        }
    }

    /// Takes no new work from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.ledger.close();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether a task that is offered now would be taken, room permitting.
    pub(super) fn takes_work(&self) -> bool {
        !self.is_draining() && self.link.is_connected()
    }
}
