//! The text of `/api/metrics`.

use std::fmt::{self, Write as _};

use super::families::{Family, Sample, Series};
use super::{Gauges, Metrics};

impl Metrics {
    /// The text of `/api/metrics`.
    pub(in crate::agent) fn render(&self, now: Gauges) -> String {
        let mut text = String::with_capacity(8192);
        for family in self.families(now) {
            // Writing into a String does not fail.
            let _ = write(&mut text, &family);
        }
        text
    }
}

fn write(out: &mut String, family: &Family) -> fmt::Result {
    let Family { name, help, .. } = family;
    let kind = match family.series {
        Series::Counter(_) => "counter",
        Series::Gauge(_) => "gauge",
        Series::Histogram(_) => "histogram",
    };
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    match &family.series {
        Series::Counter(samples) | Series::Gauge(samples) => {
            for Sample { labels, value } in samples {
                out.push_str(name);
                for (at, (label, text)) in labels.iter().enumerate() {
                    write!(out, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' })?;
                }
                let end = if labels.is_empty() { "" } else { "}" };
                writeln!(out, "{end} {value}")?;
            }
            Ok(())
        }
        Series::Histogram(values) => {
            let mut below = 0;
            for (bound, count) in values.bounds.iter().zip(&values.counts) {
                below += count;
                writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}")?;
            }
            let (count, sum) = (values.count(), values.sum);
            writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
            writeln!(out, "{name}_sum {sum}\n{name}_count {count}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::families::OFFICIAL;
    use super::*;
    use crate::agent::events::{Event, Outcome, Recorder as _};
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
