//! The families of `/api/metrics`, sent at an interval.
//!
//! Counters are sent as sums since the start, so that a message that is lost costs nothing: the next has the same and
//! more. So what failed is not kept but made anew.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Listener, attribute, nanos, scope};
use crate::agent::backoff::{Backoff, between};
use crate::agent::metrics::{Distribution, Family, Sample, Series};
use crate::agent::status::Status;
use crate::protocol::otlp::wire::metric::Data;
use crate::protocol::otlp::wire::{
    AggregationTemporality, Attribute, ExportMetrics, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Resource, ResourceMetrics, ScopeMetrics, Sum,
};

/// Whose metrics they are, and since when they count.
#[derive(Debug)]
pub(super) struct Of {
    pub(super) resource: Resource,
    pub(super) since: SystemTime,
}

/// Exports until `closing`, and then once more.
pub(super) async fn export(
    mut listener: Listener,
    every: Duration,
    of: Of,
    status: Arc<Status>,
    closing: CancellationToken,
) {
    let mut backoff = Backoff::default();
    // Agents that were started together are not heard together.
    let mut pause = between(Duration::ZERO, every);
    loop {
        let last = closing.run_until_cancelled(sleep(pause)).await.is_none();
        let families = status.metrics.families(status.gauges());
        let sent = listener.send(&message(families, &of, SystemTime::now())).await;
        if last {
            return;
        }
        pause = match sent {
            Err(refused) if refused.again => backoff.pause(refused.retry_after).min(every),
            Ok(_) | Err(_) => {
                backoff.reset();
                every
            }
        };
    }
}

fn message(families: Vec<Family>, of: &Of, now: SystemTime) -> ExportMetrics {
    let (since, now) = (nanos(of.since), nanos(now));
    let metric = |family: Family| Metric {
        name: family.name,
        description: family.help.to_owned(),
        unit: family.unit.to_owned(),
        data: Some(data(family.series, since, now)),
    };
    ExportMetrics {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(of.resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: families.into_iter().map(metric).collect(),
            }],
        }],
    }
}

fn data(series: Series, since: u64, now: u64) -> Data {
    let cumulative = AggregationTemporality::Cumulative.into();
    match series {
        Series::Gauge(samples) => Data::Gauge(Gauge {
            // A gauge counts from nowhere.
            data_points: points(samples, 0, now),
        }),
        Series::Counter(samples) => Data::Sum(Sum {
            data_points: points(samples, since, now),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Series::Histogram(values) => Data::Histogram(Histogram {
            data_points: vec![distribution(&values, since, now)],
            aggregation_temporality: cumulative,
        }),
    }
}

fn points(samples: Vec<Sample>, since: u64, now: u64) -> Vec<NumberDataPoint> {
    let attributes = |labels: Vec<(&str, String)>| -> Vec<Attribute> {
        let labels = labels.into_iter();
        labels.map(|(name, value)| attribute(name, value)).collect()
    };
    let point = |sample: Sample| NumberDataPoint {
        attributes: attributes(sample.labels),
        start_time_unix_nano: since,
        time_unix_nano: now,
        as_double: Some(sample.value),
    };
    samples.into_iter().map(point).collect()
}

fn distribution(values: &Distribution, since: u64, now: u64) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: Vec::new(),
        start_time_unix_nano: since,
        time_unix_nano: now,
        count: values.count(),
        sum: Some(values.sum),
        bucket_counts: values.counts.clone(),
        explicit_bounds: values.bounds.to_vec(),
    }
}
