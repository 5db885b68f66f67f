//! Blobs of Azure Storage. The SHA-256 of what was uploaded is kept with it, as metadata; the MD5 that Azure keeps is looked
//! at as well, where there is one.

mod sign;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::parse;

use super::http::read_url;
use super::store::{Before, Incoming};
use super::web::{Sending, send};
use crate::Secret;
use crate::protocol::call::quoted;
use crate::protocol::file_body::{Content, Md5Sum, Part, Whole};
use crate::protocol::http::shown;
use crate::task::halt::Halt;
use crate::task::{TaskContext, TaskError};

/// Of the protocol; known to Azure's own service since 2021, and to what plays it.
const VERSION: &str = "2021-08-06";

/// Where a checksum of ours is kept.
const SHA256: &str = "x-ms-meta-sha256";

/// What Azure calls its refusals.
const CODE: &str = "x-ms-error-code";

/// Size of a block, where the data says nothing, in MiB: few requests, and little is sent again when one fails.
const DEFAULT_PART: u64 = 64;

/// What Azure takes, in MiB.
const PARTS: std::ops::RangeInclusive<u64> = 1..=4000;

/// What Azure takes.
const MOST_PARTS: usize = 50_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AzureStore {
    /// Name of the storage account.
    account: String,
    /// Container.
    container: String,
    /// Name of the blob.
    blob: String,
    /// Address of the service, the account in it. Default: `https://ACCOUNT.blob.core.windows.net`.
    endpoint: Option<String>,
    /// Key of the account.
    key: Option<Secret>,
    /// A shared access signature: `sv=…&sig=…`. Instead of the key; without both, what is open to everybody is reached.
    sas: Option<Secret>,
    /// Files larger than this are uploaded in blocks of this size, in MiB, 1 to 4000. Default: 64.
    #[schemars(range(min = 1, max = 4000))]
    part_mib: Option<u64>,
}

impl AzureStore {
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<_> = self.key.iter().chain(&self.sas).cloned().collect();
        if let Some(sas) = &self.sas {
            // The part of it that counts, however it is written.
            let query = parse(sas.expose().trim_start_matches('?').as_bytes());
            let signatures = query.filter(|(name, _)| name == "sig");
            secrets.extend(signatures.map(|(_, value)| Secret::new(value)));
        }
        secrets
    }

    pub(super) fn check(&self, field: &str) -> Result<(), TaskError> {
        let wrong = |name: &str, problem: &str| Err(TaskError::data(format!("{field}.{name}"), problem));
        let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(3..=24).contains(&self.account.len()) || !self.account.bytes().all(small) {
            return wrong(
                "account",
                "is no name of a storage account: 3 to 24 small letters and digits",
            );
        }
        let special = matches!(&*self.container, "$root" | "$web");
        let fits = |byte: u8| small(byte) || byte == b'-';
        if !special && (!(3..=63).contains(&self.container.len()) || !self.container.bytes().all(fits)) {
            return wrong(
                "container",
                "is no name of a container: 3 to 63 small letters, digits and hyphens",
            );
        }
        // An address with such parts would be another one.
        let bad = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
        if self.blob.len() > 1024 || self.blob.split('/').any(bad) {
            return wrong(
                "blob",
                "is no name of a blob: 1 to 1024 bytes, names with one slash between them",
            );
        }
        if let Some(endpoint) = &self.endpoint {
            read_url(&format!("{field}.endpoint"), endpoint)?;
        }
        if self.key.is_some() && self.sas.is_some() {
            return wrong("sas", "is a second login besides `key`; give one of them");
        }
        if self.key.as_ref().is_some_and(|key| decoded(key).is_none()) {
            return wrong("key", "is no key of an account, which is in base64");
        }
        if let Some(sas) = &self.sas {
            let text = sas.expose().trim_start_matches('?');
            let signed = parse(text.as_bytes()).any(|(name, value)| name == "sig" && !value.is_empty());
            if !signed || text.contains(|letter: char| letter.is_whitespace() || letter == '#') {
                return wrong(
                    "sas",
                    "is no shared access signature; expected a query with `sig`, as Azure gives it",
                );
            }
        }
        if self.part_mib.is_some_and(|part| !PARTS.contains(&part)) {
            return wrong("part_mib", "must be from 1 to 4000");
        }
        Ok(())
    }

    pub(super) fn shown(&self) -> String {
        self.url().map_or_else(|_| String::new(), |url| shown(&url))
    }

    pub(super) fn part(&self) -> u64 {
        self.part_mib.unwrap_or(DEFAULT_PART) * 1024 * 1024
    }

    /// Of the blob, without a query.
    fn url(&self) -> Result<Url, TaskError> {
        let usual = || format!("https://{}.blob.core.windows.net", self.account);
        let mut url = read_url("endpoint", &self.endpoint.clone().unwrap_or_else(usual))?;
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&self.container);
            segments.extend(self.blob.split('/'));
        }
        Ok(url)
    }

    /// Makes a request; its answer is a success, or this status.
    async fn ask(
        &self,
        context: &TaskContext,
        (method, query): (Method, &[(&str, &str)]),
        headers: &[(&'static str, &str)],
        content: Content<'_>,
        or: Option<StatusCode>,
    ) -> Result<Response, Halt> {
        let mut url = self.url()?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let bare = shown(&url);
        let broken = || {
            Halt::failed(format!(
                "{method} {bare}: a header has a character that none can have"
            ))
        };
        let date = jiff::Timestamp::now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut all = HeaderMap::new();
        for (name, value) in [("x-ms-version", VERSION), ("x-ms-date", &date)]
            .iter()
            .chain(headers)
        {
            let value = HeaderValue::from_str(value).map_err(|_| broken())?;
            all.insert(HeaderName::from_static(name), value);
        }
        if let Some(key) = self.key.as_ref().and_then(decoded) {
            let login = sign::authorization(&self.account, &key, &method, &url, &all, content.length());
            all.insert(http::header::AUTHORIZATION, login.ok_or_else(broken)?);
        }
        if let Some(sas) = &self.sas {
            let before = url.query().map(|query| format!("{query}&")).unwrap_or_default();
            let sas = sas.expose().trim_start_matches('?');
            url.set_query(Some(&format!("{before}{sas}")));
        }
        let sending = Sending {
            method: method.clone(),
            url: &url,
            headers: all,
            content,
        };
        let response = send(&context.http, &sending).await.map_err(Halt::failed)?;
        if response.status().is_success() || Some(response.status()) == or {
            return Ok(response);
        }
        Err(refused(&method, &bare, &response))
    }

    pub(super) async fn fetch(&self, context: &TaskContext) -> Result<Incoming, Halt> {
        let get = (Method::GET, &[] as &[_]);
        let response = self.ask(context, get, &[], Content::Nothing, None).await?;
        Ok(Incoming {
            sha256: kept(response.headers()).map(str::to_owned),
            md5: md5(response.headers()),
            response,
        })
    }

    pub(super) async fn look(&self, context: &TaskContext, file: &Whole) -> Result<Before, Halt> {
        let head = (Method::HEAD, &[] as &[_]);
        let absent = Some(StatusCode::NOT_FOUND);
        let response = self.ask(context, head, &[], Content::Nothing, absent).await?;
        let headers = response.headers();
        if response.status() == StatusCode::NOT_FOUND {
            // A container that is not there is another thing; where Azure does not say, the upload will.
            return match code(headers) {
                Some("ContainerNotFound") => Err(refused(&Method::HEAD, &self.shown(), &response)),
                _ => Ok(Before::Nothing),
            };
        }
        let same = |same: bool| if same { Before::Same } else { Before::Other };
        Ok(match (kept(headers), md5(headers), file.md5) {
            (Some(sha256), ..) => same(sha256 == file.sha256),
            (None, Some(there), Some(here)) => same(there == here),
            _ => Before::Unknown,
        })
    }

    /// Azure compares each body with the MD5 that was sent with it, and takes it whole or not at all.
    pub(super) async fn put(&self, field: &str, context: &TaskContext, file: &Whole) -> Result<(), Halt> {
        if file.parts.len() > MOST_PARTS {
            return Err(Halt::failed(format!(
                "{} has more than {MOST_PARTS} blocks of {} bytes; raise `{field}.azure.part_mib`",
                file.path.display(),
                self.part()
            )));
        }
        let whole = file.md5.map(|md5| STANDARD.encode(md5)).unwrap_or_default();
        let mut headers = vec![(SHA256, &*file.sha256), ("x-ms-blob-content-md5", &*whole)];
        if let [part] = &*file.parts {
            headers.extend([("x-ms-blob-type", "BlockBlob"), ("content-md5", &whole)]);
            let content = Content::Part(file, part);
            self.ask(context, (Method::PUT, &[]), &headers, content, None)
                .await?;
            return Ok(());
        }
        // Another upload at the same time has blocks of its own; what is not used of them, Azure removes after a week.
        let upload = fastrand::u64(..);
        let mut list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
        for (number, part) in file.parts.iter().enumerate() {
            let id = STANDARD.encode(format!("{upload:016x}-{number:05}"));
            self.put_block(context, file, part, &id).await?;
            list.push_str(&format!("<Latest>{id}</Latest>"));
        }
        list.push_str("</BlockList>");
        let put = (Method::PUT, &[("comp", "blocklist")] as &[_]);
        self.ask(context, put, &headers, Content::Text(&list), None)
            .await?;
        Ok(())
    }

    async fn put_block(
        &self,
        context: &TaskContext,
        file: &Whole,
        part: &Part,
        id: &str,
    ) -> Result<(), Halt> {
        let md5 = part.md5.map(|md5| STANDARD.encode(md5)).unwrap_or_default();
        let put = (Method::PUT, &[("comp", "block"), ("blockid", id)] as &[_]);
        let content = Content::Part(file, part);
        self.ask(context, put, &[("content-md5", &md5)], content, None)
            .await?;
        Ok(())
    }
}

fn decoded(key: &Secret) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let key = STANDARD.decode(key.expose().trim()).ok()?;
    (!key.is_empty()).then(|| key.into())
}

fn kept(headers: &HeaderMap) -> Option<&str> {
    headers.get(SHA256)?.to_str().ok()
}

fn md5(headers: &HeaderMap) -> Option<Md5Sum> {
    STANDARD.decode(headers.get("content-md5")?).ok()?.try_into().ok()
}

fn code(headers: &HeaderMap) -> Option<&str> {
    headers.get(CODE)?.to_str().ok()
}

fn refused(method: &Method, url: &str, response: &Response) -> Halt {
    let status = response.status();
    let code = code(response.headers());
    let advice = match (code, status) {
        (Some("AuthenticationFailed" | "InvalidAuthenticationInfo"), _) => {
            "; give the account's key, or a signature that has not run out, and correct the clock of this machine"
        }
        (Some("ContainerNotFound" | "ContainerBeingDeleted"), _) => "; make the container",
        (Some("BlobNotFound"), _) | (None, StatusCode::NOT_FOUND) => "; correct the name of the blob",
        (Some("Md5Mismatch"), _) => "; the file was changed on its way, upload it again",
        (_, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => {
            "; give a key, or a signature that may do this"
        }
        _ => "",
    };
    let code = code.map(|code| format!(": {}", quoted(code))).unwrap_or_default();
    Halt::failed(format!("Azure: {method} {url} answers {status}{code}{advice}"))
}
