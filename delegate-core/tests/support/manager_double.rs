//! A double of a manager: it keeps no rules of its own, answers what a test tells it to, and remembers every call.
//!
//! It stands in for the faults that a real manager cannot be made to have at will: late, cut off, repeated and lying
//! answers, proxies' error pages, refused tokens. Tests of what agent and manager do together use the real manager.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    Register,
    Heartbeat,
    TaskEvents,
    Acquire,
    RunnerEvents,
    Payload,
    Respond,
    LogOpen,
    LogAppend,
    LogClose,
    LogUpload,
    Other,
}

/// What to answer instead of the usual.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// An error with a code of the protocol.
    Status(u16, &'static str),
    /// A proxy's page.
    Page(u16),
    /// A proxy's page that asks for so many seconds.
    Busy(u16, u64),
    /// Something else than what was asked for.
    Other(Value),
    /// A reply that breaks off.
    CutOff,
    /// The usual answer, but late.
    Late(Duration),
    /// Nothing at all.
    Silence,
    /// The usual answer, taken note of, then lost on its way back.
    LostReply,
}

/// A call that came in.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) route: Route,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

#[derive(Default)]
struct Inner {
    calls: Vec<Call>,
    faults: HashMap<Route, VecDeque<Fault>>,
    /// What a route answers until told otherwise.
    standing: HashMap<Route, Fault>,
    /// Tasks that are offered on every poll until they are acquired.
    offered: Vec<Value>,
    /// Tasks by id, for acquires.
    tasks: HashMap<String, Value>,
    aborts: Vec<String>,
    /// Answers polls at once, like managers that do not know `waitMs`.
    impatient: bool,
    /// Goes on offering what was acquired.
    repeats: bool,
    /// Tasks of the early runner protocol with their payloads, offered until they are answered; without any, that
    /// protocol is not spoken.
    requests: Vec<(Value, Value)>,
    /// Offers a persistent connection, which it does not have.
    offers_stream: bool,
    delegates: usize,
}

/// The double. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct ManagerDouble {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
}

impl ManagerDouble {
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

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        let result = f(&mut self.inner.lock().unwrap());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    /// Answers the next calls of a route with these faults, one each, then as usual.
    pub(crate) fn fail(&self, route: Route, faults: impl IntoIterator<Item = Fault>) {
        self.with(|inner| inner.faults.entry(route).or_default().extend(faults));
    }

    /// Answers all calls of a route with this, until told otherwise.
    pub(crate) fn fail_always(&self, route: Route, fault: Option<Fault>) {
        self.with(|inner| match fault {
            Some(fault) => drop(inner.standing.insert(route, fault)),
            None => drop(inner.standing.remove(&route)),
        });
    }

    /// Answers every call about the delegate with this.
    pub(crate) fn refuse_all(&self, fault: Option<&Fault>) {
        for route in [
            Route::Register,
            Route::Heartbeat,
            Route::TaskEvents,
            Route::Acquire,
            Route::Respond,
        ] {
            self.fail_always(route, fault.cloned());
        }
    }

    /// Answers polls at once.
    pub(crate) fn do_not_wait(&self) {
        self.with(|inner| inner.impatient = true);
    }

    /// Goes on offering tasks that were acquired.
    pub(crate) fn repeat_events(&self) {
        self.with(|inner| inner.repeats = true);
    }

    /// Says at registration that there is a persistent connection, as a manager does behind a gateway that has none.
    pub(crate) fn offer_stream(&self) {
        self.with(|inner| inner.offers_stream = true);
    }

    /// Offers a task.
    pub(crate) fn offer(&self, id: &str, kind: &str, data: Value) {
        let logging = json!({"token": "log-token", "abstractions": {"task": id}});
        let task = json!({"id": id, "type": kind, "data": data, "timeout": 3_600_000, "logging": logging});
        let event = json!({"delegateTaskId": id, "accountId": "acc", "taskType": kind});
        self.with(|inner| {
            inner.tasks.insert(id.to_owned(), task);
            inner.offered.push(event);
        });
    }

    /// Offers a task by the early runner protocol.
    pub(crate) fn offer_requests(&self, id: &str, kind: &str, requests: Value) {
        let event = json!({"taskId": id, "accountId": "acc", "runnerType": "DOCKER", "taskType": kind});
        self.with(|inner| inner.requests.push((event, json!({"requests": requests}))));
    }

    /// Asks for the end of a task, until it is answered.
    pub(crate) fn abort(&self, id: &str) {
        self.with(|inner| inner.aborts.push(id.to_owned()));
    }

    pub(crate) fn calls(&self, route: Route) -> Vec<Call> {
        let inner = self.inner.lock().unwrap();
        inner
            .calls
            .iter()
            .filter(|call| call.route == route)
            .cloned()
            .collect()
    }

    /// Answers to a task, as they came in.
    pub(crate) fn answers(&self, id: &str) -> Vec<Value> {
        self.calls(Route::Respond)
            .into_iter()
            .map(|call| call.body)
            .filter(|body| body["id"] == id)
            .collect()
    }

    /// Waits until something is true of what came in.
    pub(crate) async fn until<T>(&self, what: &str, f: impl Fn(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = f(self) {
                return found;
            }
            tracing::debug!("waiting until {what}");
            changed.changed().await.unwrap();
        }
    }

    /// Waits until a route was called so many times.
    pub(crate) async fn called(&self, route: Route, times: usize) -> Vec<Call> {
        self.until("a route was called", |this| {
            let calls = this.calls(route);
            (calls.len() >= times).then_some(calls)
        })
        .await
    }

    /// Waits for the first answer to a task.
    pub(crate) async fn answered(&self, id: &str) -> Value {
        self.until("a task is answered", |this| this.answers(id).into_iter().next())
            .await
    }

    /// The text of a log, in the order of arrival.
    pub(crate) fn log_text(&self) -> String {
        let lines = self
            .calls(Route::LogAppend)
            .into_iter()
            .flat_map(|call| match call.body {
                Value::Array(lines) => lines,
                _ => Vec::new(),
            });
        lines
            .map(|line| line["out"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn route_of(method: &Method, path: &str) -> Route {
    let is = |end: &str| path.ends_with(end);
    match method.as_str() {
        "POST" if is("/register") => Route::Register,
        "POST" if is("/heartbeat-with-polling") => Route::Heartbeat,
        "GET" if is("/task-events") => Route::TaskEvents,
        "PUT" if is("/acquire") => Route::Acquire,
        "GET" if is("/runner-events") => Route::RunnerEvents,
        "GET" if is("/payload") => Route::Payload,
        "POST" if path.contains("/v2/tasks/") => Route::Respond,
        "POST" if is("/stream") => Route::LogOpen,
        "PUT" if is("/stream") => Route::LogAppend,
        "DELETE" if is("/stream") => Route::LogClose,
        "POST" if is("/blob") => Route::LogUpload,
        _ => Route::Other,
    }
}

async fn serve(State(this): State<ManagerDouble>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let path = head.uri.path().to_owned();
    let route = route_of(&head.method, &path);
    let call = Call {
        route,
        path: path.clone(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorization: head
            .headers
            .get("authorization")
            .map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
        body: body_of(&body),
        at: Instant::now(),
    };
    let fault = this.with(|inner| {
        let fault = inner.faults.get_mut(&route).and_then(VecDeque::pop_front);
        let fault = fault.or_else(|| inner.standing.get(&route).cloned());
        // What the agent sent is remembered in any case; whether it counts as taken is the fault's matter.
        let counts = !matches!(
            (route, &fault),
            (
                Route::Respond | Route::LogAppend,
                Some(Fault::Status(..) | Fault::Page(_) | Fault::Busy(..) | Fault::CutOff | Fault::Silence)
            )
        );
        let call = if counts {
            call
        } else {
            Call {
                route: Route::Other,
                ..call
            }
        };
        inner.calls.push(call);
        fault
    });
    match fault {
        None => {}
        Some(Fault::Status(status, code)) => {
            let body = json!({"metaData": {}, "responseMessages": [{"code": code, "level": "ERROR", "message": "as scripted"}]});
            return (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
        }
        Some(Fault::Page(status)) => {
            let html = [("content-type", "text/html")];
            return (
                StatusCode::from_u16(status).unwrap(),
                html,
                "<html>Bad Gateway</html>",
            )
                .into_response();
        }
        Some(Fault::Busy(status, seconds)) => {
            let headers = [
                ("content-type", "text/html".to_owned()),
                ("retry-after", seconds.to_string()),
            ];
            return (
                StatusCode::from_u16(status).unwrap(),
                headers,
                "<html>Busy</html>",
            )
                .into_response();
        }
        Some(Fault::Other(reply)) => return axum::Json(reply).into_response(),
        Some(Fault::CutOff) => return cut_off(),
        Some(Fault::Late(by)) => tokio::time::sleep(by).await,
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::LostReply) => {
            let _ = usual(&this, route, &path, &head.uri).await;
            return cut_off();
        }
    }
    usual(&this, route, &path, &head.uri).await
}

/// Several lines of JSON count as an array.
fn body_of(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap_or(Value::Null))
            .collect()
    })
}

fn cut_off() -> Response {
    let broken = futures_util::stream::iter([
        Ok(Bytes::from_static(b"{\"res")),
        Err(std::io::Error::other("as scripted")),
    ]);
    Response::new(Body::from_stream(broken))
}

async fn usual(this: &ManagerDouble, route: Route, path: &str, uri: &axum::http::Uri) -> Response {
    let reply = match route {
        Route::Register => this.with(|inner| {
            inner.delegates += 1;
            let mut resource = json!({"delegateId": format!("delegate-{}", inner.delegates)});
            if inner.offers_stream {
                resource["persistentConnection"] = json!("v1");
            }
            json!({"metaData": {}, "resource": resource, "extra": 1})
        }),
        Route::TaskEvents => return poll(this, uri).await,
        Route::Acquire => {
            let id = path.rsplit('/').nth(1).unwrap();
            let task = this.with(|inner| {
                if !inner.repeats {
                    inner.offered.retain(|event| event["delegateTaskId"] != id);
                }
                inner.tasks.get(id).cloned()
            });
            match task {
                Some(task) => task,
                None => return StatusCode::NOT_FOUND.into_response(),
            }
        }
        Route::RunnerEvents => {
            let events: Vec<Value> =
                this.with(|inner| inner.requests.iter().map(|(event, _)| event.clone()).collect());
            if events.is_empty() {
                return StatusCode::NOT_FOUND.into_response();
            }
            json!({"delegateRunnerEvents": events})
        }
        Route::Payload => {
            let id = path.split('/').nth(3).unwrap();
            let found = this.with(|inner| {
                inner
                    .requests
                    .iter()
                    .find(|(event, _)| event["taskId"] == id)
                    .cloned()
            });
            match found {
                Some((_, payload)) => payload,
                None => return StatusCode::NOT_FOUND.into_response(),
            }
        }
        Route::Respond => {
            let id = path.split('/').nth(5).unwrap();
            this.with(|inner| {
                inner.aborts.retain(|aborted| aborted != id);
                inner.requests.retain(|(event, _)| event["taskId"] != id);
            });
            json!({})
        }
        Route::Heartbeat => json!({"metaData": {}, "resource": {}}),
        Route::LogOpen | Route::LogAppend | Route::LogClose | Route::LogUpload => {
            return StatusCode::NO_CONTENT.into_response();
        }
        Route::Other => return StatusCode::NOT_FOUND.into_response(),
    };
    axum::Json(reply).into_response()
}

async fn poll(this: &ManagerDouble, uri: &axum::http::Uri) -> Response {
    let wait_ms: u64 = uri
        .query()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("waitMs=")))
        .map_or(0, |ms| ms.parse().unwrap());
    let mut changed = this.changed.subscribe();
    let events = |this: &ManagerDouble| {
        let inner = this.inner.lock().unwrap();
        let aborts = inner
            .aborts
            .iter()
            .map(|id| json!({"eventType": "DelegateTaskAbortEvent", "delegateTaskId": id}));
        let events: Vec<Value> = aborts.chain(inner.offered.iter().cloned()).collect();
        (events, inner.impatient)
    };
    let end = Instant::now() + Duration::from_millis(wait_ms);
    loop {
        let (events, impatient) = events(this);
        if !events.is_empty() || impatient || Instant::now() >= end {
            return axum::Json(json!({"delegateTaskEvents": events})).into_response();
        }
        let _ = tokio::time::timeout_at(end, changed.changed()).await;
    }
}
