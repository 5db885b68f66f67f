//! What a request is made of, and whether it can be one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::expect::{Expect, Expectations};
use crate::Secret;
use crate::process::{InvalidName, is_valid_name};
use crate::protocol::http::OwnCertificates;
use crate::task::login::{Basic, bearer};
use crate::task::{Span, TaskData, TaskError};

/// More is a mistake: even at a second each it is a quarter of an hour.
const MOST_RETRIES: u32 = 1000;

/// Where the data sets no time for a try.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that follow from the request.
const OURS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "upgrade"];

/// The data of the kind.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// Method. Default: `GET`.
    pub(super) method: Option<Method>,
    /// Address, `http://` or `https://`, without a login.
    pub(super) url: String,
    /// Headers.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Headers whose values are secret.
    pub(super) secret_headers: Option<BTreeMap<String, Secret>>,
    /// Login by name and password.
    pub(super) basic: Option<Basic>,
    /// Login by token.
    pub(super) bearer: Option<Secret>,
    /// Body as text.
    pub(super) body: Option<String>,
    /// Body as JSON; sets `content-type` where `headers` does not.
    pub(super) json: Option<Value>,
    /// What is expected of the answer. Default: a status of 2xx.
    pub(super) expect: Option<Expect>,
    /// Whether it is tried again when there is no answer, or not the expected one. Default: not.
    pub(super) retries: Option<Retries>,
    /// Certificates for https.
    pub(super) tls: Option<Tls>,
    /// Whether redirects are followed, at most 10, from https to http never. Secrets go to the first host only.
    /// Default: false.
    pub(super) follow_redirects: Option<bool>,
    /// Bound of one try, from the connection to the end of the answer. Default: `30s`.
    pub(super) timeout: Option<Span>,
    /// Headers of the answer to return.
    pub(super) return_headers: Option<Vec<String>>,
    /// Output variables by name: JSON pointers into the answer's body. Each must be there, or the answer is not as expected.
    pub(super) output_vars: Option<BTreeMap<String, String>>,
}

/// A method of HTTP.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Get,
    Head,
    Options,
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retries {
    /// How often it is tried again, 1 to 1000.
    #[schemars(range(min = 1, max = MOST_RETRIES))]
    pub(super) times: u32,
    /// Time between two tries.
    pub(super) every: Span,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// PEM certificates that are trusted besides those that the delegate trusts.
    pub(super) ca: Option<String>,
    /// PEM client certificate with its chain, for mutual TLS; needs `key`.
    pub(super) certificate: Option<String>,
    /// PEM private key of `certificate`.
    pub(super) key: Option<Secret>,
}

impl TaskData for Data {
    fn secrets(&self) -> Vec<Secret> {
        let headers = self.secret_headers.iter().flat_map(BTreeMap::values);
        let password = self.basic.iter().map(|basic| &basic.password);
        let key = self.tls.iter().filter_map(|tls| tls.key.as_ref());
        headers
            .chain(password)
            .chain(&self.bearer)
            .chain(key)
            .cloned()
            .collect()
    }

    fn check(&self) -> Result<(), TaskError> {
        let url = self.address()?;
        self.header_map()?;
        if self.body.is_some() && self.json.is_some() {
            return Err(TaskError::data(
                "json",
                "cannot be there together with `body`; give one of them",
            ));
        }
        if self.timeout == Some(Span(Duration::ZERO)) {
            return Err(TaskError::data("timeout", "must be longer than nothing"));
        }
        if let Some(retries) = &self.retries
            && !(1..=MOST_RETRIES).contains(&retries.times)
        {
            return Err(TaskError::data(
                "retries.times",
                format!("must be from 1 to {MOST_RETRIES}"),
            ));
        }
        if let Some(tls) = &self.tls {
            if url.scheme() != "https" {
                return Err(TaskError::data("tls", "is for https, and the url is not"));
            }
            tls.read()?;
        }
        if let Some(expect) = &self.expect {
            expect.check()?;
        }
        for name in self.return_headers.iter().flatten() {
            header_name("return_headers", name)?;
        }
        for (name, pointer) in self.output_vars.iter().flatten() {
            if !is_valid_name(name) {
                return Err(TaskError::data(
                    "output_vars",
                    InvalidName(name.clone()).to_string(),
                ));
            }
            check_pointer(&format!("output_vars.{name}"), pointer)?;
        }
        Ok(())
    }
}

impl Data {
    pub(super) fn address(&self) -> Result<Url, TaskError> {
        let bad = |problem: &str| Err(TaskError::data("url", problem));
        let Ok(url) = Url::parse(&self.url) else {
            return bad("is not an address; write it whole, such as https://host:8443/path");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return bad("must begin with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad("has a login, which would be shown; give it in `basic`");
        }
        Ok(url)
    }

    /// Every header; the secret ones marked.
    pub(super) fn header_map(&self) -> Result<http::HeaderMap, TaskError> {
        let mut headers = http::HeaderMap::new();
        for (name, value) in self.headers.iter().flatten() {
            insert(&mut headers, "headers", name, value, false)?;
        }
        for (name, value) in self.secret_headers.iter().flatten() {
            insert(&mut headers, "secret_headers", name, value.expose(), true)?;
        }
        let logins = [("basic", self.basic.is_some()), ("bearer", self.bearer.is_some())];
        let mut before = headers
            .contains_key(http::header::AUTHORIZATION)
            .then_some("a header `authorization`");
        for (field, _) in logins.into_iter().filter(|(_, there)| *there) {
            if let Some(before) = before {
                return Err(TaskError::data(
                    field,
                    format!("is a second login besides {before}; give one"),
                ));
            }
            before = Some("`basic`");
        }
        if let Some(basic) = &self.basic {
            headers.insert(http::header::AUTHORIZATION, basic.header("basic")?);
        }
        if let Some(token) = &self.bearer {
            headers.insert(http::header::AUTHORIZATION, bearer("bearer", token)?);
        }
        if self.json.is_some() {
            headers
                .entry(http::header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
        }
        Ok(headers)
    }

    /// How often it is tried at most, and the pause between.
    pub(super) fn attempts(&self) -> (u32, Duration) {
        match &self.retries {
            Some(Retries {
                times,
                every: Span(every),
            }) => (times.saturating_add(1), *every),
            None => (1, Duration::ZERO),
        }
    }

    pub(super) fn bound(&self) -> Duration {
        self.timeout.map_or(DEFAULT_TIMEOUT, |Span(bound)| bound)
    }

    pub(super) fn expectations(&self) -> Expectations<'_> {
        Expectations::new(self.expect.as_ref(), self.output_vars.as_ref())
    }
}

impl Tls {
    /// The certificates, parsed.
    pub(super) fn read(&self) -> Result<OwnCertificates, TaskError> {
        let chain = |field: &str, pem: &str| -> Result<Vec<CertificateDer<'static>>, TaskError> {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            match read {
                Ok(chain) if !chain.is_empty() => Ok(chain),
                _ => Err(TaskError::data(
                    format!("tls.{field}"),
                    "has no PEM certificate; it begins with -----BEGIN CERTIFICATE-----",
                )),
            }
        };
        let pair = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let certificate = chain("certificate", certificate)?;
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
                    TaskError::data("tls.key", "has no PEM private key without a passphrase; it begins with -----BEGIN PRIVATE KEY-----")
                })?;
                Some((certificate, key))
            }
            (Some(_), None) => return Err(TaskError::data("tls.key", "is missing; `certificate` needs it")),
            (None, Some(_)) => return Err(TaskError::data("tls.certificate", "is missing; `key` needs it")),
        };
        let authorities = self.ca.as_deref().map_or(Ok(Vec::new()), |ca| chain("ca", ca))?;
        Ok(OwnCertificates { authorities, pair })
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Options => Self::OPTIONS,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

fn insert(
    headers: &mut http::HeaderMap,
    field: &str,
    name: &str,
    value: &str,
    secret: bool,
) -> Result<(), TaskError> {
    let key = header_name(field, name)?;
    if OURS.contains(&key.as_str()) {
        return Err(TaskError::data(
            format!("{field}.{name}"),
            "is set by the delegate; leave it out",
        ));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        let problem = "has characters that a header cannot hold, such as a line end";
        TaskError::data(format!("{field}.{name}"), problem)
    })?;
    value.set_sensitive(secret);
    if headers.insert(key, value).is_some() {
        return Err(TaskError::data(
            format!("{field}.{name}"),
            "is there twice; upper and lower case are the same",
        ));
    }
    Ok(())
}

fn header_name(field: &str, name: &str) -> Result<HeaderName, TaskError> {
    name.parse()
        .map_err(|_| TaskError::data(field, format!("{name:?} is not a name of a header")))
}

/// A JSON pointer: nothing for the whole, else `/a/0/b`.
pub(super) fn check_pointer(path: &str, pointer: &str) -> Result<(), TaskError> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(TaskError::data(
        path,
        "is not a JSON pointer, which begins with a slash: /items/0/name",
    ))
}

/// Names of headers that go to no other host than the first, in lower case.
pub(super) fn private_headers(data: &Data) -> BTreeSet<String> {
    let secret = data.secret_headers.iter().flat_map(BTreeMap::keys);
    let usual = ["authorization", "cookie", "proxy-authorization"].map(str::to_owned);
    secret.map(|name| name.to_lowercase()).chain(usual).collect()
}
