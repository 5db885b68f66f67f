//! What the agent is doing now: what its loops share, and health and metrics show.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::ledger::Ledger;
use super::link::Link;
use super::metrics::{Gauges, Metrics};

/// Shared by all loops of one agent.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) started: Instant,
    pub(super) metrics: Arc<Metrics>,
    pub(super) link: Link,
    pub(super) ledger: Arc<Ledger>,
    draining: AtomicBool,
    journal: PathBuf,
}

impl Status {
    pub(super) fn new(metrics: Arc<Metrics>, link: Link, ledger: Arc<Ledger>, journal: PathBuf) -> Self {
        Self {
            started: Instant::now(),
            metrics,
            link,
            ledger,
            draining: AtomicBool::new(false),
            journal,
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

    /// Size of the journal's files.
    fn journal_bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.journal).into_iter().flatten();
        files
            .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
            .sum()
    }

    /// What health and metrics look up when asked.
    pub(super) fn gauges(&self) -> Gauges {
        let (executing, undelivered) = self.ledger.counts();
        Gauges {
            connected: self.link.is_connected(),
            executing,
            capacity: self.ledger.capacity(),
            undelivered,
            draining: self.is_draining(),
            overloaded: self.ledger.is_overloaded(),
            streaming: self.link.is_streaming(),
            silence: self.link.connection.silence(),
            journal_bytes: self.journal_bytes(),
        }
    }

    /// Whether a task that is offered now would be taken, room permitting.
    pub(super) fn takes_work(&self) -> bool {
        !self.is_draining() && self.link.is_connected()
    }
}
