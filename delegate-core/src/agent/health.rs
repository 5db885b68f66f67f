//! `/api/health`, `/api/ready` and `/api/metrics`.
//!
//! Health says that the agent is alive and stays 200 while the manager is away and while the agent drains: it is what
//! Kubernetes restarts pods by, and a restart would repair neither and lose running work. Readiness is 200 only while
//! the agent is connected and takes work. Both bodies say which it is. The server runs on the agent's own runtime, so
//! an answer proves that the runtime still turns. Connections, headers and their time are bounded, and a request body
//! is never read.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::status::Status;

/// Connections at once; probes and scrapers use one or two.
const MAX_CONNECTIONS: usize = 64;

/// Bytes of a request head: what the official delegate takes.
const MAX_HEAD: usize = 100 * 1024;

/// Time for a request head to arrive, also for the next one of a connection kept open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// After a failed accept (no file descriptors, mostly) the next one fails as well for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the port. Done before anything else, so that a port in use is noticed while nothing has happened yet.
pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, status: Arc<Status>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "health and metrics cannot be served");
            return std::future::pending().await;
        }
    };
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "a connection for health or metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| {
                let reply = answer(&request, &status);
                async move { Ok::<_, Infallible>(reply) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                debug!(%error, "a connection for health or metrics ended early");
            }
        });
    }
}

fn answer(request: &Request<Incoming>, status: &Status) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut reply = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "only GET is served here\n".to_owned(),
        );
        reply
            .headers_mut()
            .insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return reply;
    }
    match request.uri().path().trim_end_matches('/') {
        "/api/health" => text(StatusCode::OK, "application/json", body(status)),
        "/api/ready" if status.takes_work() => text(StatusCode::OK, "application/json", body(status)),
        "/api/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "application/json", body(status)),
        "/api/metrics" => text(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            status.metrics.render(status.gauges()),
        ),
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "served here: /api/health, /api/ready, /api/metrics\n".to_owned(),
        ),
    }
}

fn body(status: &Status) -> String {
    let now = status.gauges();
    let state = match (now.draining, now.connected, status.link.delegate_id().is_some()) {
        (true, _, _) => "draining",
        (false, true, _) => "connected",
        (false, false, true) => "disconnected",
        (false, false, false) => "registering",
    };
    serde_json::json!({
        "status": state,
        "connected": now.connected,
        "draining": now.draining,
        "transport": status.link.transport().name(),
        "delegate_id": status.link.delegate_id().as_deref(),
        "tasks_executing": now.executing,
        "responses_undelivered": now.undelivered,
        "seconds_since_last_answer": status.link.connection.silence().map(|silence| silence.as_secs()),
        "uptime_seconds": status.started.elapsed().as_secs(),
        "version": crate::VERSION,
    })
    .to_string()
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    reply
}
