//! One request, and its answer or the reason why there is none.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::Url;

use super::data::{Data, private_headers};
use crate::protocol::http::{Http, chain, shown};
use crate::task::TaskError;

/// Of a body so much is read and judged, in bytes; the rest is left.
const READ_BODY: usize = 4 * 1024 * 1024;

/// A chain of redirects that is longer goes in circles.
const MOST_REDIRECTS: usize = 10;

/// A request that can be sent again and again.
pub(super) struct Request {
    clients: Clients,
    method: Method,
    url: Url,
    headers: HeaderMap,
    /// Names of those that go to no other host.
    private: BTreeSet<String>,
    body: Vec<u8>,
    bound: Duration,
    follow: bool,
}

/// Who sends it: the delegate's clients, or one with certificates of the task's own.
enum Clients {
    Shared(Arc<Http>),
    Own(Client),
}

/// An answer, whatever it says.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// There was more.
    pub(super) truncated: bool,
    pub(super) url: Url,
    pub(super) took: Duration,
    /// The body as JSON, when it was asked for.
    json: OnceLock<Option<Value>>,
}

/// No answer.
pub(super) struct Silence {
    pub(super) problem: String,
    pub(super) took: Duration,
}

impl Request {
    /// # Errors
    /// When the data, which was validated, or the delegate's own settings make no client.
    pub(super) fn new(data: &Data, http: &Arc<Http>) -> Result<Self, TaskError> {
        let clients = match &data.tls {
            None => Clients::Shared(Arc::clone(http)),
            Some(tls) => Clients::Own(
                http.with_certificates(tls.read()?)
                    .map_err(|error| TaskError::data("tls", format!("cannot be used: {error}")))?,
            ),
        };
        let body = match (&data.body, &data.json) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(json)) => json.to_string().into_bytes(),
            (None, None) => Vec::new(),
        };
        Ok(Self {
            clients,
            method: data.method.map_or(Method::GET, Method::from),
            url: data.address()?,
            headers: data.header_map()?,
            private: private_headers(data),
            body,
            bound: data.bound(),
            follow: data.follow_redirects.unwrap_or(false),
        })
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends it and reads the answer, within the bound of one try.
    pub(super) async fn send(&self) -> Result<Answer, Silence> {
        let start = Instant::now();
        let answer = match timeout(self.bound, self.exchange(start)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "no complete answer from {} within {:?}; give `timeout` more, or see why it is slow",
                shown(&self.url),
                self.bound
            )),
        };
        answer.map_err(|problem| Silence {
            problem,
            took: start.elapsed(),
        })
    }

    async fn exchange(&self, start: Instant) -> Result<Answer, String> {
        let mut url = self.url.clone();
        let mut method = self.method.clone();
        let mut headers = self.headers.clone();
        let mut body = self.body.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.once(&method, &url, &headers, &body).await?;
            let next = if self.follow {
                redirect(&response, &url)?
            } else {
                None
            };
            let Some(next) = next else {
                return read(response, url, start).await;
            };
            if next.origin() != url.origin() {
                let private = |name: &str| self.private.contains(name);
                let known: Vec<_> = headers
                    .keys()
                    .filter(|name| private(name.as_str()))
                    .cloned()
                    .collect();
                for name in known {
                    headers.remove(name);
                }
            }
            // As browsers and curl do: what is found elsewhere is fetched, but for the codes that say otherwise.
            let fetched = match response.status() {
                StatusCode::SEE_OTHER => method != Method::HEAD,
                StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
                _ => false,
            };
            if fetched {
                method = Method::GET;
                body.clear();
                headers.remove(CONTENT_TYPE);
            }
            url = next;
        }
        Err(format!(
            "{} redirects more than {MOST_REDIRECTS} times; it goes in circles",
            shown(&self.url)
        ))
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, String> {
        let client = match &self.clients {
            Clients::Own(client) => client.clone(),
            Clients::Shared(http) => http.for_url(url).map_err(|error| error.to_string())?,
        };
        let mut request = client
            .request(method.clone(), url.clone())
            .headers(headers.clone());
        if !body.is_empty() {
            request = request.body(body.to_vec());
        }
        request
            .send()
            .await
            .map_err(|error| format!("no answer from {}: {}", shown(url), chain(&error.without_url())))
    }
}

/// Where an answer sends us.
pub(in crate::task) fn redirect(response: &Response, from: &Url) -> Result<Option<Url>, String> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| moved) else {
        return Ok(None);
    };
    let to = location.to_str().ok().and_then(|text| from.join(text).ok());
    let Some(to) = to else {
        return Err(format!(
            "{} redirects to something that is no address",
            shown(from)
        ));
    };
    let allowed = to.scheme() == "https" || (to.scheme() == "http" && from.scheme() == "http");
    if !allowed {
        return Err(format!(
            "{} redirects to {}, which is not followed: only https, or from http to http",
            shown(from),
            shown(&to)
        ));
    }
    Ok(Some(to))
}

async fn read(response: Response, url: Url, start: Instant) -> Result<Answer, String> {
    let status = response.status();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    let mut truncated = false;
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            format!(
                "{} began to answer {status} and broke off: {}",
                shown(&url),
                chain(&error.without_url())
            )
        })?;
        let room = READ_BODY - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            truncated = true;
            break;
        }
    }
    Ok(Answer {
        status,
        headers,
        body,
        truncated,
        url,
        took: start.elapsed(),
        json: OnceLock::new(),
    })
}

impl Answer {
    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON, or why there is none.
    pub(super) fn json(&self) -> Result<&Value, &'static str> {
        let json = self.json.get_or_init(|| serde_json::from_slice(&self.body).ok());
        match json {
            Some(json) => Ok(json),
            None if self.truncated => Err("the body is larger than the 4 MiB that are read"),
            None => Err("the body is not JSON"),
        }
    }

    /// Those of these headers that are there, by their names in lower case; one that is there several times, with commas.
    pub(super) fn chosen_headers(&self, names: &[String]) -> BTreeMap<String, String> {
        let all = |name: &String| {
            let values: Vec<_> = self.headers.get_all(name.as_str()).iter().collect();
            let texts: Vec<_> = values
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (!texts.is_empty()).then(|| (name.to_lowercase(), texts.join(", ")))
        };
        names.iter().filter_map(all).collect()
    }
}
