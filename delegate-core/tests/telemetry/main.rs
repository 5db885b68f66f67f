//! Export by OpenTelemetry: what a real agent sends to a double of a collector, in each of the three forms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod collector_double;
mod program;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use collector_double::{Answer, Call, CollectorDouble, spans_of, text};
use delegate_core::Secret;
use delegate_core::agent::{Exit, Stop};
use delegate_core::config::telemetry::{
    MetricExport, Otlp, OtlpProtocol, SampleRatio, Telemetry, TraceExport,
};
use futures_util::future::join_all;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use serde_json::json;
use support::manager_double::ManagerDouble;
use support::{Running, Watchdog, kinds};

const KEY: &str = "Bearer hunter2-hunter2";

const PROTOCOLS: [OtlpProtocol; 3] = [
    OtlpProtocol::HttpProtobuf,
    OtlpProtocol::HttpJson,
    OtlpProtocol::Grpc,
];

/// Where a signal goes. An answer may take as long as a test may.
fn otlp(collector: &CollectorDouble, protocol: OtlpProtocol, path: &str) -> Otlp {
    let path = if protocol == OtlpProtocol::Grpc { "/" } else { path };
    Otlp {
        endpoint: format!("{}{path}", collector.url).parse().unwrap(),
        protocol,
        headers: BTreeMap::from([("authorization".to_owned(), Secret::new(KEY))]),
        timeout: support::PATIENCE * 2,
    }
}

/// Traces at once, metrics at the end: the first of them is due at a random time within the interval.
fn telemetry(collector: &CollectorDouble, protocol: OtlpProtocol) -> Telemetry {
    Telemetry {
        traces: Some(TraceExport {
            to: otlp(collector, protocol, "/v1/traces"),
            delay: Duration::from_millis(1),
            sampled: SampleRatio::ALL,
        }),
        metrics: Some(MetricExport {
            to: otlp(collector, protocol, "/v1/metrics"),
            every: Duration::from_hours(10_000),
        }),
        resource: BTreeMap::from([("service.name".to_owned(), "agents".to_owned())]),
    }
}

struct Setup {
    collector: CollectorDouble,
    manager: ManagerDouble,
    agent: Running,
}

impl Setup {
    async fn new(telemetry: impl FnOnce(&CollectorDouble) -> Telemetry) -> Self {
        let (collector, manager) = (CollectorDouble::start().await, ManagerDouble::start().await);
        let (registry, _, _) = kinds::registry();
        let telemetry = telemetry(&collector);
        let agent = Running::start(&manager.url, registry, |config| config.telemetry = telemetry);
        Self {
            collector,
            manager,
            agent,
        }
    }

    async fn run(&self, id: &str, kind: &str) {
        self.manager.offer(id, kind, json!({"say": "of-the-task"}));
        self.manager.answered(id).await;
    }

    async fn drained(&self) {
        self.agent.stop.stop(Stop::Drain);
        assert_eq!(self.agent.exit().await, Exit::Drained);
    }

    async fn lost(&self) -> String {
        let text = self.agent.get("/api/metrics").await.1;
        let name = "harness_delegate_spans_lost_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    }
}

/// The number of a series of the last export that has it.
fn number(calls: &[Call], name: &str, labels: &[(&str, &str)]) -> f64 {
    let metric = metric(calls, name);
    let points = match metric.data.unwrap() {
        Data::Gauge(gauge) => gauge.data_points,
        Data::Sum(sum) => {
            assert!(sum.is_monotonic);
            sum.data_points
        }
        other => panic!("{other:?}"),
    };
    let is_it = |point: &&opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
        labels
            .iter()
            .all(|(key, value)| text(&point.attributes, key).as_deref() == Some(*value))
    };
    match points.iter().find(is_it).unwrap().value.unwrap() {
        Number::AsDouble(number) => number,
        Number::AsInt(_) => panic!("{points:?}"),
    }
}

fn metric(calls: &[Call], name: &str) -> Metric {
    let metrics = calls.iter().rev().flat_map(|call| &call.metrics);
    let found = metrics.into_iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} was not exported")).clone()
}

async fn a_task_seen(protocol: OtlpProtocol) {
    let t = Setup::new(|collector| telemetry(collector, protocol)).await;
    t.run("good", "AT_ONCE").await;
    t.run("bad", "PANICS").await;
    for (id, kind, outcome, code) in [("good", "AT_ONCE", "success", 0), ("bad", "PANICS", "failed", 2)] {
        let spans = t.collector.trace_of(id).await;
        let [task, acquire, run, answer] = &*spans else {
            panic!("{spans:#?}")
        };
        assert_eq!(task.name, format!("task {kind}"));
        assert_eq!((&*task.parent_span_id, task.trace_id.len()), (&[][..], 16));
        assert_eq!(text(&task.attributes, "harness.task.kind").unwrap(), kind);
        assert_eq!(text(&task.attributes, "harness.task.outcome").unwrap(), outcome);
        let codes = [task, acquire, run, answer].map(|span| span.status.as_ref().unwrap().code);
        assert_eq!(codes, [code, 0, code, 0]);
        assert_eq!(
            [&*acquire.name, &*run.name, &*answer.name],
            ["acquire", "run", "answer"]
        );
        for part in [acquire, run, answer] {
            assert_eq!(part.parent_span_id, task.span_id);
        }
        let ends = [
            task.start_time_unix_nano,
            acquire.start_time_unix_nano,
            acquire.end_time_unix_nano,
            run.start_time_unix_nano,
            run.end_time_unix_nano,
            answer.start_time_unix_nano,
            answer.end_time_unix_nano,
        ];
        assert!(ends.is_sorted(), "{ends:?}");
        assert_eq!(answer.end_time_unix_nano, task.end_time_unix_nano);
    }
    assert_eq!(t.lost().await, "0");
    let text_of_metrics = t.agent.get("/api/metrics").await.1;
    t.drained().await;
    let calls = t.collector.calls();
    for call in &calls {
        assert_eq!(call.headers["authorization"], KEY);
        assert!(!call.headers.contains_key("content-encoding"));
        assert_eq!(text(&call.resource, "service.name").unwrap(), "agents");
        assert_eq!(text(&call.resource, "harness.delegate.name").unwrap(), "tested");
        assert!(text(&call.resource, "service.instance.id").is_some());
        let body = String::from_utf8_lossy(&call.body);
        assert!(
            !body.contains("of-the-task") && !body.contains("hunter2"),
            "{body}"
        );
    }
    assert!(calls.iter().all(|call| match protocol {
        OtlpProtocol::Grpc => call.path.starts_with("/opentelemetry.proto.collector."),
        _ => call.path.starts_with("/v1/"),
    }));
    let last = calls.iter().rfind(|call| !call.metrics.is_empty()).unwrap();
    let exported: BTreeSet<&str> = last.metrics.iter().map(|metric| &*metric.name).collect();
    let heads = text_of_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<&str> = heads.map(|head| head.split(' ').next().unwrap()).collect();
    assert_eq!(exported, served, "nothing is in one of them only");
    let tasks = "harness_delegate_tasks_total";
    let count = |labels: &[(&str, &str)]| number(&calls, tasks, labels);
    assert!((count(&[("kind", "AT_ONCE"), ("status", "success")]) - 1.0).abs() < f64::EPSILON);
    assert!((count(&[("kind", "PANICS"), ("status", "failed")]) - 1.0).abs() < f64::EPSILON);
    assert!((count(&[("kind", "PANICS"), ("status", "success")])).abs() < f64::EPSILON);
    assert!((number(&calls, "harness_delegate_draining", &[]) - 1.0).abs() < f64::EPSILON);
    let Some(Data::Histogram(durations)) = metric(&calls, "harness_delegate_task_duration_seconds").data
    else {
        panic!("no histogram")
    };
    let values = &durations.data_points[0];
    assert_eq!((values.count, values.bucket_counts.iter().sum::<u64>()), (2, 2));
    assert_eq!(values.bucket_counts.len(), values.explicit_bounds.len() + 1);
    assert!(values.start_time_unix_nano > 0 && values.start_time_unix_nano <= values.time_unix_nano);
}

#[tokio::test]
async fn a_task_is_a_trace_and_counts_in_the_metrics_by_each_protocol() {
    let _watchdog = Watchdog::start("telemetry seen");
    join_all(PROTOCOLS.map(a_task_seen)).await;
}

async fn a_busy_collector(protocol: OtlpProtocol) {
    let t = Setup::new(|collector| Telemetry {
        metrics: None,
        ..telemetry(collector, protocol)
    })
    .await;
    t.collector.answer([Answer::Busy]);
    t.run("a", "AT_ONCE").await;
    assert_eq!(t.collector.trace_of("a").await.len(), 4);
    let calls = t.collector.calls();
    let [first, second] = &*calls else {
        panic!("{calls:?}")
    };
    assert_eq!((first.taken, second.taken), (false, true));
    assert_eq!(first.spans, second.spans, "the same is sent again");
    assert_eq!(t.lost().await, "0");
    // What is refused for good is not sent again, and what a collector leaves out is lost too.
    t.collector.answer([Answer::Refused, Answer::Partly(3)]);
    t.run("b", "AT_ONCE").await;
    t.collector.until(|calls| (calls.len() == 3).then_some(())).await;
    t.run("c", "AT_ONCE").await;
    t.collector.trace_of("c").await;
    t.drained().await;
    let calls = t.collector.calls();
    assert_eq!(calls.len(), 4);
    assert_eq!(spans_of(&calls, "a").len(), 4, "delivered once");
    assert_eq!(spans_of(&calls, "b").len(), 0);
}

#[tokio::test]
async fn what_a_busy_collector_did_not_take_is_sent_again_once_it_does() {
    let _watchdog = Watchdog::start("telemetry busy");
    join_all(PROTOCOLS.map(a_busy_collector)).await;
}

#[tokio::test]
async fn spans_that_nobody_took_are_counted() {
    let _watchdog = Watchdog::start("telemetry counted");
    let t = Setup::new(|collector| telemetry(collector, OtlpProtocol::HttpProtobuf)).await;
    t.collector.answer([Answer::Refused, Answer::Partly(3)]);
    t.run("a", "AT_ONCE").await;
    t.collector.until(|calls| (calls.len() == 1).then_some(())).await;
    t.run("b", "AT_ONCE").await;
    t.collector.trace_of("b").await;
    // The third batch is gathered when the second is done with.
    t.run("c", "AT_ONCE").await;
    t.collector.trace_of("c").await;
    assert_eq!(t.lost().await, "7");
    t.drained().await;
    let lost = number(&t.collector.calls(), "harness_delegate_spans_lost_total", &[]);
    assert!((lost - 7.0).abs() < f64::EPSILON, "{lost}");
}

#[tokio::test]
async fn a_silent_collector_holds_up_neither_tasks_nor_the_end() {
    let _watchdog = Watchdog::start("telemetry silent");
    let t = Setup::new(|collector| telemetry(collector, OtlpProtocol::HttpProtobuf)).await;
    t.collector.always(Answer::Silence);
    t.run("first", "AT_ONCE").await;
    // It has the first, and will never answer.
    t.collector.until(|calls| (!calls.is_empty()).then_some(())).await;
    for n in 0..20 {
        t.run(&format!("t{n}"), "AT_ONCE").await;
    }
    // An answer may take twice as long as this test.
    t.drained().await;
    assert!(t.collector.calls().iter().all(|call| !call.taken));
}

#[tokio::test]
async fn nobody_is_contacted_when_the_export_is_off() {
    let _watchdog = Watchdog::start("telemetry off");
    let off = |collector: &CollectorDouble| {
        let vars = [
            ("ACCOUNT_ID", "acc"),
            ("DELEGATE_NAME", "tested"),
            ("DELEGATE_TOKEN", support::TOKEN),
            ("MANAGER_HOST_AND_PORT", "http://manager"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
            ("OTEL_SDK_DISABLED", "true"),
        ];
        let env = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = delegate_core::config::DelegateConfig::from_env(&env.into_iter().collect());
        config.unwrap().telemetry
    };
    let t = Setup::new(off).await;
    t.run("a", "AT_ONCE").await;
    t.drained().await;
    assert!(t.collector.calls().is_empty());
}
