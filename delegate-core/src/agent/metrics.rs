//! What the agent counts, as Prometheus text.
//!
//! Every series exists from the start at zero, so that an alarm can be written before the first event. The names with
//! the prefix `io_harness_custom_metric_` are the official delegate's; those with `harness_delegate_` are ours.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::protocol::wire::CommandStatus;

const OFFICIAL: &str = "io_harness_custom_metric_";

/// Upper bounds of the duration histogram, in seconds: from a script that does nothing to a long deployment.
const BUCKETS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
];

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the run of a task ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The kind ran; this is what it says.
    Ran(CommandStatus),
    /// The delegate could not do its part.
    Failed,
    /// Another delegate shall try.
    PassedOn,
}

/// The counters of one agent.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    completed: Counter,
    failed: Counter,
    timed_out: Counter,
    by_ending: [Counter; ENDINGS.len()],
    /// Tasks turned away for want of room.
    pub(super) rejected: Counter,
    /// Connections to the manager that came back.
    pub(super) reconnected: Counter,
    /// Log lines that the log service did not take in time.
    pub(super) log_lines_lost: Counter,
    /// Attempts to deliver a response that failed.
    pub(super) response_retries: Counter,
    last_seconds_bits: AtomicU64,
    buckets: [Counter; BUCKETS.len()],
    sum_micros: Counter,
    count: Counter,
}

const ENDINGS: [(&str, Ending); 7] = [
    ("success", Ending::Ran(CommandStatus::Success)),
    ("failure", Ending::Ran(CommandStatus::Failure)),
    ("timeout", Ending::Ran(CommandStatus::Timeout)),
    ("aborted", Ending::Ran(CommandStatus::Aborted)),
    ("skipped", Ending::Ran(CommandStatus::Skipped)),
    ("failed", Ending::Failed),
    ("passed_on", Ending::PassedOn),
];

/// What is not counted but looked up when asked.
#[expect(clippy::struct_excessive_bools, reason = "each is one gauge of 0 or 1")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Gauges {
    /// The manager can be reached and takes our token.
    pub(super) connected: bool,
    /// Tasks whose run has not ended.
    pub(super) executing: usize,
    /// Answers not delivered yet.
    pub(super) undelivered: usize,
    /// The agent finishes and takes nothing new.
    pub(super) draining: bool,
    /// A resource threshold is exceeded.
    pub(super) overloaded: bool,
    /// Calls go over the persistent connection.
    pub(super) streaming: bool,
}

impl Metrics {
    /// Counts the end of a task.
    pub(super) fn task_ended(&self, ending: Ending, took: Duration) {
        match ending {
            Ending::Ran(CommandStatus::Timeout) => self.timed_out.add(1),
            Ending::Ran(_) => self.completed.add(1),
            Ending::Failed | Ending::PassedOn => self.failed.add(1),
        }
        if let Some(at) = ENDINGS.iter().position(|(_, known)| *known == ending) {
            self.by_ending[at].add(1);
        }
        let seconds = took.as_secs_f64();
        self.last_seconds_bits.store(seconds.to_bits(), Ordering::Relaxed);
        if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at].add(1);
        }
        self.sum_micros
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.count.add(1);
    }

    /// The text of `/api/metrics`.
    pub(super) fn render(&self, now: Gauges) -> String {
        let mut text = String::with_capacity(4096);
        // Writing into a String does not fail.
        let _ = self.write(&mut text, now);
        text
    }

    fn write(&self, out: &mut String, now: Gauges) -> fmt::Result {
        let last = f64::from_bits(self.last_seconds_bits.load(Ordering::Relaxed));
        let official = [
            (
                "delegate_connected",
                "gauge",
                "Whether the manager can be reached: 0 or 1.",
                f64::from(u8::from(now.connected)),
            ),
            (
                "delegate_reconnected_total",
                "counter",
                "Connections to the manager that came back.",
                float(self.reconnected.get()),
            ),
            (
                "tasks_currently_executing",
                "gauge",
                "Tasks that run now.",
                float(now.executing as u64),
            ),
            (
                "task_execution_time",
                "gauge",
                "Duration of the task that ended last, in seconds.",
                last,
            ),
            (
                "task_completed_total",
                "counter",
                "Tasks whose kind ran to its end.",
                float(self.completed.get()),
            ),
            (
                "task_failed_total",
                "counter",
                "Tasks that this delegate could not run.",
                float(self.failed.get()),
            ),
            (
                "task_timeout_total",
                "counter",
                "Tasks that ran out of time.",
                float(self.timed_out.get()),
            ),
            (
                "task_rejected_total",
                "counter",
                "Tasks turned away for want of room.",
                float(self.rejected.get()),
            ),
            (
                "resource_consumption_above_threshold",
                "gauge",
                "Whether a resource threshold is exceeded: 0 or 1.",
                f64::from(u8::from(now.overloaded)),
            ),
        ];
        for (name, kind, help, value) in official {
            let name = format!("{OFFICIAL}{name}");
            head(out, &name, kind, help)?;
            writeln!(out, "{name} {value}")?;
        }
        let own = [
            (
                "harness_delegate_draining",
                "gauge",
                "Whether the agent finishes its work to end: 0 or 1.",
                u64::from(now.draining),
            ),
            (
                "harness_delegate_stream_connected",
                "gauge",
                "Whether calls go over the persistent connection: 0 or 1.",
                u64::from(now.streaming),
            ),
            (
                "harness_delegate_responses_undelivered",
                "gauge",
                "Answers on their way to the manager.",
                now.undelivered as u64,
            ),
            (
                "harness_delegate_response_retries_total",
                "counter",
                "Failed attempts to deliver an answer.",
                self.response_retries.get(),
            ),
            (
                "harness_delegate_log_lines_lost_total",
                "counter",
                "Log lines that the log service did not take in time.",
                self.log_lines_lost.get(),
            ),
        ];
        for (name, kind, help, value) in own {
            head(out, name, kind, help)?;
            writeln!(out, "{name} {value}")?;
        }
        head(
            out,
            "harness_delegate_tasks_total",
            "counter",
            "Tasks by how they ended.",
        )?;
        for ((label, _), counter) in ENDINGS.iter().zip(&self.by_ending) {
            writeln!(
                out,
                "harness_delegate_tasks_total{{status=\"{label}\"}} {}",
                counter.get()
            )?;
        }
        self.write_histogram(out)?;
        head(
            out,
            "harness_delegate_build_info",
            "gauge",
            "Always 1; the version is the label.",
        )?;
        writeln!(
            out,
            "harness_delegate_build_info{{version=\"{}\"}} 1",
            crate::VERSION
        )
    }

    fn write_histogram(&self, out: &mut String) -> fmt::Result {
        let name = "harness_delegate_task_duration_seconds";
        head(out, name, "histogram", "Duration of tasks.")?;
        let mut below = 0;
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            below += bucket.get();
            writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}")?;
        }
        let count = self.count.get();
        writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
        let sum = Duration::from_micros(self.sum_micros.get()).as_secs_f64();
        writeln!(out, "{name}_sum {sum}\n{name}_count {count}")
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Prometheus has one number type. Counters stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Gauges = Gauges {
        connected: false,
        executing: 0,
        undelivered: 0,
        draining: false,
        overloaded: false,
        streaming: false,
    };

    #[test]
    fn every_documented_name_is_there_before_the_first_event() {
        let text = Metrics::default().render(IDLE);
        for name in [
            "task_execution_time",
            "tasks_currently_executing",
            "task_completed_total",
            "task_failed_total",
            "task_timeout_total",
            "task_rejected_total",
            "resource_consumption_above_threshold",
            "delegate_connected",
            "delegate_reconnected_total",
        ] {
            assert!(
                text.contains(&format!("\n{OFFICIAL}{name} 0\n")),
                "{name} is missing:\n{text}"
            );
        }
        assert!(text.contains("harness_delegate_build_info{version=\""));
    }

    #[test]
    fn a_timeout_is_no_failure_and_a_failed_script_is_completed() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(1500);
        metrics.task_ended(Ending::Ran(CommandStatus::Timeout), took);
        metrics.task_ended(Ending::Ran(CommandStatus::Failure), took);
        metrics.task_ended(Ending::Failed, Duration::from_secs(100_000));
        let text = metrics.render(Gauges {
            connected: true,
            executing: 2,
            ..IDLE
        });
        for line in [
            "io_harness_custom_metric_task_completed_total 1",
            "io_harness_custom_metric_task_failed_total 1",
            "io_harness_custom_metric_task_timeout_total 1",
            "io_harness_custom_metric_delegate_connected 1",
            "io_harness_custom_metric_tasks_currently_executing 2",
            "harness_delegate_tasks_total{status=\"failure\"} 1",
            "harness_delegate_task_duration_seconds_bucket{le=\"1\"} 0",
            "harness_delegate_task_duration_seconds_bucket{le=\"14400\"} 2",
            "harness_delegate_task_duration_seconds_bucket{le=\"+Inf\"} 3",
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{line} is missing:\n{text}"
            );
        }
    }
}
