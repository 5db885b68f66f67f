//! Signatures of Azure Storage by the key of an account ("Shared Key").

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

/// Headers that have a line of their own in what is signed, in this order, between the length and the resource. None of
/// the others is ever sent from here, so theirs are empty.
const LINES: [&str; 8] = [
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// The header `authorization` of a request, whose other headers are all there.
pub(super) fn authorization(
    account: &str,
    key: &[u8],
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    length: u64,
) -> Option<HeaderValue> {
    let text = to_sign(account, method, url, headers, length);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let signature = STANDARD.encode(signature);
    let mut value = HeaderValue::from_str(&format!("SharedKey {account}:{signature}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The text that stands for a request.
fn to_sign(account: &str, method: &Method, url: &Url, headers: &HeaderMap, length: u64) -> String {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let length = if length == 0 {
        String::new()
    } else {
        length.to_string()
    };
    // Encoding and language of the content come before its length, and are never sent.
    let mut text = format!("{method}\n\n\n{length}\n");
    for name in LINES {
        text.push_str(header(name));
        text.push('\n');
    }
    let mut own: Vec<_> = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-ms-"))
        .collect();
    own.sort_unstable();
    for name in own {
        text.push_str(&format!("{name}:{}\n", header(name)));
    }
    text.push_str(&format!("/{account}{}", url.path()));
    let mut query: Vec<_> = url.query_pairs().collect();
    query.sort();
    for (name, value) in query {
        text.push_str(&format!("\n{}:{value}", name.to_ascii_lowercase()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_azure_documents() {
        let url = "https://shop.blob.core.windows.net/builds/a%20b/c.txt?comp=block&blockid=MDE%3D"
            .parse()
            .unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ms-version", "2021-08-06"),
            ("x-ms-date", "Mon, 23 Nov 2026 13:00:00 GMT"),
            ("content-md5", "kAFQmDzST7DWlj99KOF/cg=="),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(
            to_sign("shop", &Method::PUT, &url, &headers, 3),
            "PUT\n\n\n3\nkAFQmDzST7DWlj99KOF/cg==\n\n\n\n\n\n\n\nx-ms-date:Mon, 23 Nov 2026 13:00:00 GMT\nx-ms-version:2021-08-06\n\
             /shop/builds/a%20b/c.txt\nblockid:MDE=\ncomp:block"
        );
        assert!(to_sign("shop", &Method::HEAD, &url, &headers, 0).starts_with("HEAD\n\n\n\nkAF"));
    }
}
