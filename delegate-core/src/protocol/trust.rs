//! Whom we trust: the system's root certificates, and those of a folder.
//!
//! A bad file of the folder is logged and skipped. Child processes get the same certificates as one bundle.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tracing::{debug, warn};

/// A certificate bundle is below 1 MiB; a larger file in the folder is something else.
const MAX_CERTIFICATE_FILE: u64 = 4 * 1024 * 1024;

/// The system's roots and every certificate of the folder.
pub(super) fn roots(extra: Option<&Path>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        debug!(%error, "a system root certificate was skipped");
    }
    let (mut added, _) = store.add_parsable_certificates(native.certs);
    for path in extra.map(files_of).unwrap_or_default() {
        match certificates_of(&path) {
            Ok(certificates) => {
                let (good, bad) = store.add_parsable_certificates(certificates);
                added += good;
                if bad > 0 || good == 0 {
                    warn!(file = %path.display(), good, bad, "certificates that cannot be used were skipped");
                }
            }
            Err(reason) => warn!(file = %path.display(), reason, "a certificate file was skipped"),
        }
    }
    if added == 0 {
        warn!(
            "no root certificate was found: install ca-certificates, or put the CA into the certificate folder"
        );
    }
    store
}

/// Regular files of a folder in the order of their names; links are followed, because mounted Secrets are links.
pub(crate) fn files_of(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// A PEM bundle, or one certificate in DER.
pub(crate) fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    if size > MAX_CERTIFICATE_FILE {
        return Err(format!(
            "it has {size} bytes, at most {MAX_CERTIFICATE_FILE} are read"
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let pem: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    Ok(if pem.is_empty() { vec![bytes.into()] } else { pem })
}

/// Everything we trust as one PEM bundle, for programs that read one; `None` when the folder adds nothing to what they
/// find themselves.
pub fn bundle(extra: &Path) -> Option<String> {
    let own: Vec<_> = files_of(extra)
        .iter()
        .filter_map(|path| certificates_of(path).ok())
        .flatten()
        // What is no certificate would make some programs refuse the whole file.
        .filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
        .collect();
    if own.is_empty() {
        return None;
    }
    let system = rustls_native_certs::load_native_certs().certs;
    Some(own.iter().chain(&system).map(pem).collect())
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    /// Characters in a line of PEM.
    const WIDTH: usize = 64;
    let encoded = STANDARD.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII.
        let (line, after) = rest.split_at(rest.len().min(WIDTH));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
