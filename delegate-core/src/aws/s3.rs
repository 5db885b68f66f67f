//! S3: objects, by its REST protocol. Bodies of either direction stream.
//!
//! Buckets are named in the path, which every S3 and everything that speaks its protocol understands.

use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use reqwest::Response;
use url::Url;

use super::sign::{Payload, Scope, Signable};
use super::{Aws, AwsError, Credentials, S3};
use crate::protocol::call::{CallError, Reply};
use crate::protocol::file_body::Content;
use crate::protocol::http::{chain, shown};

/// Asked so often when there is no answer, or one that says "later".
const ATTEMPTS: u32 = 4;

/// Before the second attempt; doubled each time, and up to half of it more by chance.
const PAUSE: Duration = Duration::from_millis(500);

/// Of an answer that is no success so much is read: it is a short XML.
const MAX_ERROR: usize = 64 * 1024;

/// Of an empty body.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A request on an object.
pub(crate) struct Ask<'a> {
    /// AWS's name, for errors.
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    /// Sorted by name.
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// Names in lower case.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) content: Content<'a>,
}

impl Ask<'_> {
    fn url(&self, base: &Url) -> Result<Url, CallError> {
        let mut text = base.as_str().trim_end_matches('/').to_owned();
        text.push('/');
        encode(&mut text, self.bucket, b"");
        text.push('/');
        encode(&mut text, self.key, b"/");
        for (at, (name, value)) in self.query.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            encode(&mut text, name, b"");
            text.push('=');
            encode(&mut text, value, b"");
        }
        text.parse()
            .map_err(|_| CallError("bucket and key make no address".to_owned()))
    }
}

/// As RFC 3986 has it, and signatures need it: everything but the unreserved characters, and those of `kept`.
fn encode(into: &mut String, text: &str, kept: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

impl Aws {
    /// Makes a request; its answer is a success, with a body that is still to be read. Cancellation safe, as far as S3 is:
    /// an object is there whole or not at all.
    pub(crate) async fn s3(&self, ask: &Ask<'_>) -> Result<Response, AwsError> {
        let failed = |error| AwsError::unanswered(&S3, ask.operation, &self.region, error);
        let base = self.endpoints.of(&S3, &self.region).map_err(failed)?;
        let url = ask.url(&base).map_err(failed)?;
        let mut credentials = self.source.get(None).await.map_err(failed)?;
        let (mut renewed, mut pause, mut attempt) = (false, PAUSE, 1);
        loop {
            let problem = match self.send(ask, &url, &credentials).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => AwsError::refused(&S3, ask.operation, &self.region, &told(response).await),
                Err(error) => failed(error),
            };
            if problem.is_stale() && !renewed {
                credentials = self.source.get(Some(&credentials)).await.map_err(failed)?;
                renewed = true;
            } else if attempt < ATTEMPTS && problem.is_passing() {
                tokio::time::sleep(pause.mul_f32(1.0 + fastrand::f32() / 2.0)).await;
                pause *= 2;
                attempt += 1;
            } else {
                return Err(problem);
            }
        }
    }

    async fn send(&self, ask: &Ask<'_>, url: &Url, credentials: &Credentials) -> Result<Response, CallError> {
        let failed = |problem: String| CallError(format!("{} {}: {problem}", ask.method, shown(url)));
        let digest = match ask.content {
            Content::Nothing => NOTHING.to_owned(),
            Content::Text(text) => super::sign::sha256(text.as_bytes()),
            Content::Part(_, part) => part.sha256.clone(),
        };
        let mut headers = ask.headers.to_vec();
        headers.push(("x-amz-content-sha256", &digest));
        let scope = Scope {
            region: &self.region,
            service: S3.signed_as,
        };
        let signed = Signable {
            method: ask.method.as_str(),
            url,
            headers: &headers,
            body: Payload::Digest(&digest),
        }
        .sign(credentials, scope, jiff::Timestamp::now());
        headers.push(("x-amz-date", &signed.date));
        headers.push(("authorization", &signed.authorization));
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token.expose()));
        }
        let client = self
            .http
            .for_url(url)
            .map_err(|error| failed(error.to_string()))?;
        let mut request = client.request(ask.method.clone(), url.clone());
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| failed(format!("{name} has a character that no header can have")))?;
            value.set_sensitive(true);
            request = request.header(HeaderName::from_static(name), value);
        }
        if let Some(body) = ask.content.body().await.map_err(CallError)? {
            let length = ask.content.length();
            request = request.header(http::header::CONTENT_LENGTH, length).body(body);
        }
        request
            .send()
            .await
            .map_err(|error| failed(chain(&error.without_url())))
    }
}

/// What S3 says when it says no. What cannot be read of it is left out.
async fn told(mut response: Response) -> Reply {
    let status = response.status();
    let mut body = zeroize::Zeroizing::new(Vec::new());
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ERROR - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    Reply {
        status,
        headers: http::HeaderMap::new(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_signatures_want_them() {
        let ask = Ask {
            operation: "GetObject",
            method: Method::GET,
            bucket: "team",
            key: "a b/ü+=$&@,:;?#~(1)*.txt",
            query: &[("partNumber", "1"), ("uploadId", "a/b=")],
            headers: &[],
            content: Content::Nothing,
        };
        let url = ask
            .url(&"https://s3.eu-west-1.amazonaws.com/".parse().unwrap())
            .unwrap();
        assert_eq!(
            url.as_str(),
            "https://s3.eu-west-1.amazonaws.com/team/a%20b/%C3%BC%2B%3D%24%26%40%2C%3A%3B%3F%23~%281%29%2A.txt?partNumber=1&uploadId=a%2Fb%3D"
        );
    }
}
