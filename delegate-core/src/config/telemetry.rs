//! Where traces and metrics are pushed to by OpenTelemetry's protocol (OTLP). Each is off until its endpoint is set.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use crate::Secret;

/// Time for one export, as OpenTelemetry's specification has it.
pub const DEFAULT_OTLP_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two exports of metrics, as the specification has it.
pub const DEFAULT_METRIC_INTERVAL: Duration = Duration::from_mins(1);

/// How long a span may wait for others to be exported with, as the specification has it.
pub const DEFAULT_SPAN_DELAY: Duration = Duration::from_secs(5);

/// From this length on, in bytes, the key in a header's value is a secret to be masked in what tasks print. Keys are longer; shorter
/// values are names of tenants, which may well stand in a log.
const SECRET_FROM: usize = 16;

/// What is exported, by the variables that every program with OpenTelemetry reads (`OTEL_*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// A trace for each task.
    pub traces: Option<TraceExport>,
    /// What `/api/metrics` serves.
    pub metrics: Option<MetricExport>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, and `OTEL_SERVICE_NAME` as its `service.name`: who we are to whoever looks at both.
    pub resource: BTreeMap<String, String>,
}

impl Telemetry {
    /// Whether nothing is exported at all.
    pub fn is_off(&self) -> bool {
        self.traces.is_none() && self.metrics.is_none()
    }

    /// Whether exports carry headers, which keys are put into.
    pub fn has_headers(&self) -> bool {
        self.targets().any(|to| !to.headers.is_empty())
    }

    /// What in here is secret: masked in whatever a task prints.
    pub fn own(&self) -> Vec<Secret> {
        let mut own = Vec::new();
        for value in self.targets().flat_map(|to| to.headers.values()) {
            // What stands before it says how it is to be read: "Bearer".
            let key = value.expose().rsplit(' ').next().unwrap_or_default();
            let key = Secret::new(key);
            // A list for both signals is there twice.
            if key.expose().len() >= SECRET_FROM && !own.contains(&key) {
                own.push(key);
            }
        }
        own
    }

    fn targets(&self) -> impl Iterator<Item = &Otlp> {
        let traces = self.traces.iter().map(|traces| &traces.to);
        traces.chain(self.metrics.iter().map(|metrics| &metrics.to))
    }
}

/// How traces are exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// Where to.
    pub to: Otlp,
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long a span may wait for others to be exported with.
    pub delay: Duration,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`: which share of the tasks has a trace.
    pub sampled: SampleRatio,
}

/// How metrics are exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricExport {
    /// Where to.
    pub to: Otlp,
    /// `OTEL_METRIC_EXPORT_INTERVAL`.
    pub every: Duration,
}

/// A collector, or whoever else takes OTLP. Each setting has a variable of the signal's own, which wins
/// (`OTEL_EXPORTER_OTLP_TRACES_…`, `OTEL_EXPORTER_OTLP_METRICS_…`), and one for both (`OTEL_EXPORTER_OTLP_…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// `…_ENDPOINT`: where this signal goes, its path included. By gRPC the path is the protocol's own, after this one.
    pub endpoint: Url,
    /// `…_PROTOCOL`.
    pub protocol: OtlpProtocol,
    /// `…_HEADERS`: sent with each export. Names are in lower case; values are keys, mostly.
    pub headers: BTreeMap<String, Secret>,
    /// `…_TIMEOUT`: for one export, answer included.
    pub timeout: Duration,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OtlpProtocol {
    /// Protocol buffers over HTTP.
    #[default]
    HttpProtobuf,
    /// JSON over HTTP.
    HttpJson,
    /// gRPC.
    Grpc,
}

/// A share, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleRatio(u32);

impl SampleRatio {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The number: 0 to 1 000 000.
    pub fn millionths(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SampleRatio {
    type Error = &'static str;

    fn try_from(millionths: u32) -> Result<Self, Self::Error> {
        if millionths <= Self::ALL.0 {
            Ok(Self(millionths))
        } else {
            Err("must be a share, 0 to 1")
        }
    }
}

impl std::str::FromStr for SampleRatio {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share: f64 = text.parse().unwrap_or(-1.0);
        if !(0.0..=1.0).contains(&share) {
            return Err("must be a share, 0 to 1");
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1 000 000, as was just seen"
        )]
        let millionths = (share * f64::from(Self::ALL.0)).round() as u32;
        Ok(Self(millionths))
    }
}
