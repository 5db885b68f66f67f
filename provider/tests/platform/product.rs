//! A stand-in for the product: it cannot be had here, and a real manager does neither lose replies nor limit rates, and
//! has no organizations. It speaks the product's paths and both of its envelopes, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What goes out.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// In the envelope of most calls.
    pub(crate) fn resource(resource: &Json) -> Self {
        Self::text(
            200,
            json!({ "metaData": {}, "resource": resource, "responseMessages": [] }).to_string(),
        )
    }

    /// An error as newer calls have it.
    pub(crate) fn refusal(status: u16, message: &str) -> Self {
        let body = json!({ "status": "ERROR", "code": "INVALID_REQUEST", "message": message, "correlationId": "corr-7",
            "detailedMessage": null, "responseMessages": [] });
        Self::text(status, body.to_string())
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A server that answers as it is told; without an answer it closes the connection.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(crate) async fn start(mut answer: impl FnMut(&Request) -> Option<Reply> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            // One at a time: what is asked of it is little.
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else {
                    continue;
                };
                let reply = answer(&request);
                noted.lock().expect("whole").push(request);
                if let Some(reply) = reply {
                    write(&mut stream, &reply).await;
                }
            }
        });
        Self { url, seen, serving }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("whole").clone()
    }

    /// The methods of every request so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.method).collect()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        path: path.to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers,
        body: String::from_utf8(body).expect("text"),
    })
}

async fn write(stream: &mut TcpStream, reply: &Reply) {
    let headers: String = reply
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let text = format!(
        "HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{}",
        reply.status,
        reply.body.len(),
        reply.body
    );
    // A client that has gone needs no answer.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Delegate tokens of accounts with organizations and projects.
#[derive(Default)]
pub(crate) struct Tokens {
    /// Status and value, by organization, project and name.
    pub(crate) known: BTreeMap<(String, String, String), (String, String)>,
    /// How many replies to a POST get lost on their way.
    pub(crate) lose: u32,
    /// Whether the key may not see values.
    pub(crate) hide: bool,
}

impl Tokens {
    pub(crate) fn answer(&mut self, request: &Request) -> Option<Reply> {
        if request.path != "/ng/api/delegate-token-ng" {
            return Some(Reply::refusal(404, "There is nothing here"));
        }
        let text = |name: &str| request.query.get(name).cloned().unwrap_or_default();
        let name = if request.method == "GET" {
            text("name")
        } else {
            text("tokenName")
        };
        let key = (text("orgIdentifier"), text("projectIdentifier"), name);
        match request.method.as_str() {
            "GET" => {
                let found: Vec<Json> = self
                    .known
                    .get(&key)
                    .map(|token| self.details(&key, token))
                    .into_iter()
                    .collect();
                Some(Reply::resource(&json!(found)))
            }
            "POST" if self.known.contains_key(&key) => Some(Reply::refusal(400, "Token already exists")),
            "POST" => {
                let value = crate::manager::encoded(&crate::manager::any_token());
                let token = ("ACTIVE".to_owned(), value);
                let details = self.details(&key, &token);
                self.known.insert(key, token);
                if self.lose > 0 {
                    self.lose -= 1;
                    return None;
                }
                Some(Reply::resource(&details))
            }
            // Revoking twice is an error there, so that a repeated request is met with one.
            "PUT" => match self.known.get_mut(&key) {
                Some(token) if token.0 == "ACTIVE" => {
                    "REVOKED".clone_into(&mut token.0);
                    if self.lose > 0 {
                        self.lose -= 1;
                        return None;
                    }
                    Some(Reply::resource(&Json::Null))
                }
                _ => Some(Reply::refusal(400, "Token is not active")),
            },
            _ => Some(Reply::refusal(400, "Not here")),
        }
    }

    fn details(&self, (_, _, name): &(String, String, String), (status, value): &(String, String)) -> Json {
        json!({ "uuid": null, "accountId": "acc", "name": name, "createdBy": null, "createdByNgUser": null,
            "createdAt": 1_700_000_000_000_i64, "status": status, "value": (!self.hide).then_some(value),
            "ownerIdentifier": null, "revokeAfter": null })
    }
}
