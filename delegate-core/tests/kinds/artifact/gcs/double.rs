//! A double of Google Cloud Storage's JSON protocol, and of the metadata service of Google's machines: there is no real one to
//! be had here. It has what uploads, downloads and looks at objects need, as Google documents them: sessions that say how much
//! has arrived, and the MD5 that is held against what came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::connect::double::{KEY_TOKEN, WORKLOAD_TOKEN};

pub(super) const TOKEN: &str = "ya29.the-token-of-the-machine";

/// Most of a body: files of tests are short.
const MAX_BODY: usize = 16 << 20;

#[derive(Clone)]
pub(super) struct Object {
    pub(super) content: Bytes,
    /// In base64; what composed objects have not.
    pub(super) md5: Option<String>,
    pub(super) metadata: Value,
}

/// An upload that has begun.
struct Session {
    name: String,
    about: Value,
    arrived: Vec<u8>,
}

#[derive(Default)]
pub(super) struct State {
    /// By bucket and name, `bucket/name`.
    pub(super) objects: BTreeMap<String, Object>,
    sessions: BTreeMap<String, Session>,
    /// Of the next pieces so many arrive only to their half.
    pub(super) loses: u32,
    /// How often the next pieces are answered that the service is away.
    pub(super) away: u32,
    /// Pieces that were told.
    pub(super) pieces: Vec<String>,
    /// Sessions that were given up.
    pub(super) given_up: u32,
}

pub(super) struct Double {
    pub(super) url: url::Url,
    pub(super) state: Arc<Mutex<State>>,
    _serving: AbortOnDropHandle<()>,
}

impl Double {
    pub(super) async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let routes = Router::new().fallback(move |request: Request| answer(request, shared.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url: url.parse().unwrap(),
            state,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(super) fn object(&self, name: &str) -> Option<Object> {
        self.state.lock().unwrap().objects.get(name).cloned()
    }

    pub(super) fn keep(&self, name: &str, content: &'static str, md5: Option<String>, metadata: Value) {
        let content = Bytes::from_static(content.as_bytes());
        let object = Object {
            content,
            md5,
            metadata,
        };
        self.state.lock().unwrap().objects.insert(name.to_owned(), object);
    }
}

pub(super) fn md5(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(Md5::digest(bytes.as_ref()))
}

fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"code": status.as_u16(), "message": message}});
    (status, axum::Json(body)).into_response()
}

fn about(object: &Object) -> Value {
    json!({"generation": "7", "md5Hash": object.md5, "metadata": object.metadata, "size": object.content.len().to_string()})
}

async fn answer(request: Request, state: Arc<Mutex<State>>) -> Response {
    let (head, body) = request.into_parts();
    let url = url::Url::parse("http://double/")
        .unwrap()
        .join(&head.uri.to_string())
        .unwrap();
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let body = to_bytes(body, MAX_BODY).await.unwrap();
    let mut state = state.lock().unwrap();
    let parts: Vec<String> = url.path_segments().unwrap().map(percent_decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts
        == [
            "computeMetadata",
            "v1",
            "instance",
            "service-accounts",
            "default",
            "token",
        ]
    {
        return match head.headers.get("metadata-flavor") {
            Some(flavor) if flavor == "Google" => {
                axum::Json(json!({"access_token": TOKEN, "expires_in": 3000, "token_type": "Bearer"}))
                    .into_response()
            }
            _ => StatusCode::FORBIDDEN.into_response(),
        };
    }
    if let ["session", id] = parts[..] {
        return state.piece(id, head.method.as_str(), &head.headers, &body);
    }
    let taken = [TOKEN, KEY_TOKEN, WORKLOAD_TOKEN].map(|token| format!("Bearer {token}"));
    let login = head.headers.get(header::AUTHORIZATION);
    if login.is_none_or(|login| !taken.iter().any(|taken| login == taken)) {
        return error(StatusCode::UNAUTHORIZED, "Invalid Credentials");
    }
    match (head.method.as_str(), &parts[..]) {
        (_, [.., "b", "private", "o"] | [.., "b", "private", "o", _]) => {
            error(StatusCode::FORBIDDEN, "not for you")
        }
        ("POST", ["upload", "storage", "v1", "b", bucket, "o"]) if query["uploadType"] == "resumable" => {
            let id = format!("s{}", state.sessions.len());
            let session = Session {
                name: format!("{bucket}/{}", query["name"]),
                about: serde_json::from_slice(&body).unwrap(),
                arrived: Vec::new(),
            };
            state.sessions.insert(id.clone(), session);
            let place = format!(
                "http://{}/session/{id}",
                head.headers[header::HOST].to_str().unwrap()
            );
            (StatusCode::OK, [(header::LOCATION, place)]).into_response()
        }
        ("GET", ["storage", "v1", "b", bucket, "o", name]) => {
            match state.objects.get(&format!("{bucket}/{name}")) {
                None => error(StatusCode::NOT_FOUND, "No such object"),
                Some(object) if query.get("alt").is_some_and(|alt| alt == "media") => {
                    assert_eq!(query["generation"], "7");
                    object.content.clone().into_response()
                }
                Some(object) => axum::Json(about(object)).into_response(),
            }
        }
        _ => error(StatusCode::BAD_REQUEST, "this double does not know that"),
    }
}

impl State {
    fn piece(&mut self, id: &str, method: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let session = self.sessions.get_mut(id).unwrap();
        if method == "DELETE" {
            self.given_up += 1;
            return StatusCode::from_u16(499).unwrap().into_response();
        }
        assert!(
            headers.get(header::AUTHORIZATION).is_none(),
            "a session takes no login"
        );
        if self.away > 0 {
            self.away -= 1;
            return error(StatusCode::SERVICE_UNAVAILABLE, "later");
        }
        let range = headers[header::CONTENT_RANGE].to_str().unwrap().to_owned();
        let (bytes, total) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
        let total: usize = total.parse().unwrap();
        if let Some((from, _)) = bytes.split_once('-') {
            let from: usize = from.parse().unwrap();
            assert!(from <= session.arrived.len(), "a gap before {range}");
            let mut new = &body[(session.arrived.len() - from).min(body.len())..];
            if self.loses > 0 {
                self.loses -= 1;
                new = &new[..new.len() / 2];
            }
            session.arrived.extend_from_slice(new);
        }
        self.pieces.push(range);
        if session.arrived.len() < total {
            let last = session.arrived.len().checked_sub(1);
            let range = last.map(|last| [(header::RANGE, format!("bytes=0-{last}"))]);
            return match range {
                Some(range) => (StatusCode::PERMANENT_REDIRECT, range).into_response(),
                None => StatusCode::PERMANENT_REDIRECT.into_response(),
            };
        }
        let md5 = md5(&session.arrived);
        if session.about["md5Hash"]
            .as_str()
            .is_some_and(|wanted| wanted != md5)
        {
            return error(StatusCode::BAD_REQUEST, "Provided MD5 hash does not match");
        }
        let object = Object {
            content: session.arrived.clone().into(),
            md5: Some(md5),
            metadata: session.about["metadata"].clone(),
        };
        let told = about(&object);
        self.objects.insert(session.name.clone(), object);
        axum::Json(told).into_response()
    }
}

fn percent_decoded(part: &str) -> String {
    // As a query is, but for what has a meaning there.
    let text = format!("x={}", part.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs.next().unwrap().1.into_owned()
}
