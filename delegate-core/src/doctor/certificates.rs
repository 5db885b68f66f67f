//! The CA folder and the client certificate: whether they read, fit together, and how long they last.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};

use super::report::Report;
use crate::config::{ClientCertificate, DEFAULT_CA_BUNDLE_DIR, DelegateConfig};
use crate::protocol::http::{HttpError, read_pair};
use crate::protocol::trust::{certificates_of, files_of};

/// A client certificate that ends sooner wants to be renewed now.
const SOON: Duration = Duration::from_hours(14 * 24);

/// Whether the delegate can make connections with these.
pub(super) fn look(config: &DelegateConfig, report: &mut Report) -> bool {
    folder(&config.ca_bundle_dir, report);
    let Some(pair) = &config.client_certificate else {
        return true;
    };
    match read_pair(pair) {
        Ok((chain, key)) => {
            match CertifiedKey::from_der(chain.clone(), key, &aws_lc_rs::default_provider()) {
                Ok(_) => life(pair, &chain, report),
                Err(error) => {
                    report.problem(
                    "certificates.client",
                    format_args!(
                        "the key {} does not belong to the certificate {}: {error}",
                        pair.key.display(),
                        pair.certificate.display()
                    ),
                    "give DELEGATE_CLIENT_CERTIFICATE_PATH and DELEGATE_CLIENT_CERTIFICATE_KEY_PATH files that were \
                     issued together, the client's certificate first in its file",
                );
                    false
                }
            }
        }
        Err(HttpError::ClientCertificate {
            variable,
            path,
            reason,
        }) => {
            report.problem(
                "certificates.client",
                format_args!(
                    "{variable} names {}, which cannot be used: {reason}",
                    path.display()
                ),
                "name a PEM file that the delegate's user can read",
            );
            false
        }
        Err(error) => {
            report.problem(
                "certificates.client",
                error,
                "correct the files of the client certificate",
            );
            false
        }
    }
}

fn life(pair: &ClientCertificate, chain: &[CertificateDer<'_>], report: &mut Report) -> bool {
    let now = UnixTime::now();
    let file = pair.certificate.display();
    let Some(first) = chain.first() else { return true };
    match validity(first, now) {
        Validity::Ended(when) => {
            report.problem(
                "certificates.client",
                format_args!("the client certificate {file} expired on {}", date(when)),
                "have it renewed; a new file is used without a restart",
            );
            return false;
        }
        Validity::NotYet(when) => {
            report.problem(
                "certificates.client",
                format_args!("the client certificate {file} is not valid before {}", date(when)),
                "set this machine's clock right, or wait",
            );
            return false;
        }
        Validity::Valid => {}
    }
    let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
    if let Validity::Ended(when) = validity(first, later) {
        report.warn(
            "certificates.client",
            format_args!("the client certificate {file} expires on {}", date(when)),
            "have it renewed; a new file is used without a restart",
        );
    } else {
        report.ok(
            "certificates.client",
            format_args!("{file} is valid and has its key"),
        );
    }
    true
}

fn folder(dir: &Path, report: &mut Report) {
    if !dir.is_dir() {
        if dir != Path::new(DEFAULT_CA_BUNDLE_DIR) {
            report.warn(
                "certificates.folder",
                format_args!("HARNESS_CERTS_DIR names {}, which is no folder", dir.display()),
                "mount the folder with your CA certificates there, or remove the variable",
            );
        }
        return;
    }
    let (mut good, mut bad) = (0, 0);
    for file in files_of(dir) {
        let shown = file.display();
        let certificates = match certificates_of(&file) {
            Ok(certificates) => certificates,
            Err(reason) => {
                bad += 1;
                unusable(&shown.to_string(), &reason, report);
                continue;
            }
        };
        for certificate in certificates {
            if let Err(error) = RootCertStore::empty().add(certificate.clone()) {
                bad += 1;
                unusable(&shown.to_string(), &error.to_string(), report);
            } else if let Validity::Ended(when) = validity(&certificate, UnixTime::now()) {
                bad += 1;
                report.warn(
                    "certificates.folder",
                    format_args!("a CA certificate in {shown} expired on {}", date(when)),
                    "replace it with the CA's current certificate",
                );
            } else {
                good += 1;
            }
        }
    }
    if bad == 0 {
        report.ok(
            "certificates.folder",
            format_args!("{good} of your own CA certificates in {}", dir.display()),
        );
    }
}

fn unusable(file: &str, reason: &str, report: &mut Report) {
    report.warn(
        "certificates.folder",
        format_args!("{file} has no usable CA certificate and is skipped: {reason}"),
        "put PEM or DER certificates there, and nothing else",
    );
}

/// What a certificate says of a moment.
enum Validity {
    Valid,
    NotYet(UnixTime),
    Ended(UnixTime),
}

/// The library looks at the dates before anything else; what it finds afterwards is not asked here.
fn validity(certificate: &CertificateDer<'_>, at: UnixTime) -> Validity {
    let Ok(parsed) = EndEntityCert::try_from(certificate) else {
        return Validity::Valid;
    };
    let verified = parsed.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[],
        &[],
        at,
        KeyUsage::client_auth(),
        None,
        None,
    );
    match verified.err() {
        Some(webpki::Error::CertExpired { not_after, .. }) => Validity::Ended(not_after),
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => Validity::NotYet(not_before),
        _ => Validity::Valid,
    }
}

/// A day, as people write it.
pub(super) fn date(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "an unknown day".to_owned(), |at| at.to_string())
}

/// Seconds since the epoch.
pub(super) fn now_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
