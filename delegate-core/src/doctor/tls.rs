//! What a failed TLS handshake means.

use std::error::Error;
use std::path::Path;

use rustls::{AlertDescription, CertificateError};
use url::Url;

use super::certificates::date;

/// The error of the TLS library in the chain of another, which may be wrapped in errors of the system's kind.
pub(super) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(inner) = inner {
            let inner: &(dyn Error + 'static) = inner;
            if let Some(found) = cause(inner) {
                return Some(found);
            }
        }
        next = error.source();
    }
    None
}

/// What was found, and what to do.
pub(super) fn describe(error: &rustls::Error, url: &Url, ca_dir: &Path) -> (String, String) {
    use CertificateError as Bad;
    let host = url.host_str().unwrap_or_default();
    let (found, remedy) = match error {
        rustls::Error::InvalidCertificate(Bad::ExpiredContext { not_after, .. }) => (
            format!("the certificate of {host} expired on {}", date(*not_after)),
            "have it renewed; or set this machine's clock right".to_owned(),
        ),
        rustls::Error::InvalidCertificate(Bad::Expired) => (
            format!("the certificate of {host} has expired"),
            "have it renewed; or set this machine's clock right".to_owned(),
        ),
        rustls::Error::InvalidCertificate(Bad::NotValidYetContext { not_before, .. }) => (
            format!(
                "the certificate of {host} is not valid before {}",
                date(*not_before)
            ),
            "set this machine's clock right".to_owned(),
        ),
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => (
            format!("the certificate of {host} comes from an authority that is not trusted here"),
            format!(
                "put the authority's certificate (PEM) into the folder HARNESS_CERTS_DIR, which is {}",
                ca_dir.display()
            ),
        ),
        rustls::Error::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => (
            format!(
                "the certificate is not for {host} but for {}",
                presented.join(", ")
            ),
            "write the name of the certificate in MANAGER_HOST_AND_PORT, or have one issued for this name"
                .to_owned(),
        ),
        rustls::Error::InvalidCertificate(Bad::NotValidForName) => (
            format!("the certificate is not for {host}"),
            "write the name of the certificate in MANAGER_HOST_AND_PORT, or have one issued for this name"
                .to_owned(),
        ),
        rustls::Error::InvalidMessage(_) => (
            format!("{host} does not speak TLS on this port"),
            "write http:// in MANAGER_HOST_AND_PORT, or the port that speaks TLS".to_owned(),
        ),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => (
            format!("{host} wants a client certificate"),
            "set DELEGATE_CLIENT_CERTIFICATE_PATH and DELEGATE_CLIENT_CERTIFICATE_KEY_PATH".to_owned(),
        ),
        rustls::Error::AlertReceived(alert) => (
            format!("{host} refuses the connection: {alert:?}"),
            "see that it knows the authority of the client certificate".to_owned(),
        ),
        other => (
            format!("no secure connection to {host}: {other}"),
            "see what answers there: openssl s_client shows its certificate".to_owned(),
        ),
    };
    (found, remedy)
}
