//! The forward proxy of this machine, from the variables that all programs read.

use delegate_core::Secret;
use delegate_core::config::{Proxy, ProxyCredentials, ProxyScheme};
use delegate_core::protocol::http::HttpSettings;
use url::Url;

/// Settings for an address with or without TLS: `HTTPS_PROXY` or `HTTP_PROXY`, and `NO_PROXY`, each also in lower case.
/// `HTTP_PROXY` in upper case counts too: no web server starts this program, so no request header can pose as it.
pub(super) fn settings(secure: bool, variable: impl Fn(&str) -> Option<String>) -> HttpSettings {
    let either = |name: &str| {
        variable(name)
            .or_else(|| variable(&name.to_lowercase()))
            .filter(|value| !value.trim().is_empty())
    };
    let proxy = either(if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" });
    let no_proxy = either("NO_PROXY").unwrap_or_default();
    HttpSettings {
        proxy: proxy.as_deref().and_then(parse),
        no_proxy: no_proxy
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
        ..HttpSettings::default()
    }
}

/// A proxy address; one that is none is ignored, with a warning that does not repeat it: it may hold a password.
fn parse(text: &str) -> Option<Proxy> {
    let text = text.trim();
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let proxy = whole.parse::<Url>().ok().and_then(|url| {
        let scheme = match url.scheme() {
            "http" => ProxyScheme::Http,
            "https" => ProxyScheme::Https,
            _ => return None,
        };
        let decoded = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
        Some(Proxy {
            scheme,
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            credentials: (!url.username().is_empty()).then(|| ProxyCredentials {
                user: decoded(url.username()),
                password: Secret::new(decoded(url.password().unwrap_or_default())),
            }),
        })
    });
    if proxy.is_none() {
        tracing::warn!("HTTP_PROXY or HTTPS_PROXY is no address of an HTTP proxy and is ignored");
    }
    proxy
}

fn percent_decoded(text: &str) -> Option<String> {
    // The form decoder reads `+` as a space, which a login does not.
    let text = text.replace('+', "%2B");
    let (name, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
    Some(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(secure: bool, variables: &[(&str, &str)]) -> HttpSettings {
        settings(secure, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_proxy_fits_the_address() {
        let both = [
            ("HTTPS_PROXY", "proxy:3128"),
            ("http_proxy", "http://plain"),
            ("NO_PROXY", "a, b ,"),
        ];
        let secure = with(true, &both);
        let proxy = secure.proxy.unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy", 3128));
        assert_eq!(secure.no_proxy, ["a", "b"]);
        let plain = with(false, &both).proxy.unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("plain", 80));
        assert!(with(true, &[]).proxy.is_none());
        assert!(with(true, &[("HTTPS_PROXY", "socks5://x:1")]).proxy.is_none());
    }

    #[test]
    fn a_login_is_taken_from_the_address_and_does_not_print() {
        let settings = with(true, &[("HTTPS_PROXY", "http://me:p%40ss+word@proxy:3128")]);
        let text = format!("{settings:?}");
        let login = settings.proxy.unwrap().credentials.unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.expose()),
            ("me", "p@ss+word")
        );
        assert!(!text.contains("p@ss"), "{text}");
    }
}
