//! A server that keeps the files that it is sent, for whoever logs in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

pub(super) const USER: &str = "ci";
pub(super) const PASSWORD: &str = "hunter2-of-the-store";

/// Most of a body: files of tests are short.
const MAX_BODY: usize = 1 << 20;

#[derive(Default)]
pub(super) struct State {
    pub(super) files: BTreeMap<String, Bytes>,
    /// How often the next requests are answered that the server is busy.
    pub(super) busy: u32,
    /// Whether it spoils the files that it is sent.
    pub(super) damages: bool,
    /// Where it sends those on that ask for `/moved`.
    pub(super) moved: String,
    /// Requests: method and path, and whether they had a login.
    pub(super) asked: Vec<(String, bool)>,
}

/// What the header `etag` of a file is.
type Tag = fn(&Bytes) -> String;

pub(super) struct Server {
    pub(super) url: url::Url,
    pub(super) state: Arc<Mutex<State>>,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn start(tag: Option<Tag>) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let routes = Router::new().fallback(move |request: Request| answer(request, shared.clone(), tag));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url: url.parse().unwrap(),
            state,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<Bytes> {
        self.state.lock().unwrap().files.get(path).cloned()
    }

    pub(super) fn keep(&self, path: &str, content: &'static str) {
        let mut state = self.state.lock().unwrap();
        state
            .files
            .insert(path.to_owned(), Bytes::from_static(content.as_bytes()));
    }

    pub(super) fn asked(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// An address whose answer promises more than it gives.
pub(super) async fn broken() -> (url::Url, AbortOnDropHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/broken", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly the begin";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    (url.parse().unwrap(), AbortOnDropHandle::new(serving))
}

fn may(headers: &HeaderMap) -> bool {
    let wanted = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|given| given == wanted.as_str())
}

async fn answer(request: Request, state: Arc<Mutex<State>>, tag: Option<Tag>) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let may = may(&head.headers);
    let body = to_bytes(body, MAX_BODY).await.unwrap();
    let mut state = state.lock().unwrap();
    state.asked.push((format!("{} {path}", head.method), may));
    if state.busy > 0 {
        state.busy -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if path == "/moved" {
        return (StatusCode::FOUND, [(header::LOCATION, state.moved.clone())]).into_response();
    }
    if !may && !path.starts_with("/open/") {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    match head.method.as_str() {
        "PUT" => {
            let kept = if state.damages {
                Bytes::from_static(b"damaged")
            } else {
                body
            };
            state.files.insert(path, kept);
            StatusCode::CREATED.into_response()
        }
        "GET" | "HEAD" => match state.files.get(&path) {
            None => StatusCode::NOT_FOUND.into_response(),
            Some(content) => match tag.map(|tag| tag(content)) {
                Some(tag) => ([(header::ETAG, tag)], content.clone()).into_response(),
                None => content.clone().into_response(),
            },
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
