//! What sends one log: opens the stream, appends batch after batch, closes it, and removes the spool.
//!
//! Tries for ever while the task runs, and for [`LINGER`] afterwards. What is left then is uploaded in one piece, or lost
//! and counted. When the process ends before, the spool stays, and its next life goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Shared;
use super::batch::Amount;
use super::spool::Spool;
use crate::agent::backoff::Backoff;
use crate::agent::events::Recorder as _;
use crate::agent::status::Status;
use crate::protocol::logs::{LogServiceCallError, LogWrite, TaskLog};
use crate::protocol::wire::LogLine;

/// Time between two batches: half of the 200 ms within which a line is live, the rest is for the network.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Lines of one batch. With the longest line of 70 KiB the bound of bytes is met first.
const BATCH_LINES: usize = 1000;

/// How long the rest of a log is tried for after its task, in the background: the restart of a log service. What waits
/// is on disk, so it costs little to wait.
const LINGER: Duration = Duration::from_secs(600);

/// The worker of one log.
pub(super) struct Worker {
    shared: Arc<Shared>,
    log: TaskLog,
    status: Arc<Status>,
    /// An earlier life has opened the stream. Opening it again would empty it at some services.
    is_open: bool,
    last_sent: Option<Instant>,
}

/// The service will not take this log as a stream, or the runtime ends.
struct NoStream;

/// Counts a log among those that are being sent.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.logs.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.logs.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, log: TaskLog, status: Arc<Status>, is_open: bool) -> Self {
        Self {
            shared,
            log,
            status,
            is_open,
            last_sent: None,
        }
    }

    pub(super) async fn run(mut self) {
        if !self.wait_for_lines().await && !self.is_open {
            // A task that said nothing leaves no log, and has no files.
            if self.shared.flow().held > 0 {
                self.shared.work(Spool::remove).await;
            }
            return;
        }
        let _counted = Counted::new(&self.shared);
        if self.stream().await.is_err() {
            self.wait_for_end().await;
            self.upload().await;
        }
        self.shared.work(Spool::remove).await;
    }

    /// Opens the stream, sends until the log is closed and empty, closes the stream.
    async fn stream(&mut self) -> Result<(), NoStream> {
        if !self.is_open {
            self.write(LogWrite::Open).await?;
        }
        while self.wait_for_lines().await {
            if let Some(last) = self.last_sent {
                self.pace(last).await;
            }
            let most = self.shared.logs.batch_bytes();
            let batch = self.shared.work(move |spool| spool.next(most, BATCH_LINES)).await;
            let batch = batch.ok_or(NoStream)?;
            self.write(LogWrite::Append(&batch)).await?;
            drop(batch);
            self.last_sent = Some(Instant::now());
            self.shared.flow().moved = self.last_sent;
            self.shared.work(Spool::taken).await.ok_or(NoStream)?;
            self.shared.room.notify_waiters();
        }
        self.write(LogWrite::Close).await
    }

    /// True when there are lines, false when there will be none any more.
    async fn wait_for_lines(&self) -> bool {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let flow = self.shared.flow();
                if flow.waiting.lines > 0 {
                    return true;
                }
                if flow.closed && !flow.writing {
                    return false;
                }
            }
            arrived.await;
        }
    }

    async fn wait_for_end(&self) {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let flow = self.shared.flow();
                if flow.closed && !flow.writing {
                    return;
                }
            }
            arrived.await;
        }
    }

    /// Lets lines gather, unless there is a batch already or nothing more will come.
    async fn pace(&self, last: Instant) {
        let due = last + FLUSH_EVERY;
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let flow = self.shared.flow();
                let Amount { lines, bytes } = flow.waiting;
                if flow.closed
                    || lines >= BATCH_LINES as u64
                    || bytes >= self.shared.logs.batch_bytes() as u64
                {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = arrived => {}
            }
        }
    }

    /// Writes until it works, is refused for good, or the log has been closed for too long.
    async fn write(&self, what: LogWrite<'_>) -> Result<(), NoStream> {
        let mut backoff = Backoff::default();
        let mut closed_at = None;
        loop {
            let written: Result<(), LogServiceCallError> = self.status.link.write_log(&self.log, what).await;
            let Err(error) = written else {
                return Ok(());
            };
            if !error.is_retryable() {
                warn!(%error, "the log service refuses a task's log as a stream; it is uploaded at the end");
                return Err(NoStream);
            }
            if backoff.attempts() == 0 {
                warn!(%error, "the log service did not take a task's log; trying until it does");
            } else {
                debug!(%error, "the log service still does not take a task's log");
            }
            if self.shared.flow().closed {
                let closed = *closed_at.get_or_insert_with(Instant::now);
                if closed.elapsed() > LINGER {
                    return Err(NoStream);
                }
            }
            tokio::time::sleep(backoff.pause(None)).await;
        }
    }

    /// Stores what the spool holds, in one piece.
    async fn upload(&self) {
        let Ok(_one) = self.shared.logs.uploads.acquire().await else {
            return;
        };
        let everything = self.shared.work(|spool| spool.next(usize::MAX, usize::MAX)).await;
        let Some(lines) = everything.filter(|lines| !lines.is_empty()) else {
            return;
        };
        if let Err(error) = self.upload_lines(&lines).await {
            self.shared.metrics.record(super::lost(&lines));
            warn!(%error, lines = lines.len(), "a task's log was lost");
        }
    }

    async fn upload_lines(&self, lines: &[LogLine]) -> Result<(), LogServiceCallError> {
        match self.log.upload(lines).await {
            Err(error) if !error.is_retryable() => self.log.upload_by_link(lines).await,
            done => done,
        }
    }
}
