//! A task's log on its way to the log service.
//!
//! Lines go into a bounded buffer; one worker per task sends them in order: the first at once, then at most every
//! [`FLUSH_EVERY`], so that a live reader is never more than 200 ms behind. A batch is repeated unchanged until the
//! service has taken it, with the positions it was given, so that a service can tell a repeated line. When the service
//! is slow, the task is slowed for a bounded time; when it is dead, the oldest lines are dropped, counted, and their
//! loss is declared by a line. When a stream cannot be had at all, what the buffer holds is uploaded at the end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::backoff::Backoff;
use super::events::{Event, Recorder as _};
use super::metrics::Metrics;
use super::status::Status;
use crate::protocol::logs::{LogServiceCallError, LogWrite, TaskLog};
use crate::protocol::wire::LogLine;
use crate::task::LogSink;

/// Time between two batches: half of the 200 ms within which a line is live, the rest is for the network.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Lines of one batch. With the longest line of 70 KiB the byte bound below is met first.
const BATCH_LINES: usize = 1000;

/// Bytes of text in one batch, well below what proxies refuse.
const BATCH_BYTES: usize = 512 * 1024;

/// Bytes waiting per task: a log of 20 000 usual lines.
const TASK_BYTES: usize = 2 * 1024 * 1024;

/// Bytes waiting in all tasks together, so that a hundred noisy ones do not take the machine's memory.
const TOTAL_BYTES: usize = 24 * 1024 * 1024;

/// What a line costs besides its text.
const LINE_OVERHEAD: usize = 128;

/// How long a task may be slowed down, in all, by a log service that is slow but moves.
const MAX_SLOWDOWN: Duration = Duration::from_secs(30);

/// A service that took nothing for this long does not move.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// How long the answer of a task waits for its log.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// How long the rest of a log is tried for after its task, in the background.
const LINGER: Duration = Duration::from_secs(60);

/// What all logs of an agent share.
#[derive(Debug, Default)]
pub(super) struct LogBudget {
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Buffer {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Dropped since the last batch.
    lost: u64,
    closed: bool,
    /// When the service took something last.
    moved: Option<Instant>,
    slowed: Duration,
}

#[derive(Debug)]
struct Shared {
    buffer: Mutex<Buffer>,
    /// Told when lines arrive or the log is closed.
    arrived: Notify,
    /// Told when room was made.
    room: Notify,
    budget: Arc<LogBudget>,
    metrics: Arc<Metrics>,
}

/// Where one running task writes its log.
#[derive(Debug)]
pub(super) struct LogShipper(Arc<Shared>);

/// What sends it.
#[derive(Debug)]
pub(super) struct LogWorker {
    shared: Arc<Shared>,
    worker: JoinHandle<()>,
}

fn cost(line: &LogLine) -> usize {
    line.out.len() + LINE_OVERHEAD
}

/// These lines are dropped.
pub(super) fn lost(lines: &[LogLine]) -> Event<'static> {
    Event::LogLost {
        lines: lines.len() as u64,
        bytes: lines.iter().map(|line| line.out.len() as u64).sum(),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, buffer: &mut Buffer, line: LogLine) {
        let cost = cost(&line);
        buffer.bytes += cost;
        self.budget.bytes.fetch_add(cost, Ordering::Relaxed);
        buffer.lines.push_back(line);
    }

    fn take_first(&self, buffer: &mut Buffer) -> Option<LogLine> {
        let line = buffer.lines.pop_front()?;
        buffer.bytes -= cost(&line);
        self.budget.bytes.fetch_sub(cost(&line), Ordering::Relaxed);
        Some(line)
    }

    fn is_full(&self, buffer: &Buffer, more: usize) -> bool {
        buffer.bytes + more > TASK_BYTES || self.budget.bytes.load(Ordering::Relaxed) + more > TOTAL_BYTES
    }
}

/// Starts a task's log: what the task writes to, and what sends it.
pub(super) fn start(log: TaskLog, budget: Arc<LogBudget>, status: Arc<Status>) -> (LogShipper, LogWorker) {
    let metrics = Arc::clone(&status.metrics);
    let shared = Arc::new(Shared {
        buffer: Mutex::default(),
        arrived: Notify::new(),
        room: Notify::new(),
        budget,
        metrics,
    });
    let worker = Worker {
        shared: Arc::clone(&shared),
        log,
        status,
        next_position: 0,
        last_sent: None,
    };
    let worker = tokio::spawn(worker.run());
    (LogShipper(Arc::clone(&shared)), LogWorker { shared, worker })
}

#[async_trait]
impl LogSink for LogShipper {
    async fn write(&self, lines: Vec<LogLine>) {
        for line in lines {
            self.0.push(line).await;
        }
        self.0.arrived.notify_one();
    }
}

impl Shared {
    /// Takes a line. Waits for room while the service moves and the task's slowdown is not used up; drops the oldest
    /// lines otherwise.
    async fn push(&self, line: LogLine) {
        loop {
            let room = self.room.notified();
            let patience = {
                let mut buffer = self.lock();
                if !self.is_full(&buffer, cost(&line)) {
                    self.add(&mut buffer, line);
                    return;
                }
                let moved = *buffer.moved.get_or_insert_with(Instant::now);
                let left = MAX_SLOWDOWN
                    .saturating_sub(buffer.slowed)
                    .min(STALLED_AFTER.saturating_sub(moved.elapsed()));
                if left.is_zero() {
                    while self.is_full(&buffer, cost(&line))
                        && let Some(dropped) = self.take_first(&mut buffer)
                    {
                        buffer.lost += 1;
                        self.metrics.record(lost(std::slice::from_ref(&dropped)));
                    }
                    self.add(&mut buffer, line);
                    return;
                }
                left
            };
            self.arrived.notify_one();
            let waited = Instant::now();
            let _ = tokio::time::timeout(patience, room).await;
            self.lock().slowed += waited.elapsed();
        }
    }
}

impl LogWorker {
    /// The task is over. Returns when everything is sent, or after a short wait; then the rest is sent in the
    /// background, which the returned handle is.
    pub(super) async fn close(mut self) -> Option<JoinHandle<()>> {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
        match tokio::time::timeout(CLOSE_WAIT, &mut self.worker).await {
            Ok(_) => None,
            Err(_) => Some(self.worker),
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    log: TaskLog,
    status: Arc<Status>,
    next_position: u64,
    last_sent: Option<Instant>,
}

/// The service will not take this log as a stream.
struct NoStream;

impl Worker {
    async fn run(mut self) {
        if !self.wait_for_lines().await {
            // A task that said nothing leaves no log.
            return;
        }
        let live = self.stream().await;
        if live.is_err() {
            self.wait_for_end().await;
            self.upload().await;
        }
        let left = {
            let mut buffer = self.shared.lock();
            let mut left = Vec::new();
            while let Some(line) = self.shared.take_first(&mut buffer) {
                left.push(line);
            }
            left
        };
        if !left.is_empty() {
            self.shared.metrics.record(lost(&left));
            warn!(
                lines = left.len(),
                "the end of a task's log was lost: the log service did not take it in time"
            );
        }
    }

    /// Opens the stream, sends until the log is closed and empty, closes the stream.
    async fn stream(&mut self) -> Result<(), NoStream> {
        self.write(LogWrite::Open).await?;
        while self.wait_for_lines().await {
            if let Some(last) = self.last_sent {
                self.pace(last).await;
            }
            let batch = self.next_batch();
            self.write(LogWrite::Append(&batch)).await?;
            self.last_sent = Some(Instant::now());
            self.shared.lock().moved = self.last_sent;
            self.shared.room.notify_waiters();
        }
        self.write(LogWrite::Close).await
    }

    /// True when there are lines, false when there will be none any more.
    async fn wait_for_lines(&self) -> bool {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let buffer = self.shared.lock();
                if !buffer.lines.is_empty() {
                    return true;
                }
                if buffer.closed {
                    return false;
                }
            }
            arrived.await;
        }
    }

    async fn wait_for_end(&self) {
        loop {
            let arrived = self.shared.arrived.notified();
            if self.shared.lock().closed {
                return;
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
                let buffer = self.shared.lock();
                if buffer.closed || buffer.lines.len() >= BATCH_LINES || buffer.bytes >= BATCH_BYTES {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = arrived => {}
            }
        }
    }

    fn next_batch(&mut self) -> Vec<LogLine> {
        let mut buffer = self.shared.lock();
        let mut batch = Vec::new();
        if buffer.lost > 0 {
            let lost = std::mem::take(&mut buffer.lost);
            let time = buffer
                .lines
                .front()
                .map(|line| line.time.clone())
                .unwrap_or_default();
            batch.push(LogLine {
                level: "warn".to_owned(),
                pos: 0,
                out: format!(
                    "[{lost} lines of this log were lost: the log service did not take them in time]\n"
                ),
                time,
                args: serde_json::Value::Null,
            });
        }
        let mut bytes = 0;
        while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(line) = self.shared.take_first(&mut buffer) else {
                break;
            };
            bytes += cost(&line);
            batch.push(line);
        }
        for line in &mut batch {
            line.pos = self.next_position;
            self.next_position += 1;
        }
        batch
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
            if self.shared.lock().closed {
                let closed = *closed_at.get_or_insert_with(Instant::now);
                if closed.elapsed() > LINGER {
                    return Err(NoStream);
                }
            }
            tokio::time::sleep(backoff.pause(None)).await;
        }
    }

    /// Stores what the buffer holds, in one piece.
    async fn upload(&mut self) {
        let mut lines = Vec::new();
        loop {
            let mut batch = self.next_batch();
            if batch.is_empty() {
                break;
            }
            lines.append(&mut batch);
        }
        if lines.is_empty() {
            return;
        }
        let mut result = self.log.upload(&lines).await;
        if result.as_ref().is_err_and(|error| !error.is_retryable()) {
            result = self.log.upload_by_link(&lines).await;
        }
        if let Err(error) = result {
            self.shared.metrics.record(lost(&lines));
            warn!(%error, lines = lines.len(), "a task's log was lost");
        }
    }
}
