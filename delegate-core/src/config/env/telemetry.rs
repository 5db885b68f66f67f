//! The settings that say where traces and metrics are pushed to.
//!
//! The variables and their rules are OpenTelemetry's ("OTLP Exporter Configuration", "General SDK Configuration"): a
//! signal's own variable wins over the one for both, the path `v1/traces` or `v1/metrics` is appended to the endpoint for
//! both and not to a signal's own, and lists are those of W3C Baggage, percent-encoded. In three points this is stricter
//! or narrower: without an endpoint nothing is exported; a value that cannot be used is an error, as with every
//! other variable of a delegate; and an endpoint has no login, which belongs into the headers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::network::{percent_decode, percent_encode};
use super::{EnvValue, Reader, list};
use crate::Secret;
use crate::config::telemetry::{
    DEFAULT_METRIC_INTERVAL, DEFAULT_OTLP_TIMEOUT, DEFAULT_SPAN_DELAY, MetricExport, Otlp, OtlpProtocol,
    SampleRatio, Telemetry, TraceExport,
};

const DISABLED: &str = "OTEL_SDK_DISABLED";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SPAN_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const METRIC_INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// The attribute that `OTEL_SERVICE_NAME` sets.
const SERVICE_NAME_ATTRIBUTE: &str = "service.name";

/// Headers that an export sets itself, or that the HTTP client does.
const TAKEN_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
];

/// The variables of one signal.
struct Signal {
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
    headers: &'static str,
    timeout: &'static str,
    /// What follows the endpoint for both signals.
    path: [&'static str; 2],
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    headers: "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    path: ["v1", "traces"],
};

const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    headers: "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    timeout: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    path: ["v1", "metrics"],
};

pub(super) fn read(read: &mut Reader<'_>) -> Telemetry {
    if read.flag(DISABLED) {
        return Telemetry::default();
    }
    let traces = otlp(read, &TRACES).map(|to| TraceExport {
        to,
        delay: millis(read, &[SPAN_DELAY], DEFAULT_SPAN_DELAY),
        sampled: sampler(read),
    });
    let metrics = otlp(read, &METRICS).map(|to| MetricExport {
        to,
        every: millis(read, &[METRIC_INTERVAL], DEFAULT_METRIC_INTERVAL),
    });
    if traces.is_none() && metrics.is_none() {
        // A machine's OTEL_* variables may mean other programs: they are not judged where nothing is exported.
        return Telemetry::default();
    }
    Telemetry {
        traces,
        metrics,
        resource: resource(read),
    }
}

/// Where a signal goes; `None` when it is not exported, or not usable.
fn otlp(read: &mut Reader<'_>, signal: &Signal) -> Option<Otlp> {
    let (name, text) = read.text(&[signal.endpoint, ENDPOINT])?;
    if !is_exported(read, signal) {
        return None;
    }
    let protocol: OtlpProtocol = read.parsed(&[signal.protocol, PROTOCOL]).unwrap_or_default();
    let endpoint = endpoint(text.trim()).map_err(|problem| read.fail(name, problem));
    let headers = match read.text(&[signal.headers, HEADERS]) {
        Some((name, text)) => headers(&text).map_err(|problem| read.fail(name, problem)),
        None => Ok(BTreeMap::new()),
    };
    let timeout = millis(read, &[signal.timeout, TIMEOUT], DEFAULT_OTLP_TIMEOUT);
    let mut endpoint = endpoint.ok()?;
    if name == ENDPOINT
        && protocol != OtlpProtocol::Grpc
        && let Ok(mut path) = endpoint.path_segments_mut()
    {
        path.pop_if_empty().extend(signal.path);
    }
    Some(Otlp {
        endpoint,
        protocol,
        headers: headers.ok()?,
        timeout,
    })
}

/// What is not said is exported by OTLP. Prometheus needs no export: `/api/metrics` is served in any case.
fn is_exported(read: &mut Reader<'_>, signal: &Signal) -> bool {
    let Some(text) = read.env.get(signal.exporter).map(str::to_owned) else {
        return true;
    };
    let mut exported = false;
    for exporter in list(&text) {
        match exporter {
            "otlp" => exported = true,
            "none" => {}
            "prometheus" if signal.exporter == METRICS.exporter => {}
            other => read.fail(
                signal.exporter,
                format_args!("{other:?} is not supported; set otlp or none"),
            ),
        }
    }
    exported
}

/// The address itself is in no error: keys are put into addresses, too.
fn endpoint(text: &str) -> Result<Url, &'static str> {
    let url = text
        .parse::<Url>()
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("is not a URL with http:// or https://; expected for example http://collector:4318")?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err("has a login; write it in OTEL_EXPORTER_OTLP_HEADERS, for example authorization=Basic%20…")
    }
}

/// `NAME=VALUE`, separated by commas, percent-encoded. Errors name an entry by its number: it may be all secret.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (at, entry) in list(text).enumerate() {
        let number = at + 1;
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            format!("entry {number} is not NAME=VALUE; separate entries by commas, and write %2C for a comma in a value")
        })?;
        let decoded = |text: &str| {
            percent_decode(text.trim()).ok_or_else(|| {
                format!("entry {number} is not URL-encoded text; write %25 for a percent sign")
            })
        };
        let (name, value) = (decoded(name)?, decoded(value)?);
        if name.is_empty() {
            return Err(format!("entry {number} has no name; write NAME=VALUE"));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn headers(text: &str) -> Result<BTreeMap<String, Secret>, String> {
    let mut headers = BTreeMap::new();
    for (at, (name, value)) in pairs(text)?.into_iter().enumerate() {
        let number = at + 1;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("entry {number} has a name that no header can have; write NAME=VALUE"))?;
        if TAKEN_HEADERS.contains(&name.as_str()) {
            return Err(format!(
                "sets the header {name}, which the export itself sets; remove it"
            ));
        }
        if HeaderValue::from_str(&value).is_err() {
            return Err(format!(
                "has a value for {name} that no header can have; copy it again, without line breaks"
            ));
        }
        headers.insert(name.as_str().to_owned(), Secret::new(value));
    }
    Ok(headers)
}

fn resource(read: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut resource = BTreeMap::new();
    if let Some((name, text)) = read.text(&[RESOURCE]) {
        match pairs(&text) {
            Ok(pairs) => resource.extend(pairs),
            Err(problem) => read.fail(name, problem),
        }
    }
    if let Some(name) = read.env.get(SERVICE_NAME) {
        resource.insert(SERVICE_NAME_ATTRIBUTE.to_owned(), name.to_owned());
    }
    resource
}

/// A task brings no trace of its caller, so what its "parent" says never applies, and the rest of the name does.
fn sampler(read: &mut Reader<'_>) -> SampleRatio {
    let Some((name, text)) = read.text(&[SAMPLER]) else {
        return SampleRatio::ALL;
    };
    let text = text.trim();
    match text.strip_prefix("parentbased_").unwrap_or(text) {
        "always_on" => SampleRatio::ALL,
        "always_off" => SampleRatio::NONE,
        "traceidratio" => read.parsed(&[SAMPLER_ARG]).unwrap_or(SampleRatio::ALL),
        _ => {
            read.fail(
                name,
                format_args!("{text:?} is not supported; set always_on, always_off or traceidratio"),
            );
            SampleRatio::ALL
        }
    }
}

fn millis(read: &mut Reader<'_>, names: &[&'static str], default: Duration) -> Duration {
    let set = read.text(names).map(|(name, _)| name);
    match (set, read.parsed::<u32>(names)) {
        (Some(name), Some(0)) => {
            read.fail(name, "must be at least 1; it is a number of milliseconds");
            default
        }
        (_, Some(millis)) => Duration::from_millis(u64::from(millis)),
        (_, None) => default,
    }
}

/// The variables of these settings: a signal's own, so that each is what it was.
pub(super) fn write(telemetry: &Telemetry) -> Vec<(&'static str, EnvValue)> {
    let mut vars = Vars(Vec::new());
    if let Some(traces) = &telemetry.traces {
        vars.otlp(&TRACES, &traces.to);
        vars.millis(SPAN_DELAY, traces.delay, DEFAULT_SPAN_DELAY);
        if traces.sampled != SampleRatio::ALL {
            let (whole, rest) = (
                traces.sampled.millionths() / SampleRatio::ALL.millionths(),
                traces.sampled.millionths() % SampleRatio::ALL.millionths(),
            );
            vars.plain(SAMPLER, "traceidratio");
            vars.plain(SAMPLER_ARG, format_args!("{whole}.{rest:06}"));
        }
    }
    if let Some(metrics) = &telemetry.metrics {
        vars.otlp(&METRICS, &metrics.to);
        vars.millis(METRIC_INTERVAL, metrics.every, DEFAULT_METRIC_INTERVAL);
    }
    if !telemetry.is_off() && !telemetry.resource.is_empty() {
        let pairs = telemetry.resource.iter();
        let pairs = pairs.map(|(name, value)| (percent_encode(name), value.as_str()));
        vars.plain(RESOURCE, encoded(pairs));
    }
    vars.0
}

fn encoded<'a>(pairs: impl Iterator<Item = (String, &'a str)>) -> String {
    let pairs = pairs.map(|(name, value)| format!("{name}={}", percent_encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

struct Vars(Vec<(&'static str, EnvValue)>);

impl Vars {
    fn plain(&mut self, name: &'static str, value: impl Display) {
        self.0.push((name, EnvValue::Plain(value.to_string())));
    }

    fn millis(&mut self, name: &'static str, value: Duration, default: Duration) {
        if value != default {
            self.plain(name, value.as_millis());
        }
    }

    fn otlp(&mut self, signal: &Signal, to: &Otlp) {
        self.plain(signal.endpoint, &to.endpoint);
        if to.protocol != OtlpProtocol::default() {
            self.plain(signal.protocol, to.protocol);
        }
        self.millis(signal.timeout, to.timeout, DEFAULT_OTLP_TIMEOUT);
        if !to.headers.is_empty() {
            let pairs = to.headers.iter();
            let pairs = pairs.map(|(name, value)| (percent_encode(name), value.expose()));
            let text = encoded(pairs);
            self.0.push((signal.headers, EnvValue::Secret(Secret::new(text))));
        }
    }
}
