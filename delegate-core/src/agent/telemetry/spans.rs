//! From tasks that are over to a queue of them, without ever waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::agent::events::{Course, Event, Outcome, Recorder};
use crate::config::telemetry::SampleRatio;

/// Tasks that wait to be exported: what 10 000 a second leave in the time in which a collector in order answers. At about
/// 200 bytes each that is half a megabyte, when a collector is away.
const QUEUE: usize = 2048;

/// Spans of one task: itself, and its parts.
pub(super) const SPANS_OF_A_TASK: usize = 4;

/// Longest text of a span, in bytes. Ids and kinds are short, and come from outside.
const MAX_TEXT: usize = 256;

/// A task that is over.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) trace: u128,
    pub(super) id: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) outcome: Outcome,
    pub(super) answered: bool,
    pub(super) course: Course,
}

/// The end of the queue to which the agent gives.
#[derive(Debug)]
pub(in crate::agent) struct Spans {
    queue: mpsc::Sender<Finished>,
    sampled: SampleRatio,
    lost: AtomicU64,
}

impl Spans {
    /// Both ends of the queue.
    pub(super) fn new(sampled: SampleRatio) -> (Arc<Self>, mpsc::Receiver<Finished>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let spans = Self {
            queue,
            sampled,
            lost: AtomicU64::new(0),
        };
        (Arc::new(spans), receiver)
    }

    /// Spans that were dropped.
    pub(in crate::agent) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn lose(&self, spans: u64) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
    }

    /// Whether the trace of this id is one of the share: the lower half of the id, which is random, decides.
    fn is_sampled(&self, trace: u128) -> bool {
        let all = u128::from(SampleRatio::ALL.millionths());
        let low = trace & u128::from(u64::MAX);
        low * all < u128::from(self.sampled.millionths()) << u64::BITS
    }
}

impl Recorder for Spans {
    fn record(&self, event: Event<'_>) {
        let Event::TaskOver {
            id,
            kind,
            outcome,
            answered,
            course,
        } = event
        else {
            return;
        };
        // Zero is no id.
        let trace = fastrand::u128(1..);
        if !self.is_sampled(trace) {
            return;
        }
        let finished = Finished {
            trace,
            id: cut(id).into(),
            kind: cut(kind).into(),
            outcome,
            answered,
            course,
        };
        if self.queue.try_send(finished).is_err() {
            self.lose(SPANS_OF_A_TASK as u64);
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn over<'a>(id: &'a str, kind: &'a str) -> Event<'a> {
        Event::TaskOver {
            id,
            kind,
            outcome: Outcome::Failed,
            answered: true,
            course: Course {
                offered: SystemTime::UNIX_EPOCH,
                acquired: Duration::ZERO,
                ended: Duration::ZERO,
                over: Duration::ZERO,
            },
        }
    }

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let (spans, mut queue) = Spans::new(SampleRatio::ALL);
        for _ in 0..QUEUE + 3 {
            spans.record(over("t", "K"));
        }
        assert_eq!(spans.lost(), 12);
        queue.try_recv().unwrap();
        spans.record(over("t", "K"));
        assert_eq!(spans.lost(), 12, "there was room again");
    }

    #[test]
    fn texts_from_outside_are_bounded() {
        let (spans, mut queue) = Spans::new(SampleRatio::ALL);
        spans.record(over(&"é".repeat(10_000), "K"));
        let id = queue.try_recv().unwrap().id;
        assert_eq!(id.len(), MAX_TEXT);
    }

    #[test]
    fn the_share_that_is_sampled_is_about_what_was_asked_for() {
        for (share, at_least, at_most) in [
            (SampleRatio::NONE, 0, 0),
            (250_000.try_into().unwrap(), 300, 700),
            (SampleRatio::ALL, 2000, 2000),
        ] {
            let (spans, mut queue) = Spans::new(share);
            for _ in 0..2000 {
                spans.record(over("t", "K"));
            }
            let mut taken = 0;
            while queue.try_recv().is_ok() {
                taken += 1;
            }
            assert!(
                (at_least..=at_most).contains(&taken),
                "{share:?}: {taken} of 2000"
            );
            assert_eq!(spans.lost(), 0, "what is left out on purpose is not lost");
        }
    }
}
