//! Our messages, read with OpenTelemetry's own types: of another author, from the original protocol files.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Theirs;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use serde::de::DeserializeOwned;

use super::wire::{
    AggregationTemporality, Attribute, ExportMetrics, ExportTraces, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, Resource, ResourceMetrics, ResourceSpans, Scope, ScopeMetrics, ScopeSpans, Span,
    SpanKind, Status as SpanStatus, StatusCode as SpanCode, Sum, Value, metric,
};
use super::*;

/// Above what JSON's readers hold exactly.
const NOW: u64 = 1_764_000_000_123_456_789;

fn attribute(key: &str, value: &str) -> Attribute {
    Attribute {
        key: key.to_owned(),
        value: Some(Value {
            string_value: Some(value.to_owned()),
        }),
    }
}

fn scope() -> Scope {
    Scope {
        name: "us".to_owned(),
        version: "1".to_owned(),
    }
}

fn resource() -> Resource {
    Resource {
        attributes: vec![attribute("service.name", "us"), attribute("empty", "")],
    }
}

fn traces() -> ExportTraces {
    let span = Span {
        trace_id: (1..=16).collect(),
        span_id: vec![0xff; 8],
        parent_span_id: vec![0x0a; 8],
        name: "run".to_owned(),
        kind: SpanKind::Consumer.into(),
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 1,
        attributes: vec![attribute("kind", "K\"")],
        status: Some(SpanStatus {
            message: "failed".to_owned(),
            code: SpanCode::Error.into(),
        }),
    };
    let root = Span {
        parent_span_id: Vec::new(),
        kind: SpanKind::Internal.into(),
        status: Some(SpanStatus::default()),
        ..span.clone()
    };
    ExportTraces {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: vec![root, span],
            }],
        }],
    }
}

fn metrics() -> ExportMetrics {
    let point = |value: f64| NumberDataPoint {
        start_time_unix_nano: NOW,
        time_unix_nano: NOW + 2,
        as_double: Some(value),
        attributes: vec![attribute("kind", "K")],
    };
    let cumulative = AggregationTemporality::Cumulative.into();
    let metric = |name: &str, data| Metric {
        name: name.to_owned(),
        description: "what it is".to_owned(),
        unit: "s".to_owned(),
        data: Some(data),
    };
    let values = HistogramDataPoint {
        start_time_unix_nano: NOW,
        time_unix_nano: NOW + 2,
        count: 6,
        sum: Some(1.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        attributes: Vec::new(),
    };
    ExportMetrics {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: vec![
                    metric(
                        "now",
                        metric::Data::Gauge(Gauge {
                            data_points: vec![point(0.0)],
                        }),
                    ),
                    metric(
                        "all",
                        metric::Data::Sum(Sum {
                            data_points: vec![point(7.0)],
                            aggregation_temporality: cumulative,
                            is_monotonic: true,
                        }),
                    ),
                    metric(
                        "how_large",
                        metric::Data::Histogram(Histogram {
                            data_points: vec![values],
                            aggregation_temporality: cumulative,
                        }),
                    ),
                ],
            }],
        }],
    }
}

/// What they read in what we write, which is the same in both forms.
fn read<T: Message + Default + PartialEq + std::fmt::Debug + DeserializeOwned>(ours: &impl Export) -> T {
    let binary = T::decode(&*ours.encode_to_vec()).unwrap();
    let json = serde_json::to_string(ours).unwrap();
    let text: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(text, binary, "{json}");
    assert_eq!(
        binary.encoded_len(),
        ours.encoded_len(),
        "nothing of ours is unknown to them"
    );
    binary
}

#[test]
fn traces_are_read_as_they_are_meant() {
    let theirs: ExportTraceServiceRequest = read(&traces());
    let resource = &theirs.resource_spans[0];
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    let texts: Vec<_> = attributes
        .iter()
        .map(|attribute| (&*attribute.key, attribute.value.clone().unwrap().value.unwrap()))
        .collect();
    let text = |text: &str| Theirs::StringValue(text.to_owned());
    assert_eq!(texts, [("service.name", text("us")), ("empty", text(""))]);
    let scope = &resource.scope_spans[0];
    assert_eq!(scope.scope.as_ref().unwrap().name, "us");
    let [root, span] = &*scope.spans else {
        panic!("{scope:?}")
    };
    assert_eq!((root.parent_span_id.len(), root.kind), (0, 1));
    assert_eq!(root.status.as_ref().unwrap().code, 0);
    assert_eq!(span.trace_id, (1..=16).collect::<Vec<u8>>());
    assert_eq!(
        (&*span.span_id, &*span.parent_span_id),
        (&[0xff; 8][..], &[0x0a; 8][..])
    );
    assert_eq!(
        (span.start_time_unix_nano, span.end_time_unix_nano),
        (NOW, NOW + 1)
    );
    assert_eq!((&*span.name, span.kind), ("run", 5));
    assert_eq!(
        span.attributes[0].value.clone().unwrap().value.unwrap(),
        text("K\"")
    );
    let status = span.status.as_ref().unwrap();
    assert_eq!((&*status.message, status.code), ("failed", 2));
}

#[test]
fn metrics_are_read_as_they_are_meant() {
    let theirs: ExportMetricsServiceRequest = read(&metrics());
    let metrics = &theirs.resource_metrics[0].scope_metrics[0].metrics;
    let data: Vec<_> = metrics
        .iter()
        .map(|metric| (&*metric.name, &*metric.unit, metric.data.clone().unwrap()))
        .collect();
    let [
        ("now", "s", Data::Gauge(gauge)),
        ("all", "s", Data::Sum(sum)),
        ("how_large", "s", Data::Histogram(histogram)),
    ] = &*data
    else {
        panic!("{data:?}")
    };
    assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(0.0)));
    let point = &sum.data_points[0];
    assert_eq!(point.value, Some(Number::AsDouble(7.0)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (NOW, NOW + 2));
    assert_eq!(point.attributes[0].key, "kind");
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    let values = &histogram.data_points[0];
    assert_eq!((values.count, values.sum), (6, Some(1.5)));
    assert_eq!(values.bucket_counts, [1, 2, 3]);
    assert_eq!(values.explicit_bounds, [0.5, 1.0]);
    assert_eq!(histogram.aggregation_temporality, 2);
}

#[test]
fn only_what_the_specification_says_is_tried_again() {
    for status in 300..=599 {
        let refused = of_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(refused.again, [429, 502, 503, 504].contains(&status), "{status}");
    }
    let again = |code: i32| of_code(&tonic::Status::new(Code::from_i32(code), "a key, who knows"));
    for code in 1..=16 {
        let refused = again(code);
        assert_eq!(refused.again, [1, 4, 10, 11, 14, 15].contains(&code), "{code}");
        assert!(!refused.reason.contains("key, who"), "{refused}");
    }
}

#[tokio::test]
async fn the_usual_port_of_another_protocol_is_pointed_out_when_it_fails() {
    let said = async |protocol, address: &str| {
        let to = Otlp {
            endpoint: address.parse().unwrap(),
            protocol,
            headers: std::collections::BTreeMap::default(),
            // Whatever is there: it does not answer before this.
            timeout: Duration::ZERO,
        };
        let collector = Collector::new(to, Arc::new(Http::default()));
        let refused = collector.send(&ExportTraces::default()).await.unwrap_err();
        assert!(refused.again, "{refused}");
        refused.reason
    };
    for (protocol, address, part) in [
        (
            OtlpProtocol::HttpProtobuf,
            "http://127.0.0.1:4317/v1/traces",
            "write 4318",
        ),
        (
            OtlpProtocol::HttpJson,
            "http://127.0.0.1:4317/v1/traces",
            "PROTOCOL to grpc",
        ),
        (OtlpProtocol::Grpc, "http://127.0.0.1:4318", "write 4317"),
    ] {
        let reason = said(protocol, address).await;
        assert!(reason.contains(part), "{reason}");
    }
    let reason = said(OtlpProtocol::Grpc, "http://127.0.0.1:4317").await;
    assert!(!reason.contains("port"), "{reason}");
}

#[test]
fn what_a_collector_did_not_take_is_read_in_all_its_forms() {
    for (answer, rejected) in [
        (
            r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#,
            3,
        ),
        (r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4),
        (r#"{"partialSuccess":null}"#, 0),
        ("{}", 0),
        ("", 0),
        ("<html>", 0),
    ] {
        assert_eq!(
            rejected_in_json::<ExportTraces>(answer.as_bytes()),
            rejected,
            "{answer}"
        );
    }
}
