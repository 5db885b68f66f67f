//! A task's log on its way to the log service.
//!
//! Lines go at once into a [`spool`], a bounded queue on disk; one [`worker`] per task sends them in order: the first at once, then
//! at most every 100 ms, so that a live reader is never more than 200 ms behind. A batch is repeated unchanged until the
//! service has taken it, with the positions it was given, so that a service can tell a repeated line; only then it leaves
//! the queue. When the service is slow, the task is slowed for a bounded time; when it is dead, the oldest lines are
//! dropped, counted, and their loss is declared by a line. When a stream cannot be had at all, what the queue holds is
//! uploaded at the end.
//!
//! What the process leaves behind when it ends, [`finish`] sends in its next life. A task that says nothing writes no
//! file.

mod batch;
mod record;
mod spool;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::events::{Event, Recorder as _};
use super::metrics::Metrics;
use super::status::Status;
use crate::protocol::logs::{LogService, TaskLog};
use crate::protocol::wire::LogLine;
use crate::task::LogSink;
use batch::Amount;
use record::Head;
use spool::Spool;
use worker::Worker;

/// Name of the directory of spools, in the working directory.
const DIRECTORY: &str = "log-spool";

/// Bytes that one log may hold on disk: the history that the log service itself keeps of a step.
const SPOOL_BYTES: u64 = 5 * 1024 * 1024;

/// Bytes on disk of all logs together, so that a hundred noisy tasks do not fill it. Each keeps its last file beyond
/// that.
const TOTAL_BYTES: u64 = 128 * 1024 * 1024;

/// Bytes of text on their way to the service, in all logs together, where many have something to send.
const IN_FLIGHT_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of text in one batch: well below what proxies refuse, and not so few that requests are most of the work.
const BATCH_BYTES: std::ops::RangeInclusive<usize> = 16 * 1024..=512 * 1024;

/// Threads that may wait for the disk at once for logs; others of the process have files too.
const DISK_THREADS: usize = 2;

/// Logs uploaded in one piece at once: each is in memory as a whole, twice.
const UPLOADS: usize = 1;

/// Bytes of text that one log has queued for the disk before its task waits for it. Only what is queued, for about a
/// millisecond, is lost by a `kill -9`; a task that prints line by line does not wait for a thread at each.
const QUEUED_BYTES: u64 = 16 * 1024;

/// How long a task may be slowed down, in all, by a log service that is slow but moves.
const MAX_SLOWDOWN: Duration = Duration::from_secs(30);

/// A service that took nothing for this long does not move.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// How long the answer of a task waits for its log.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// What all logs of an agent share.
#[derive(Debug)]
pub(super) struct Logs {
    /// Where they go, unless a task says otherwise.
    pub(super) service: Arc<LogService>,
    dir: PathBuf,
    /// Held by all spools together.
    held: AtomicU64,
    /// Logs that are being sent.
    open: AtomicUsize,
    disk: Arc<Semaphore>,
    uploads: Semaphore,
}

impl Logs {
    /// Of the agent that works in a directory.
    pub(super) fn new(service: LogService, working_dir: &Path) -> Self {
        Self {
            service: Arc::new(service),
            dir: working_dir.join(DIRECTORY),
            held: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            disk: Arc::new(Semaphore::new(DISK_THREADS)),
            uploads: Semaphore::new(UPLOADS),
        }
    }

    /// Bytes that all logs hold together, most of them on disk.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that a batch may have now.
    fn batch_bytes(&self) -> usize {
        let logs = self.open.load(Ordering::Relaxed).max(1);
        (IN_FLIGHT_BYTES / logs).clamp(*BATCH_BYTES.start(), *BATCH_BYTES.end())
    }

    /// Bytes that a spool may hold which holds so many.
    fn most(&self, held: u64) -> u64 {
        let others = self.held().saturating_sub(held);
        TOTAL_BYTES.saturating_sub(others).min(SPOOL_BYTES)
    }
}

/// What waits for a spool, and what is known of it without asking it.
#[derive(Debug, Default)]
struct Flow {
    /// Lines for the spool, and bytes of their text.
    queued: Vec<LogLine>,
    queued_bytes: u64,
    /// Somebody puts them there.
    writing: bool,
    waiting: Amount,
    held: u64,
    closed: bool,
    /// When the service took something last.
    moved: Option<Instant>,
    slowed: Duration,
}

#[derive(Debug)]
struct Shared {
    spool: Arc<tokio::sync::Mutex<Spool>>,
    flow: Mutex<Flow>,
    /// Told when lines arrive in the spool or the log is closed.
    arrived: Notify,
    /// Told when the queue for it is empty.
    written: Notify,
    /// Told when room was made.
    room: Notify,
    logs: Arc<Logs>,
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

/// These lines are dropped.
pub(super) fn lost(lines: &[LogLine]) -> Event<'static> {
    Event::LogLost {
        lines: lines.len() as u64,
        bytes: lines.iter().map(|line| line.out.len() as u64).sum(),
    }
}

/// As lines carry it.
fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

/// Starts a task's log: what the task writes to, and what sends it. `elsewhere` is its log service, where that is not
/// the delegate's own.
pub(super) fn start(
    task: String,
    log: TaskLog,
    elsewhere: Option<Url>,
    logs: Arc<Logs>,
    status: Arc<Status>,
) -> (LogShipper, LogWorker) {
    let (of_head, at) = (log.clone(), Arc::clone(&status));
    let introduce = move || {
        Ok(Head {
            task,
            key: of_head.key().to_owned(),
            token: at.link.seal(of_head.token()).map_err(|error| error.to_string())?,
            service: elsewhere,
        })
    };
    let spool = Spool::new(&logs.dir, Box::new(introduce));
    send(spool, log, logs, status)
}

fn send(spool: Spool, log: TaskLog, logs: Arc<Logs>, status: Arc<Status>) -> (LogShipper, LogWorker) {
    let flow = Flow {
        waiting: spool.waiting(),
        held: spool.held(),
        ..Flow::default()
    };
    logs.held.fetch_add(flow.held, Ordering::Relaxed);
    let is_open = spool.is_acknowledged();
    let shared = Arc::new(Shared {
        spool: Arc::new(tokio::sync::Mutex::new(spool)),
        flow: Mutex::new(flow),
        arrived: Notify::new(),
        written: Notify::new(),
        room: Notify::new(),
        logs,
        metrics: Arc::clone(&status.metrics),
    });
    let worker = tokio::spawn(Worker::new(Arc::clone(&shared), log, status, is_open).run());
    (LogShipper(Arc::clone(&shared)), LogWorker { shared, worker })
}

/// Names of the spools that an earlier life left, which [`Leftovers::read`] reads.
#[derive(Debug)]
pub(super) struct Leftovers {
    dir: PathBuf,
    names: std::collections::BTreeMap<String, Vec<u32>>,
}

impl Leftovers {
    /// To be called before there are spools of this life.
    pub(super) fn find(logs: &Logs) -> Self {
        Self {
            names: spool::leftovers(&logs.dir),
            dir: logs.dir.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The logs that were not sent to their end, and their tasks.
    pub(super) async fn read(self) -> Vec<Unsent> {
        if self.is_empty() {
            return Vec::new();
        }
        let read = move || {
            let spools = self.names.into_iter();
            let spools = spools.filter_map(|(name, numbers)| Spool::resume(&self.dir, name, numbers));
            spools
                .filter_map(|spool| {
                    Some(Unsent {
                        head: spool.head()?.clone(),
                        spool,
                    })
                })
                .collect()
        };
        // Fails when the runtime ends; then it is for the next life again.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

/// A log that an earlier life has not sent to its end.
#[derive(Debug)]
pub(super) struct Unsent {
    head: Head,
    spool: Spool,
}

impl Unsent {
    /// Whose log it is.
    pub(super) fn task(&self) -> &str {
        &self.head.task
    }
}

/// Sends the rest of a log, then `last`, and ends it. Returns as [`LogWorker::close`] does.
pub(super) async fn finish(
    unsent: Unsent,
    last: Option<String>,
    logs: Arc<Logs>,
    status: Arc<Status>,
) -> Option<JoinHandle<()>> {
    let Unsent { head, mut spool } = unsent;
    let Some(token) = status.link.unseal(&head.token) else {
        let Amount { lines, bytes } = spool.waiting();
        warn!(task = %head.task, lines, "the end of a task's log was lost: the delegate token has changed since it was spooled");
        status.metrics.record(Event::LogLost { lines, bytes });
        return Some(tokio::task::spawn_blocking(move || spool.remove()));
    };
    let service = head.service.map_or_else(
        || Arc::clone(&logs.service),
        |address| logs.service.elsewhere(address),
    );
    let (shipper, worker) = send(spool, service.log(head.key, token), logs, status);
    if let Some(last) = last {
        let line = LogLine {
            level: "error".to_owned(),
            pos: 0,
            out: format!("[{last}]\n"),
            time: now(),
            args: serde_json::Value::Null,
        };
        shipper.write(vec![line]).await;
    }
    worker.close().await
}

#[async_trait]
impl LogSink for LogShipper {
    async fn write(&self, lines: Vec<LogLine>) {
        let coming = lines.iter().map(|line| line.out.len() as u64).sum();
        self.0.wait_for_room(coming).await;
        let is_first = {
            let mut flow = self.0.flow();
            flow.queued.extend(lines);
            flow.queued_bytes += coming;
            !std::mem::replace(&mut flow.writing, true)
        };
        if is_first {
            tokio::spawn(Arc::clone(&self.0).write_queued());
        }
        self.0.wait_for_disk().await;
    }
}

impl Shared {
    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the spool where waiting for the disk holds up nobody. `None` when the runtime ends.
    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(&mut Spool) -> T + Send + 'static,
    ) -> Option<T> {
        let mut spool = Arc::clone(&self.spool).lock_owned().await;
        let turn = Arc::clone(&self.logs.disk).acquire_owned().await.ok()?;
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let result = what(&mut spool);
            this.note(&spool);
            drop((spool, turn));
            result
        });
        done.await.ok()
    }

    /// Puts what is queued into the spool, until there is nothing more.
    async fn write_queued(self: Arc<Self>) {
        loop {
            let lines = {
                let mut flow = self.flow();
                flow.queued_bytes = 0;
                flow.writing = !flow.queued.is_empty();
                std::mem::take(&mut flow.queued)
            };
            self.written.notify_waiters();
            self.arrived.notify_one();
            if lines.is_empty() {
                return;
            }
            let logs = Arc::clone(&self.logs);
            let appended = self.work(move |spool| spool.append(lines, logs.most(spool.held())));
            if let Some(Amount { lines, bytes }) = appended.await
                && lines > 0
            {
                self.metrics.record(Event::LogLost { lines, bytes });
            }
        }
    }

    /// Waits while much is queued.
    async fn wait_for_disk(&self) {
        loop {
            let written = self.written.notified();
            if self.flow().queued_bytes <= QUEUED_BYTES {
                return;
            }
            written.await;
        }
    }

    fn note(&self, spool: &Spool) {
        let mut flow = self.flow();
        let (before, now) = (flow.held, spool.held());
        self.logs.held.fetch_add(now, Ordering::Relaxed);
        self.logs.held.fetch_sub(before, Ordering::Relaxed);
        flow.held = now;
        flow.waiting = spool.waiting();
    }

    /// Waits for room while the service moves and the task's slowdown is not used up.
    async fn wait_for_room(&self, coming: u64) {
        loop {
            let room = self.room.notified();
            let patience = {
                let mut flow = self.flow();
                if flow.held + flow.queued_bytes + coming <= self.logs.most(flow.held) {
                    return;
                }
                let moved = *flow.moved.get_or_insert_with(Instant::now);
                let patience = MAX_SLOWDOWN
                    .saturating_sub(flow.slowed)
                    .min(STALLED_AFTER.saturating_sub(moved.elapsed()));
                if patience.is_zero() {
                    return;
                }
                patience
            };
            self.arrived.notify_one();
            let waited = Instant::now();
            let _ = tokio::time::timeout(patience, room).await;
            self.flow().slowed += waited.elapsed();
        }
    }
}

impl LogWorker {
    /// The task is over. Returns when everything is sent, or after a short wait; then the rest is sent in the
    /// background, which the returned handle is.
    pub(super) async fn close(mut self) -> Option<JoinHandle<()>> {
        self.shared.flow().closed = true;
        self.shared.arrived.notify_one();
        let ended = tokio::time::timeout(CLOSE_WAIT, &mut self.worker).await;
        if ended.is_ok() {
            return None;
        }
        // It may take minutes, and there may be many.
        self.shared.work(Spool::close).await;
        Some(self.worker)
    }
}
