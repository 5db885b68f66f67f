//! The collectors of traces and metrics, where some are set: whether they take an export of nothing.

use std::sync::Arc;
use std::time::Duration;

use super::report::Report;
use crate::config::DelegateConfig;
use crate::config::telemetry::Otlp;
use crate::protocol::http::Http;
use crate::protocol::otlp::wire::{ExportMetrics, ExportTraces};
use crate::protocol::otlp::{Collector, Export};

/// Time for an answer, even where exports may take longer.
const ANSWER: Duration = Duration::from_secs(5);

/// Looks at each. A delegate works without them, so nothing here is worse than a warning.
pub(super) async fn look(config: &DelegateConfig, report: &mut Report) {
    let http = Arc::new(Http::new(config.into()));
    if let Some(traces) = &config.telemetry.traces {
        ask::<ExportTraces>("telemetry.traces", &traces.to, &http, report).await;
    }
    if let Some(metrics) = &config.telemetry.metrics {
        ask::<ExportMetrics>("telemetry.metrics", &metrics.to, &http, report).await;
    }
}

async fn ask<T: Export>(check: &'static str, to: &Otlp, http: &Arc<Http>, report: &mut Report) {
    let to = Otlp {
        timeout: to.timeout.min(ANSWER),
        ..to.clone()
    };
    let collector = Collector::new(to, Arc::clone(http));
    let (at, signal) = (collector.shown(), T::NAME);
    match collector.send(&T::default()).await {
        Ok(_) => report.ok(check, format_args!("{at} takes {signal}")),
        Err(refused) => report.warn(
            check,
            format_args!("{at} does not take {signal}: {refused}"),
            "correct OTEL_EXPORTER_OTLP_ENDPOINT and its companions, or the collector; tasks run all the same",
        ),
    }
}
