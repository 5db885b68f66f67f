//! The text of `/api/metrics`.

use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{BUCKETS, Gauges, Metrics, process};
use crate::agent::events::Outcome;

const OFFICIAL: &str = "io_harness_custom_metric_";

impl Metrics {
    /// The text of `/api/metrics`.
    pub(in crate::agent) fn render(&self, now: Gauges) -> String {
        let mut text = String::with_capacity(8192);
        // Writing into a String does not fail.
        let _ = self.write(&mut text, now);
        text
    }

    fn write(&self, out: &mut String, now: Gauges) -> fmt::Result {
        self.write_official(out, now)?;
        self.write_own(out, now)?;
        self.write_tasks(out)?;
        self.write_histogram(out)?;
        let name = "harness_delegate_manager_calls_total";
        head(
            out,
            name,
            "counter",
            "Calls to the manager, by whether it answered.",
        )?;
        for (result, counter) in [
            ("answered", &self.calls_answered),
            ("unanswered", &self.calls_unanswered),
        ] {
            writeln!(out, "{name}{{result=\"{result}\"}} {}", counter.get())?;
        }
        for (name, kind, help, value) in process::figures() {
            head(out, name, kind, help)?;
            writeln!(out, "{name} {value}")?;
        }
        let name = "harness_delegate_build_info";
        head(out, name, "gauge", "Always 1; the version is the label.")?;
        writeln!(out, "{name}{{version=\"{}\"}} 1", crate::VERSION)
    }

    fn write_official(&self, out: &mut String, now: Gauges) -> fmt::Result {
        let last = f64::from_bits(self.last_seconds_bits.load(Ordering::Relaxed));
        for (name, kind, help, value) in [
            (
                "delegate_connected",
                "gauge",
                "Whether the manager can be reached: 0 or 1.",
                flag(now.connected),
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
                flag(now.overloaded),
            ),
        ] {
            let name = format!("{OFFICIAL}{name}");
            head(out, &name, kind, help)?;
            writeln!(out, "{name} {value}")?;
        }
        Ok(())
    }

    fn write_own(&self, out: &mut String, now: Gauges) -> fmt::Result {
        for (name, kind, help, value) in [
            (
                "draining",
                "gauge",
                "Whether the agent finishes its work to end: 0 or 1.",
                flag(now.draining),
            ),
            (
                "stream_connected",
                "gauge",
                "Whether calls go over the persistent connection: 0 or 1.",
                flag(now.streaming),
            ),
            (
                "manager_silence_seconds",
                "gauge",
                "Time since the manager's last answer, in seconds; -1 before the first.",
                now.silence.map_or(-1.0, |silence| silence.as_secs_f64()),
            ),
            (
                "task_capacity",
                "gauge",
                "Tasks that may run at once.",
                float(now.capacity as u64),
            ),
            (
                "responses_undelivered",
                "gauge",
                "Answers on their way to the manager.",
                float(now.undelivered as u64),
            ),
            (
                "response_retries_total",
                "counter",
                "Failed attempts to deliver an answer.",
                float(self.answers_retried.get()),
            ),
            (
                "journal_bytes",
                "gauge",
                "Size of the journal of tasks in hand, in bytes.",
                float(now.journal_bytes),
            ),
            (
                "log_lines_lost_total",
                "counter",
                "Log lines that were dropped because nobody took them in time.",
                float(self.log_lines_lost.get()),
            ),
            (
                "log_bytes_lost_total",
                "counter",
                "Bytes of those lines.",
                float(self.log_bytes_lost.get()),
            ),
        ] {
            let name = format!("harness_delegate_{name}");
            head(out, &name, kind, help)?;
            writeln!(out, "{name} {value}")?;
        }
        Ok(())
    }

    fn write_tasks(&self, out: &mut String) -> fmt::Result {
        let name = "harness_delegate_tasks_total";
        head(out, name, "counter", "Tasks by their kind and how they ended.")?;
        for kind in &self.kinds {
            for (outcome, counter) in Outcome::ALL.iter().zip(&kind.by_outcome) {
                let (kind, status, count) = (&kind.name, outcome.as_str(), counter.get());
                writeln!(out, "{name}{{kind=\"{kind}\",status=\"{status}\"}} {count}")?;
            }
        }
        Ok(())
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

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// Prometheus has one number type. Counters stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::events::{Event, Recorder as _};
    use crate::protocol::wire::CommandStatus;

    #[test]
    fn every_documented_name_is_there_before_the_first_event() {
        let text = Metrics::new(["SHELL_SCRIPT"], None).render(Gauges::default());
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
    fn every_series_has_its_head_and_is_in_the_guide() {
        let guide = include_str!("../../../../docs/guides/operating.md");
        let text = Metrics::new(["SHELL_SCRIPT"], None).render(Gauges::default());
        let mut heads = Vec::new();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let name = head.split(' ').next().unwrap();
                assert!(!heads.contains(&name), "{name} has two heads");
                assert!(guide.contains(&format!("`{name}")), "{name} is not in the guide");
                heads.push(name);
            } else if !line.starts_with('#') {
                let last = heads.last().expect("a head comes first");
                assert!(line.starts_with(last), "{line} stands under {last}");
            }
        }
    }

    #[test]
    fn a_timeout_is_no_failure_and_a_failed_script_is_completed() {
        let metrics = Metrics::new(["SHELL_SCRIPT"], None);
        let ended = |kind, outcome, took| metrics.record(Event::TaskEnded { kind, outcome, took });
        let took = Duration::from_millis(1500);
        ended("SHELL_SCRIPT", Outcome::Ran(CommandStatus::Timeout), took);
        ended("SHELL_SCRIPT", Outcome::Ran(CommandStatus::Failure), took);
        ended("NOBODY_KNOWS\"", Outcome::Failed, Duration::from_secs(100_000));
        metrics.record(Event::LogLost { lines: 2, bytes: 70 });
        let text = metrics.render(Gauges {
            connected: true,
            executing: 2,
            ..Gauges::default()
        });
        for line in [
            "io_harness_custom_metric_task_completed_total 1",
            "io_harness_custom_metric_task_failed_total 1",
            "io_harness_custom_metric_task_timeout_total 1",
            "io_harness_custom_metric_delegate_connected 1",
            "io_harness_custom_metric_tasks_currently_executing 2",
            "harness_delegate_tasks_total{kind=\"SHELL_SCRIPT\",status=\"failure\"} 1",
            "harness_delegate_tasks_total{kind=\"unknown\",status=\"failed\"} 1",
            "harness_delegate_task_duration_seconds_bucket{le=\"1\"} 0",
            "harness_delegate_task_duration_seconds_bucket{le=\"14400\"} 2",
            "harness_delegate_task_duration_seconds_bucket{le=\"+Inf\"} 3",
            "harness_delegate_log_lines_lost_total 2",
            "harness_delegate_log_bytes_lost_total 70",
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{line} is missing:\n{text}"
            );
        }
    }
}
