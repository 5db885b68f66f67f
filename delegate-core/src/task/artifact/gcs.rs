//! Objects of Google Cloud Storage, by its JSON protocol. The SHA-256 of what was uploaded is kept with it, as metadata; the MD5
//! that Google keeps is looked at as well, where there is one.
//!
//! An upload is a session that is told piece by piece; Google says how much of it has arrived, and it goes on from there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::http::read_url;
use super::store::{Before, Incoming};
use super::web::{Sending, send};
use crate::Secret;
use crate::protocol::call::quoted;
use crate::protocol::file_body::{Content, Md5Sum, Part, Whole};
use crate::protocol::http::{Http, shown};
use crate::task::google::Identity;
use crate::task::halt::Halt;
use crate::task::login::bearer;
use crate::task::{TaskContext, TaskError};

const SERVICE: &str = "https://storage.googleapis.com";

/// What a token is asked for: reading and writing of objects.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Size of a piece, where the data says nothing, in MiB: few requests, and little is sent again when one fails.
const DEFAULT_PART: u64 = 64;

/// What is useful, in MiB; a piece must have a multiple of 256 KiB.
const PARTS: std::ops::RangeInclusive<u64> = 1..=1024;

/// Google's own status for "go on", which elsewhere is a redirect.
const GO_ON: StatusCode = StatusCode::PERMANENT_REDIRECT;

/// So often a piece may be told of which nothing arrives.
const ATTEMPTS: u32 = 3;

/// Of an answer in JSON so much is read: what is said of an object is short.
const MAX_JSON: usize = 256 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GcsStore {
    /// Bucket.
    bucket: String,
    /// Name of the object.
    object: String,
    /// Who one is. Default: `metadata`.
    identity: Option<Identity>,
    /// Address of the service. Default: `https://storage.googleapis.com`.
    endpoint: Option<String>,
    /// Files are uploaded in pieces of this size, in MiB, 1 to 1024. Default: 64.
    #[schemars(range(min = 1, max = 1024))]
    part_mib: Option<u64>,
}

/// What Google says of an object, as far as it is needed.
#[derive(Deserialize)]
struct Object {
    generation: Option<String>,
    #[serde(rename = "md5Hash")]
    md5: Option<String>,
    #[serde(default)]
    metadata: Kept,
}

/// What we keep with it.
#[derive(Default, Deserialize)]
struct Kept {
    sha256: Option<String>,
}

impl GcsStore {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.identity.as_ref().map(Identity::secrets).unwrap_or_default()
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let wrong = |name: &str, problem: &str| Err(TaskError::data(format!("{field}.{name}"), problem));
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if !(3..=222).contains(&self.bucket.len())
            || !self.bucket.bytes().all(fits)
            || self.bucket.split('.').any(str::is_empty)
        {
            return wrong(
                "bucket",
                "is no name of a bucket: small letters, digits, hyphens, underscores and points",
            );
        }
        let length = self.object.len();
        if !(1..=1024).contains(&length)
            || matches!(&*self.object, "." | "..")
            || self.object.contains(char::is_control)
        {
            return wrong("object", "is no name of an object: 1 to 1024 bytes, not . or ..");
        }
        if let Some(endpoint) = &self.endpoint {
            read_url(&format!("{field}.endpoint"), endpoint)?;
        }
        if self.part_mib.is_some_and(|part| !PARTS.contains(&part)) {
            return wrong("part_mib", "must be from 1 to 1024");
        }
        match &self.identity {
            Some(identity) => identity.check(&format!("{field}.identity")),
            None => Ok(()),
        }
    }

    pub(super) fn shown(&self) -> String {
        format!("gs://{}/{}", self.bucket, self.object)
    }

    pub(super) async fn fetch(&self, field: &str, context: &TaskContext) -> Result<Incoming, Halt> {
        let gcs = self.open(field, context).await?;
        let Some(object) = gcs.object().await? else {
            return Err(Halt::failed(format!(
                "there is no {}; correct the bucket or the name",
                self.shown()
            )));
        };
        let mut url = gcs.url("storage/v1", true)?;
        url.query_pairs_mut().append_pair("alt", "media");
        if let Some(generation) = &object.generation {
            // What was said of it holds for this one.
            url.query_pairs_mut().append_pair("generation", generation);
        }
        let response = gcs.ask(Method::GET, &url, Content::Nothing).await?;
        if !response.status().is_success() {
            return Err(refused(&Method::GET, &url, response).await);
        }
        Ok(Incoming {
            response,
            md5: object.md5(),
            sha256: object.metadata.sha256,
        })
    }

    pub(super) async fn look(
        &self,
        field: &str,
        context: &TaskContext,
        file: &Whole,
    ) -> Result<Before, Halt> {
        let there = self.open(field, context).await?.object().await?;
        Ok(there.map_or(Before::Nothing, |object| object.against(file)))
    }

    /// Google compares the whole with the MD5 that was sent before it; what it has in the end is looked at here as well.
    pub(super) async fn put(&self, field: &str, context: &TaskContext, file: &Whole) -> Result<(), Halt> {
        let gcs = self.open(field, context).await?;
        let session = gcs.begin(file).await?;
        let sent = gcs.send_pieces(&session, file).await;
        if sent.is_err() {
            // Google forgets it after a week. That it cannot be removed is less news than why.
            let _ = gcs
                .tell(Method::DELETE, &session, HeaderMap::new(), Content::Nothing)
                .await;
        }
        match sent?.against(file) {
            Before::Same => Ok(()),
            _ => Err(Halt::failed(format!(
                "Google took {}, and has something else there; upload it again, and look who else writes there",
                self.shown()
            ))),
        }
    }

    async fn open<'t>(&'t self, field: &str, context: &'t TaskContext) -> Result<Gcs<'t>, Halt> {
        let field = format!("{field}.gcs.identity");
        let token = match &self.identity {
            Some(identity) => identity.token(&field, SCOPE, context).await,
            None => Identity::default()
                .token(&field, SCOPE, context)
                .await
                .map_err(|stop| {
                    stop.or_do(&format!("give `{field}` where this machine is none of Google's"))
                }),
        }?;
        Ok(Gcs {
            store: self,
            http: &context.http,
            authorization: bearer(&field, &token.secret)?,
        })
    }
}

impl Object {
    fn md5(&self) -> Option<Md5Sum> {
        STANDARD.decode(self.md5.as_ref()?).ok()?.try_into().ok()
    }

    fn against(&self, file: &Whole) -> Before {
        let same = match (&self.metadata.sha256, self.md5(), file.md5) {
            // Whoever writes an object anew may leave our word on the old one.
            (_, Some(there), Some(here)) => there == here,
            (Some(sha256), ..) => *sha256 == file.sha256,
            _ => return Before::Unknown,
        };
        if same { Before::Same } else { Before::Other }
    }
}

/// A store, and a way to it.
struct Gcs<'t> {
    store: &'t GcsStore,
    http: &'t Http,
    authorization: HeaderValue,
}

impl Gcs<'_> {
    /// Of the object, or of all objects of the bucket.
    fn url(&self, prefix: &str, object: bool) -> Result<Url, TaskError> {
        let mut url = read_url("endpoint", self.store.endpoint.as_deref().unwrap_or(SERVICE))?;
        url.set_query(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(prefix.split('/'));
            segments.extend(["b", &self.store.bucket, "o"]);
            if object {
                segments.push(&self.store.object);
            }
        }
        Ok(url)
    }

    async fn ask(&self, method: Method, url: &Url, content: Content<'_>) -> Result<Response, Halt> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if matches!(content, Content::Text(_)) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.tell(method, url, headers, content).await
    }

    async fn tell(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        content: Content<'_>,
    ) -> Result<Response, Halt> {
        let sending = Sending {
            method,
            url,
            headers,
            content,
        };
        send(self.http, &sending).await.map_err(Halt::failed)
    }

    /// What is there; nothing when there is no such object.
    async fn object(&self) -> Result<Option<Object>, Halt> {
        let url = self.url("storage/v1", true)?;
        let response = self.ask(Method::GET, &url, Content::Nothing).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => read(response).await.map(Some),
            _ => Err(refused(&Method::GET, &url, response).await),
        }
    }

    /// Begins an upload; returns where it is told.
    async fn begin(&self, file: &Whole) -> Result<Url, Halt> {
        let mut url = self.url("upload/storage/v1", false)?;
        url.query_pairs_mut()
            .append_pair("uploadType", "resumable")
            .append_pair("name", &self.store.object);
        let mut about = json!({"metadata": {"sha256": file.sha256}});
        if let Some(md5) = file.md5 {
            about["md5Hash"] = STANDARD.encode(md5).into();
        }
        let about = about.to_string();
        let response = self.ask(Method::POST, &url, Content::Text(&about)).await?;
        if !response.status().is_success() {
            return Err(refused(&Method::POST, &url, response).await);
        }
        let place = response
            .headers()
            .get(LOCATION)
            .and_then(|place| place.to_str().ok());
        let place = place.and_then(|place| url.join(place).ok());
        place.ok_or_else(|| Halt::failed("Google names no place of the upload that has begun"))
    }

    /// Sends a file, piece by piece. Where the upload is told is known to nobody else, and takes no login.
    async fn send_pieces(&self, session: &Url, file: &Whole) -> Result<Object, Halt> {
        let (most, total) = (self.store.part(), file.length);
        let (mut offset, mut stuck) = (0, 0);
        loop {
            let piece = Part {
                offset,
                length: most.min(total - offset),
                sha256: String::new(),
                md5: None,
            };
            let range = match piece.length {
                0 => format!("bytes */{total}"),
                length => format!("bytes {offset}-{}/{total}", offset + length - 1),
            };
            let mut headers = HeaderMap::new();
            let range = HeaderValue::from_str(&range).map_err(|_| Halt::failed("the file is too large"))?;
            headers.insert(CONTENT_RANGE, range);
            let content = match piece.length {
                0 => Content::Nothing,
                _ => Content::Part(file, &piece),
            };
            let response = self.tell(Method::PUT, session, headers, content).await?;
            if response.status().is_success() {
                return read(response).await;
            }
            if response.status() != GO_ON {
                return Err(refused(&Method::PUT, session, response).await);
            }
            let arrived = arrived(response.headers());
            stuck = if arrived > offset { 0 } else { stuck + 1 };
            if stuck == ATTEMPTS || arrived > total {
                return Err(Halt::failed(format!(
                    "of an upload to {} {arrived} of {total} bytes have arrived, and no more do; try it again",
                    self.store.shown()
                )));
            }
            offset = arrived;
        }
    }
}

impl GcsStore {
    fn part(&self) -> u64 {
        self.part_mib.unwrap_or(DEFAULT_PART) * 1024 * 1024
    }
}

/// How many bytes of an upload have arrived: `bytes=0-99` are a hundred, and no word is none.
fn arrived(headers: &HeaderMap) -> u64 {
    let last = headers
        .get(RANGE)
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes=0-")?.parse::<u64>().ok());
    last.map_or(0, |last| last.saturating_add(1))
}

async fn read(response: Response) -> Result<Object, Halt> {
    let body = text(response).await;
    serde_json::from_slice(&body).map_err(|error| {
        Halt::failed(format!(
            "Google's answer is not what is said of an object: {error}"
        ))
    })
}

/// A short answer; what cannot be read of it is left out.
async fn text(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_JSON - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    body
}

async fn refused(method: &Method, url: &Url, response: Response) -> Halt {
    let status = response.status();
    let body = text(response).await;
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = match json["error"]["message"].as_str() {
        Some(said) => format!(": {}", quoted(said)),
        None => String::new(),
    };
    let advice = match status {
        StatusCode::UNAUTHORIZED => "; give a token that has not run out",
        StatusCode::FORBIDDEN => {
            "; let this account read, or create and replace, objects of the bucket: roles/storage.objectUser"
        }
        StatusCode::NOT_FOUND => "; correct the bucket or the name",
        _ => "",
    };
    Halt::failed(format!(
        "Google: {method} {} answers {status}{said}{advice}",
        shown(url)
    ))
}
