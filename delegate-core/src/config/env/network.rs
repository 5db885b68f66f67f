//! The settings that say how others are reached: proxy, certificates, the owner's own service.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Reader, path};
use crate::Secret;
use crate::config::{ClientCertificate, DelegateConfig, Proxy, ProxyCredentials, ZeroTrust};

pub(super) fn read_proxy(read: &mut Reader<'_>) -> Option<Proxy> {
    let host = read.env.get("PROXY_HOST")?.trim().to_owned();
    let scheme = read.parsed(&["PROXY_SCHEME"]).unwrap_or_default();
    let port = read.required(&["PROXY_PORT"], "PROXY_HOST needs it")?;
    let mut decoded = |name: &'static str| {
        let text = read.env.get(name)?.to_owned();
        percent_decode(&text).or_else(|| {
            read.fail(name, "is not URL-encoded text; write %25 for a percent sign");
            None
        })
    };
    let user = decoded("PROXY_USER");
    let password = decoded("PROXY_PASSWORD");
    let credentials = user.map(|user| ProxyCredentials {
        user,
        password: Secret::new(password.unwrap_or_default()),
    });
    Some(Proxy {
        scheme,
        host,
        port,
        credentials,
    })
}

pub(super) fn read_zero_trust(read: &mut Reader<'_>) -> Option<ZeroTrust> {
    let url = read.url("ZTS_URL")?;
    Some(ZeroTrust {
        url,
        timeout: Duration::from_secs(read.parsed(&["ZTS_TIMEOUT_SECONDS"]).unwrap_or(5)),
        retries: read.parsed(&["ZTS_RETRY_COUNT"]).unwrap_or(2),
        enforce: read.env.get("ZTS_ENFORCE").is_none() || read.flag("ZTS_ENFORCE"),
    })
}

/// What is reached without the proxy besides what `NO_PROXY` names: the cluster's API server, and the manager where
/// `PROXY_MANAGER` says so.
pub(super) fn more_direct_hosts(read: &Reader<'_>, config: &DelegateConfig) -> Vec<String> {
    if config.proxy.is_none() {
        return Vec::new();
    }
    let cluster = read.env.get("KUBERNETES_SERVICE_HOST").map(str::to_owned);
    let direct = |text: &str| !text.trim().eq_ignore_ascii_case("true");
    let manager = read
        .env
        .get("PROXY_MANAGER")
        .filter(|text| direct(text))
        .and_then(|_| Some(config.manager_url.host_str()?.to_owned()));
    let listed = |host: &String| !config.no_proxy.contains(host);
    cluster.into_iter().chain(manager).filter(listed).collect()
}

pub(super) fn read_client_certificate(read: &mut Reader<'_>) -> Option<ClientCertificate> {
    let names = (
        "DELEGATE_CLIENT_CERTIFICATE_PATH",
        "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH",
    );
    match (path(read.env, names.0), path(read.env, names.1)) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            read.fail(names.1, format_args!("is not set; {} needs it", names.0));
            None
        }
        (None, Some(_)) => {
            read.fail(names.0, format_args!("is not set; {} needs it", names.1));
            None
        }
    }
}

/// Everything but unreserved characters is encoded, so that the result stands in a proxy URL of curl.
pub(in crate::config) fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

pub(super) fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            decoded.push(u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok()?);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8(decoded).ok()
}
