//! Export by OpenTelemetry: metrics at an interval, and a trace for each task that is over.
//!
//! Off unless an endpoint is set, and then there is nothing of it: no task, no queue. The metrics are those of
//! `/api/metrics`, from the same counters. A task's trace is made when it is over, of what the agent recorded: the task
//! itself, and in it `acquire`, `run` and `answer`. There is nothing in it of its data, its log or its result.
//!
//! A collector that is slow or away holds up nobody. Tasks are put into a bounded queue and dropped, and counted, when
//! it is full; its failures are said once, until it works again. At the end of the agent what is left is sent, within
//! [`FLUSH`].

mod metrics;
mod spans;
mod traces;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub(super) use spans::Spans;

use super::status::Status;
use crate::config::DelegateConfig;
use crate::config::telemetry::Otlp;
use crate::protocol::http::Http;
use crate::protocol::otlp::wire::{Attribute, Resource, Scope, Value};
use crate::protocol::otlp::{Collector, Export, Refused};
use spans::Finished;

/// How long the end of the agent may take for what is left to be exported.
const FLUSH: Duration = Duration::from_secs(2);

/// What an agent exports, made ready.
#[derive(Debug)]
pub(super) struct Telemetry {
    resource: Resource,
    since: SystemTime,
    traces: Option<Traces>,
    metrics: Option<(Listener, Duration)>,
}

#[derive(Debug)]
struct Traces {
    listener: Listener,
    delay: Duration,
    spans: Arc<Spans>,
    queue: mpsc::Receiver<Finished>,
}

impl Telemetry {
    /// `None` where nothing is exported. Contacts nobody.
    pub(super) fn new(config: &DelegateConfig, http: &Arc<Http>) -> Option<Self> {
        let settings = &config.telemetry;
        if settings.is_off() {
            return None;
        }
        let listener = |to: &Otlp| Listener {
            collector: Collector::new(to.clone(), Arc::clone(http)),
            failing: false,
        };
        let traces = settings.traces.as_ref().map(|traces| {
            let (spans, queue) = Spans::new(traces.sampled);
            Traces {
                listener: listener(&traces.to),
                delay: traces.delay,
                spans,
                queue,
            }
        });
        let metrics = settings
            .metrics
            .as_ref()
            .map(|metrics| (listener(&metrics.to), metrics.every));
        Some(Self {
            resource: resource(config),
            since: SystemTime::now(),
            traces,
            metrics,
        })
    }

    /// Where tasks that are over are told, when they are exported.
    pub(super) fn spans(&self) -> Option<Arc<Spans>> {
        self.traces.as_ref().map(|traces| Arc::clone(&traces.spans))
    }

    /// Exports from now on.
    pub(super) fn start(self, status: &Arc<Status>) -> Exports {
        let closing = CancellationToken::new();
        let mut loops = JoinSet::new();
        if let Some(traces) = self.traces {
            loops.spawn(traces::export(traces, self.resource.clone(), closing.clone()));
        }
        if let Some((listener, every)) = self.metrics {
            let (status, closing) = (Arc::clone(status), closing.clone());
            let of = metrics::Of {
                resource: self.resource,
                since: self.since,
            };
            loops.spawn(metrics::export(listener, every, of, status, closing));
        }
        Exports { closing, loops }
    }
}

/// Exports that are under way. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Exports {
    closing: CancellationToken,
    loops: JoinSet<()>,
}

impl Exports {
    /// Sends what is left, as far as that is possible within [`FLUSH`].
    pub(super) async fn finish(mut self) {
        self.closing.cancel();
        let all = async { while self.loops.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH, all).await.is_err() {
            warn!(
                "the last telemetry was not taken within {} s; it is lost",
                FLUSH.as_secs()
            );
        }
    }
}

/// A collector, and whether it takes what it is sent.
#[derive(Debug)]
struct Listener {
    collector: Collector,
    failing: bool,
}

impl Listener {
    /// One attempt. Says the first failure of a row, and its end.
    async fn send<T: Export>(&mut self, message: &T) -> Result<u64, Refused> {
        let (signal, collector) = (T::NAME, self.collector.shown());
        let sent = self.collector.send(message).await;
        match &sent {
            Ok(rejected) => {
                if std::mem::take(&mut self.failing) {
                    info!(signal, collector, "the collector takes telemetry again");
                }
                if *rejected > 0 {
                    debug!(
                        signal,
                        collector, rejected, "the collector did not take all of it"
                    );
                }
            }
            Err(refused) if self.failing => debug!(signal, collector, %refused, "still not exported"),
            Err(refused) => {
                self.failing = true;
                warn!(
                    signal,
                    collector,
                    %refused,
                    "telemetry is not exported; tasks go on, and this is not said again until it is"
                );
            }
        }
        sent
    }
}

/// Who we are. What the settings say comes before what we know.
fn resource(config: &DelegateConfig) -> Resource {
    let mut attributes: BTreeMap<&str, String> = [
        ("service.name", "harness-delegate".to_owned()),
        ("service.version", crate::VERSION.to_owned()),
        ("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ("harness.delegate.name", config.name.to_string()),
        ("harness.account.id", config.account_id.to_string()),
        ("telemetry.sdk.name", "harness-delegate".to_owned()),
        ("telemetry.sdk.language", "rust".to_owned()),
        ("telemetry.sdk.version", crate::VERSION.to_owned()),
    ]
    .into();
    let set = config.telemetry.resource.iter();
    attributes.extend(set.map(|(name, value)| (name.as_str(), value.clone())));
    let attributes = attributes.into_iter();
    Resource {
        attributes: attributes.map(|(name, value)| attribute(name, value)).collect(),
    }
}

fn attribute(name: &str, value: impl Into<String>) -> Attribute {
    Attribute {
        key: name.to_owned(),
        value: Some(Value {
            string_value: Some(value.into()),
        }),
    }
}

/// The part of the program that observed it: all of it.
fn scope() -> Scope {
    Scope {
        name: "harness-delegate".to_owned(),
        version: crate::VERSION.to_owned(),
    }
}

/// As OTLP counts time: nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
