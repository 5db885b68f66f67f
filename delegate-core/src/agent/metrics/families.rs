//! Everything that is counted, as one list: `/api/metrics` writes it as text, the export by OpenTelemetry as messages.
//!
//! So no series is in one and not in the other, or there under another name. The list is made when asked for, from the
//! counters and what is looked up beside them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{BUCKETS, Gauges, Metrics, process};
use crate::agent::events::Outcome;

/// What the names of the official delegate begin with.
pub(super) const OFFICIAL: &str = "io_harness_custom_metric_";

/// Numbers without a unit.
const COUNT: &str = "1";

/// Seconds, as UCUM writes them.
pub(super) const SECONDS: &str = "s";

/// Bytes, as UCUM writes them.
pub(super) const BYTES: &str = "By";

/// Series of one name.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct Family {
    pub(in crate::agent) name: String,
    pub(in crate::agent) help: &'static str,
    /// By UCUM: "s", "By", "1".
    pub(in crate::agent) unit: &'static str,
    pub(in crate::agent) series: Series,
}

/// What kind of numbers they are, and the numbers.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) enum Series {
    /// They only grow, from zero at the start.
    Counter(Vec<Sample>),
    /// They are what they are now.
    Gauge(Vec<Sample>),
    Histogram(Distribution),
}

/// One number and its labels.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct Sample {
    pub(in crate::agent) labels: Vec<(&'static str, String)>,
    pub(in crate::agent) value: f64,
}

/// How many values were how large.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::agent) struct Distribution {
    /// Upper bounds, each included.
    pub(in crate::agent) bounds: &'static [f64],
    /// Values above the bound before and up to this; the last are above all bounds.
    pub(in crate::agent) counts: Vec<u64>,
    pub(in crate::agent) sum: f64,
}

impl Distribution {
    /// Number of all values.
    pub(in crate::agent) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

fn bare(value: f64) -> Vec<Sample> {
    vec![Sample {
        labels: Vec::new(),
        value,
    }]
}

pub(super) fn counter(name: impl Into<String>, unit: &'static str, help: &'static str, value: f64) -> Family {
    let series = Series::Counter(bare(value));
    Family {
        name: name.into(),
        help,
        unit,
        series,
    }
}

pub(super) fn gauge(name: impl Into<String>, unit: &'static str, help: &'static str, value: f64) -> Family {
    let series = Series::Gauge(bare(value));
    Family {
        name: name.into(),
        help,
        unit,
        series,
    }
}

impl Metrics {
    /// Everything that is counted, in the order of `/api/metrics`.
    pub(in crate::agent) fn families(&self, now: Gauges) -> Vec<Family> {
        let mut families = self.official(now);
        families.extend(self.own(now));
        families.push(self.tasks());
        families.push(self.durations());
        families.push(self.calls());
        families.extend(process::figures());
        let version = Sample {
            labels: vec![("version", crate::VERSION.to_owned())],
            value: 1.0,
        };
        families.push(Family {
            name: "harness_delegate_build_info".to_owned(),
            help: "Always 1; the version is the label.",
            unit: COUNT,
            series: Series::Gauge(vec![version]),
        });
        families
    }

    fn official(&self, now: Gauges) -> Vec<Family> {
        let name = |name: &str| format!("{OFFICIAL}{name}");
        let counter = |short, help, n: u64| counter(name(short), COUNT, help, float(n));
        let last = f64::from_bits(self.last_seconds_bits.load(Ordering::Relaxed));
        vec![
            gauge(
                name("delegate_connected"),
                COUNT,
                "Whether the manager can be reached: 0 or 1.",
                flag(now.connected),
            ),
            counter(
                "delegate_reconnected_total",
                "Connections to the manager that came back.",
                self.reconnected.get(),
            ),
            gauge(
                name("tasks_currently_executing"),
                COUNT,
                "Tasks that run now.",
                float(now.executing as u64),
            ),
            gauge(
                name("task_execution_time"),
                SECONDS,
                "Duration of the task that ended last, in seconds.",
                last,
            ),
            counter(
                "task_completed_total",
                "Tasks whose kind ran to its end.",
                self.completed.get(),
            ),
            counter(
                "task_failed_total",
                "Tasks that this delegate could not run.",
                self.failed.get(),
            ),
            counter(
                "task_timeout_total",
                "Tasks that ran out of time.",
                self.timed_out.get(),
            ),
            counter(
                "task_rejected_total",
                "Tasks turned away for want of room.",
                self.rejected.get(),
            ),
            gauge(
                name("resource_consumption_above_threshold"),
                COUNT,
                "Whether a resource threshold is exceeded: 0 or 1.",
                flag(now.overloaded),
            ),
        ]
    }

    fn own(&self, now: Gauges) -> Vec<Family> {
        let name = |name: &str| format!("harness_delegate_{name}");
        let counter = |short, unit, help, n: u64| counter(name(short), unit, help, float(n));
        let gauge = |short, unit, help, value| gauge(name(short), unit, help, value);
        vec![
            gauge(
                "draining",
                COUNT,
                "Whether the agent finishes its work to end: 0 or 1.",
                flag(now.draining),
            ),
            gauge(
                "stream_connected",
                COUNT,
                "Whether calls go over the persistent connection: 0 or 1.",
                flag(now.streaming),
            ),
            gauge(
                "manager_silence_seconds",
                SECONDS,
                "Time since the manager's last answer, in seconds; -1 before the first.",
                now.silence.map_or(-1.0, |silence| silence.as_secs_f64()),
            ),
            gauge(
                "task_capacity",
                COUNT,
                "Tasks that may run at once.",
                float(now.capacity as u64),
            ),
            gauge(
                "responses_undelivered",
                COUNT,
                "Answers on their way to the manager.",
                float(now.undelivered as u64),
            ),
            counter(
                "response_retries_total",
                COUNT,
                "Failed attempts to deliver an answer.",
                self.answers_retried.get(),
            ),
            gauge(
                "journal_bytes",
                BYTES,
                "Size of the journal of tasks in hand, in bytes.",
                float(now.journal_bytes),
            ),
            counter(
                "log_lines_lost_total",
                COUNT,
                "Log lines that were dropped because nobody took them in time.",
                self.log_lines_lost.get(),
            ),
            counter(
                "log_bytes_lost_total",
                BYTES,
                "Bytes of those lines.",
                self.log_bytes_lost.get(),
            ),
            counter(
                "spans_lost_total",
                COUNT,
                "Spans of tasks that were dropped because no collector took them in time.",
                self.spans.as_ref().map_or(0, |spans| spans.lost()),
            ),
        ]
    }

    fn tasks(&self) -> Family {
        let of_kind = |kind: &super::Kind| {
            let outcomes = Outcome::ALL.iter().zip(&kind.by_outcome);
            let sample = |(outcome, counter): (&Outcome, &super::Counter)| Sample {
                labels: vec![
                    ("kind", kind.name.clone()),
                    ("status", outcome.as_str().to_owned()),
                ],
                value: float(counter.get()),
            };
            outcomes.map(sample).collect::<Vec<_>>()
        };
        Family {
            name: "harness_delegate_tasks_total".to_owned(),
            help: "Tasks by their kind and how they ended.",
            unit: COUNT,
            series: Series::Counter(self.kinds.iter().flat_map(of_kind).collect()),
        }
    }

    fn durations(&self) -> Family {
        Family {
            name: "harness_delegate_task_duration_seconds".to_owned(),
            help: "Duration of tasks.",
            unit: SECONDS,
            series: Series::Histogram(Distribution {
                bounds: &BUCKETS,
                counts: self.buckets.iter().map(super::Counter::get).collect(),
                sum: Duration::from_micros(self.sum_micros.get()).as_secs_f64(),
            }),
        }
    }

    fn calls(&self) -> Family {
        let sample = |(result, counter): (&str, &super::Counter)| Sample {
            labels: vec![("result", result.to_owned())],
            value: float(counter.get()),
        };
        let results = [
            ("answered", &self.calls_answered),
            ("unanswered", &self.calls_unanswered),
        ];
        Family {
            name: "harness_delegate_manager_calls_total".to_owned(),
            help: "Calls to the manager, by whether it answered.",
            unit: COUNT,
            series: Series::Counter(results.into_iter().map(sample).collect()),
        }
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Both ways of telling have one number type. Counters stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}
