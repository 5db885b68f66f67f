//! Signatures of AWS, version 4.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use url::Url;

use super::Credentials;
use crate::protocol::file_body::hex;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is good for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A request to sign. The query of the URL must be in its canonical form: sorted, and encoded as RFC 3986 has it.
pub(super) struct Signable<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    /// Without `host`, `x-amz-date` and `x-amz-security-token`, which are added. Lower-case names, sorted values without
    /// white space around them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Payload<'a>,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// What has this SHA-256, in hexadecimal.
    Digest(&'a str),
}

impl Payload<'_> {
    fn sha256(self) -> String {
        match self {
            Self::Bytes(bytes) => sha256(bytes),
            Self::Digest(digest) => digest.to_owned(),
        }
    }
}

/// The headers to add.
#[derive(Debug, PartialEq)]
pub(super) struct Signed {
    /// `x-amz-date`
    pub(super) date: String,
    pub(super) authorization: String,
}

impl Signable<'_> {
    pub(super) fn sign(&self, credentials: &Credentials, scope: Scope<'_>, now: Timestamp) -> Signed {
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &date[..8];
        let scope_text = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
        let (canonical, names) = self.canonical(credentials, &date);
        let to_sign = format!(
            "{ALGORITHM}\n{date}\n{scope_text}\n{}",
            sha256(canonical.as_bytes())
        );
        let start = format!("AWS4{}", credentials.secret.expose());
        let key = [day, scope.region, scope.service, "aws4_request"]
            .iter()
            .fold(start.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope_text}, SignedHeaders={names}, Signature={signature}",
            credentials.id
        );
        Signed { date, authorization }
    }

    /// The text that stands for the request, and the names of the headers in it.
    fn canonical(&self, credentials: &Credentials, date: &str) -> (String, String) {
        let host = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let mut headers = vec![("host", &*host), ("x-amz-date", date)];
        headers.extend(self.headers);
        headers.extend(
            credentials
                .session_token
                .iter()
                .map(|token| ("x-amz-security-token", token.expose())),
        );
        headers.sort_unstable();
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.method,
            self.url.path(),
            self.url.query().unwrap_or_default()
        );
        for (name, value) in headers {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}:{value}");
        }
        let _ = write!(text, "\n{names}\n{}", self.body.sha256());
        (text, names)
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
        .as_ref()
        .to_vec()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn credentials() -> Credentials {
        Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
            expires: None,
        }
    }

    fn signature(signable: &Signable<'_>, service: &str) -> String {
        let scope = Scope {
            region: "us-east-1",
            service,
        };
        let signed = signable.sign(&credentials(), scope, "2015-08-30T12:36:00Z".parse().unwrap());
        assert_eq!(signed.date, "20150830T123600Z");
        signed.authorization.rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn the_examples_that_aws_publishes_have_the_published_signatures() {
        let url: Url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08"
            .parse()
            .unwrap();
        let list_users = Signable {
            method: "GET",
            url: &url,
            headers: &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            body: Payload::Bytes(b""),
        };
        assert_eq!(
            signature(&list_users, "iam"),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        let url: Url = "https://example.amazonaws.com/".parse().unwrap();
        let vanilla = |method| Signable {
            method,
            url: &url,
            headers: &[],
            body: Payload::Bytes(b""),
        };
        assert_eq!(
            signature(&vanilla("GET"), "service"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert_eq!(
            signature(&vanilla("POST"), "service"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }
}
