//! What the agent counts, and how it is told: as Prometheus text, and to a collector.
//!
//! Every series exists from the start at zero, so that an alarm can be written before the first event. The names with
//! the prefix `io_harness_custom_metric_` are the official delegate's; those with `harness_delegate_` are ours, and those
//! with `process_` are everybody's. The number of series is fixed at the start: kinds of tasks that this delegate does
//! not know are counted together.

mod families;
mod process;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::events::{Event, Outcome, Recorder};
use super::telemetry::Spans;
use crate::protocol::wire::CommandStatus;
pub(super) use families::{Distribution, Family, Sample, Series};

/// Upper bounds of the duration histogram, in seconds: from a script that does nothing to a long deployment.
const BUCKETS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
];

/// The kind under which those are counted that this delegate does not know.
const UNKNOWN_KIND: &str = "unknown";

/// A number that only grows.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tasks of one kind.
#[derive(Debug)]
struct Kind {
    name: String,
    by_outcome: [Counter; Outcome::ALL.len()],
}

/// The counters of one agent.
#[derive(Default)]
pub(super) struct Metrics {
    completed: Counter,
    failed: Counter,
    timed_out: Counter,
    /// Sorted by name as they came, the unknown ones last.
    kinds: Vec<Kind>,
    rejected: Counter,
    reconnected: Counter,
    calls_answered: Counter,
    calls_unanswered: Counter,
    log_lines_lost: Counter,
    log_bytes_lost: Counter,
    answers_retried: Counter,
    last_seconds_bits: AtomicU64,
    /// The last is for what is above all bounds.
    buckets: [Counter; BUCKETS.len() + 1],
    sum_micros: Counter,
    /// Where tasks that are over become spans, when these are exported.
    spans: Option<Arc<Spans>>,
    /// Whoever embeds the agent.
    also: Option<Arc<dyn Recorder>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What is not counted but looked up when asked.
#[expect(clippy::struct_excessive_bools, reason = "each is one gauge of 0 or 1")]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauges {
    /// The manager can be reached and takes our token.
    pub(super) connected: bool,
    /// Tasks whose run has not ended.
    pub(super) executing: usize,
    /// Tasks that may run at once.
    pub(super) capacity: usize,
    /// Answers not delivered yet.
    pub(super) undelivered: usize,
    /// The agent finishes and takes nothing new.
    pub(super) draining: bool,
    /// A resource threshold is exceeded.
    pub(super) overloaded: bool,
    /// Calls go over the persistent connection.
    pub(super) streaming: bool,
    /// Time since the manager's last answer; `None` before the first.
    pub(super) silence: Option<Duration>,
    /// Bytes of the journal on disk.
    pub(super) journal_bytes: u64,
}

impl Metrics {
    /// Counts tasks of these kinds each for itself, and tells `also` everything.
    pub(super) fn new<'k>(kinds: impl IntoIterator<Item = &'k str>, also: Option<Arc<dyn Recorder>>) -> Self {
        let kind = |name: &str| Kind {
            name: name.to_owned(),
            by_outcome: Default::default(),
        };
        Self {
            kinds: kinds.into_iter().chain([UNKNOWN_KIND]).map(kind).collect(),
            also,
            ..Self::default()
        }
    }

    /// Tells these as well what becomes of tasks, and counts what they lose.
    pub(super) fn with_spans(mut self, spans: Option<Arc<Spans>>) -> Self {
        self.spans = spans;
        self
    }

    fn task_ended(&self, kind: &str, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Ran(CommandStatus::Timeout) => self.timed_out.add(1),
            Outcome::Ran(_) => self.completed.add(1),
            Outcome::Failed | Outcome::PassedOn => self.failed.add(1),
        }
        let known = self.kinds.iter().find(|known| known.name == kind);
        if let Some(kind) = known.or(self.kinds.last())
            && let Some(at) = Outcome::ALL.iter().position(|known| *known == outcome)
        {
            kind.by_outcome[at].add(1);
        }
        let seconds = took.as_secs_f64();
        self.last_seconds_bits.store(seconds.to_bits(), Ordering::Relaxed);
        let at = BUCKETS.iter().position(|bound| seconds <= *bound);
        self.buckets[at.unwrap_or(BUCKETS.len())].add(1);
        self.sum_micros
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

impl Recorder for Metrics {
    fn record(&self, event: Event<'_>) {
        match event {
            Event::TaskStarted { .. } | Event::TaskOver { .. } => {}
            Event::TaskEnded { kind, outcome, took } => self.task_ended(kind, outcome, took),
            Event::TaskRejected { .. } => self.rejected.add(1),
            Event::ManagerCall { answered: true } => self.calls_answered.add(1),
            Event::ManagerCall { answered: false } => self.calls_unanswered.add(1),
            Event::Reconnected => self.reconnected.add(1),
            Event::AnswerRetried => self.answers_retried.add(1),
            Event::LogLost { lines, bytes } => {
                self.log_lines_lost.add(lines);
                self.log_bytes_lost.add(bytes);
            }
        }
        if let Some(spans) = &self.spans {
            spans.record(event);
        }
        if let Some(also) = &self.also {
            also.record(event);
        }
    }
}
