//! A double of a collector: it takes OTLP in its three forms, reads it with OpenTelemetry's own messages, answers as a
//! test tells it to, and remembers every call.
//!
//! It stands in for what a real one cannot be made to do at will: be busy, take a part, and fall silent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// What to answer instead of having taken it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// Not now.
    Busy,
    /// Never.
    Refused,
    /// Taken but for so many.
    Partly(i64),
    /// Nothing at all.
    Silence,
}

/// A call that came in.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) spans: Vec<Span>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) resource: Vec<KeyValue>,
    /// Whether the answer was that it is taken.
    pub(crate) taken: bool,
}

#[derive(Default)]
struct Inner {
    calls: Vec<Call>,
    answers: VecDeque<Answer>,
    /// What is answered when the list above is empty.
    standing: Option<Answer>,
}

/// The double. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct CollectorDouble {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
}

impl CollectorDouble {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            inner: Arc::default(),
            changed: watch::Sender::new(0),
        };
        let router = Router::new().fallback(serve).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    /// Answers the next calls with these, one each, then as usual.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.inner.lock().unwrap().answers.extend(answers);
    }

    /// Answers all calls with this.
    pub(crate) fn always(&self, answer: Answer) {
        self.inner.lock().unwrap().standing = Some(answer);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.lock().unwrap().calls.clone()
    }

    /// Waits until something is true of what came in.
    pub(crate) async fn until<T>(&self, f: impl Fn(&[Call]) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = f(&self.calls()) {
                return found;
            }
            changed.changed().await.unwrap();
        }
    }

    /// Waits for the spans of a task that were taken, the task's own first.
    pub(crate) async fn trace_of(&self, id: &str) -> Vec<Span> {
        self.until(|calls| {
            let spans = spans_of(calls, id);
            (!spans.is_empty()).then_some(spans)
        })
        .await
    }
}

/// The spans of a task that were taken, the task's own first.
pub(crate) fn spans_of(calls: &[Call], id: &str) -> Vec<Span> {
    let taken: Vec<&Span> = calls
        .iter()
        .filter(|call| call.taken)
        .flat_map(|call| &call.spans)
        .collect();
    let of = |span: &&&Span| text(&span.attributes, "harness.task.id").as_deref() == Some(id);
    let roots: Vec<&Span> = taken.iter().filter(of).copied().collect();
    let parts = |root: &Span| {
        let trace = root.trace_id.clone();
        let parts = taken
            .iter()
            .filter(move |span| span.trace_id == trace && !span.parent_span_id.is_empty());
        parts.map(|span| (*span).clone()).collect::<Vec<_>>()
    };
    roots
        .iter()
        .flat_map(|root| std::iter::once((*root).clone()).chain(parts(root)))
        .collect()
}

/// The value of an attribute that is a text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

/// The form of a call, by its content type.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Protobuf,
    Json,
    Grpc,
}

fn read<T: Message + Default + DeserializeOwned>(form: Form, body: &Bytes) -> T {
    match form {
        Form::Protobuf => T::decode(body.clone()).unwrap(),
        Form::Json => serde_json::from_slice(body).unwrap(),
        Form::Grpc => {
            // Not compressed, and the length of the one message.
            let length = u32::try_from(body.len() - 5).unwrap().to_be_bytes();
            assert_eq!((body[0], &body[1..5]), (0, &length[..]));
            T::decode(body.slice(5..)).unwrap()
        }
    }
}

async fn serve(State(this): State<CollectorDouble>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let form = match head.headers["content-type"].to_str().unwrap() {
        "application/x-protobuf" => Form::Protobuf,
        "application/json" => Form::Json,
        "application/grpc" => Form::Grpc,
        other => panic!("no form of OTLP: {other}"),
    };
    let mut call = Call {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: body.clone(),
        spans: Vec::new(),
        metrics: Vec::new(),
        resource: Vec::new(),
        taken: false,
    };
    if call.path.ends_with("/v1/traces") || call.path.ends_with("TraceService/Export") {
        for of in read::<ExportTraceServiceRequest>(form, &body).resource_spans {
            call.resource = of.resource.unwrap().attributes;
            let scopes = of.scope_spans.into_iter();
            call.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    } else if call.path.ends_with("/v1/metrics") || call.path.ends_with("MetricsService/Export") {
        for of in read::<ExportMetricsServiceRequest>(form, &body).resource_metrics {
            call.resource = of.resource.unwrap().attributes;
            let scopes = of.scope_metrics.into_iter();
            call.metrics.extend(scopes.flat_map(|scope| scope.metrics));
        }
    } else {
        panic!("no path of OTLP: {}", call.path);
    }
    let answer = {
        let mut inner = this.inner.lock().unwrap();
        let answer = inner.answers.pop_front().or(inner.standing);
        call.taken = matches!(answer, None | Some(Answer::Partly(_)));
        inner.calls.push(call);
        answer
    };
    this.changed.send_modify(|n| *n += 1);
    match (answer, form) {
        (Some(Answer::Silence), _) => std::future::pending().await,
        (Some(Answer::Busy), Form::Grpc) => failed_call(14),
        (Some(Answer::Refused), Form::Grpc) => failed_call(16),
        (Some(Answer::Busy), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], "busy").into_response()
        }
        (Some(Answer::Refused), _) => StatusCode::UNAUTHORIZED.into_response(),
        (Some(Answer::Partly(rejected)), _) => taken(form, rejected),
        (None, _) => taken(form, 0),
    }
}

fn taken(form: Form, rejected_spans: i64) -> Response {
    let part = ExportTracePartialSuccess {
        rejected_spans,
        error_message: String::new(),
    };
    let answer = ExportTraceServiceResponse {
        partial_success: (rejected_spans > 0).then_some(part),
    };
    match form {
        Form::Protobuf => answer.encode_to_vec().into_response(),
        Form::Json => axum::Json(answer).into_response(),
        Form::Grpc => {
            let message = answer.encode_to_vec();
            let mut body = vec![0];
            body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            body.extend(message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", 0.into());
            let frames = [Frame::data(Bytes::from(body)), Frame::trailers(trailers)];
            let frames = stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
            let mut answer = Response::new(Body::new(StreamBody::new(frames)));
            answer
                .headers_mut()
                .insert("content-type", "application/grpc".parse().unwrap());
            answer
        }
    }
}

fn failed_call(code: i32) -> Response {
    let headers = [
        ("content-type", "application/grpc".to_owned()),
        ("grpc-status", code.to_string()),
    ];
    headers.into_response()
}
