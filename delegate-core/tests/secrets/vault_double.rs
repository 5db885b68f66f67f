//! A double of Vault: the calls that a delegate makes, on a map. It can be told to revoke, to refuse and to be away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use url::Url;

#[derive(Default)]
pub(crate) struct Inner {
    /// Path to versions, `null` for one that was deleted.
    pub(crate) secrets: BTreeMap<String, Vec<Value>>,
    pub(crate) tokens: BTreeMap<String, u64>,
    pub(crate) logins: usize,
    pub(crate) renewals: usize,
    /// Time of a new token, in seconds.
    pub(crate) ttl: u64,
    pub(crate) renewable: bool,
    /// The next answers.
    pub(crate) faults: Vec<StatusCode>,
    pub(crate) namespace: Option<String>,
}

#[derive(Clone)]
pub(crate) struct VaultDouble {
    pub(crate) url: Url,
    inner: Arc<Mutex<Inner>>,
    /// Told after each call.
    pub(crate) changed: Arc<tokio::sync::Notify>,
}

impl VaultDouble {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            url: format!("http://{}/", listener.local_addr().unwrap())
                .parse()
                .unwrap(),
            inner: Arc::new(Mutex::new(Inner {
                ttl: 3600,
                renewable: true,
                ..Inner::default()
            })),
            changed: Arc::default(),
        };
        let router = Router::new().fallback(serve).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap())
    }
}

impl Inner {
    fn session(&mut self) -> Value {
        self.logins += 1;
        let token = format!("session-{}", self.logins);
        self.tokens.insert(token.clone(), self.ttl);
        json!({"auth": {"client_token": token, "lease_duration": self.ttl, "renewable": self.renewable}})
    }

    fn answer(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        token: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let no = |status, why: &str| (status, json!({"errors": [why]}));
        let denied = || no(StatusCode::FORBIDDEN, "permission denied");
        match (method, path) {
            ("POST", "/v1/auth/approle/login") if body == &json!({"role_id": "r", "secret_id": "s"}) => {
                (StatusCode::OK, self.session())
            }
            ("POST", "/v1/auth/k8s/login") if body == &json!({"role": "delegate", "jwt": "of-the-pod"}) => {
                (StatusCode::OK, self.session())
            }
            ("POST", path) if path.ends_with("/login") => {
                no(StatusCode::BAD_REQUEST, "invalid role or secret ID")
            }
            _ if !self.tokens.contains_key(token) => denied(),
            ("GET", "/v1/auth/token/lookup-self") => (
                StatusCode::OK,
                json!({"data": {"ttl": self.tokens[token], "renewable": self.renewable}}),
            ),
            ("POST", "/v1/auth/token/renew-self") if !self.renewable => {
                no(StatusCode::BAD_REQUEST, "lease is not renewable")
            }
            ("POST", "/v1/auth/token/renew-self") => {
                self.renewals += 1;
                let auth = json!({"client_token": token, "lease_duration": self.ttl, "renewable": true});
                (StatusCode::OK, json!({"auth": auth}))
            }
            ("GET", path) => {
                let Some(name) = path.strip_prefix("/v1/secret/data/") else {
                    return denied();
                };
                let Some(versions) = self.secrets.get(name) else {
                    return no(StatusCode::NOT_FOUND, "");
                };
                let version = query
                    .strip_prefix("version=")
                    .map_or(versions.len(), |n| n.parse().unwrap());
                match versions.get(version.wrapping_sub(1)) {
                    None => no(StatusCode::NOT_FOUND, ""),
                    Some(Value::Null) => (
                        StatusCode::NOT_FOUND,
                        json!({"data": {"data": null, "metadata": {"version": version}}}),
                    ),
                    Some(data) => (
                        StatusCode::OK,
                        json!({"data": {"data": data, "metadata": {"version": version}}}),
                    ),
                }
            }
            _ => no(StatusCode::NOT_FOUND, "no handler for route"),
        }
    }
}

async fn serve(State(this): State<VaultDouble>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let header = |name: &str| {
        head.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header("x-vault-request").as_deref(), Some("true"));
    let token = header("x-vault-token").unwrap_or_default();
    let (status, reply) = this.with(|inner| {
        if let Some(status) = inner.faults.pop() {
            return (status, json!({"errors": ["as scripted"]}));
        }
        assert_eq!(header("x-vault-namespace"), inner.namespace);
        let query = head.uri.query().unwrap_or_default();
        inner.answer(head.method.as_str(), head.uri.path(), query, &token, &body)
    });
    this.changed.notify_one();
    (status, axum::Json(reply)).into_response()
}
