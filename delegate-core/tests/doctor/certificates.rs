//! Faults of certificates: the server's, an authority's, and the client's.

use super::site::{Ca, Life, ca, issue, managers, serve, tls};
use super::{Fault, Patient};

/// A delegate of a manager with this certificate, which trusts this authority.
fn patient(server: &(String, String), trusted: &Ca, clients_of: Option<&Ca>) -> Patient {
    let port = serve(Some(tls(server, clients_of)), |head| managers(head, 0));
    let patient = Patient::of(&format!("https://localhost:{port}"));
    let folder = patient.path("ca");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(format!("{folder}/ca.pem"), trusted.pem()).unwrap();
    patient.with("HARNESS_CERTS_DIR", folder)
}

/// With a client certificate.
fn showing(patient: Patient, certificate: &str, key: &str) -> Patient {
    let (certificate, key) = (
        patient.file("client.crt", certificate),
        patient.file("client.key", key),
    );
    patient
        .with("DELEGATE_CLIENT_CERTIFICATE_PATH", certificate)
        .with("DELEGATE_CLIENT_CERTIFICATE_KEY_PATH", key)
}

pub(crate) fn seeded() -> Vec<Fault> {
    let (own, other) = (ca(Life::Now), ca(Life::Now));
    let good = issue(&own, "localhost", Life::Now);
    let client = issue(&other, "agent", Life::Now);
    let (_, foreign_key) = issue(&other, "agent", Life::Now);
    let expired = issue(&other, "agent", Life::Over);
    let later = issue(&other, "agent", Life::Later);
    let soon = issue(&other, "agent", Life::Soon);
    let trusting = |life| patient(&issue(&own, "localhost", life), &own, None);
    let with_file = |name: &str, content: &[u8]| {
        let patient = patient(&good, &own, None);
        patient.file(&format!("ca/{name}"), content);
        patient
    };
    vec![
        Fault::problem(
            "an expired server certificate",
            trusting(Life::Over),
            "manager.tls",
            "expired on 2002-02-03",
        ),
        Fault::problem(
            "a server certificate of the future",
            trusting(Life::Later),
            "manager.tls",
            "not valid before 4000-01-01",
        ),
        Fault::problem(
            "an authority that is not trusted",
            patient(&good, &other, None),
            "manager.tls",
            "HARNESS_CERTS_DIR",
        ),
        Fault::problem(
            "a certificate for another name",
            patient(&issue(&own, "manager.example", Life::Now), &own, None),
            "manager.tls",
            "not for localhost but for",
        ),
        Fault::problem(
            "a server that wants a client certificate",
            patient(&good, &own, Some(&other)),
            "manager.tls",
            "wants a client certificate",
        ),
        Fault::problem(
            "a client certificate with another's key",
            showing(patient(&good, &own, Some(&other)), &client.0, &foreign_key),
            "certificates.client",
            "does not belong to the certificate",
        ),
        Fault::problem(
            "a client certificate that is none",
            showing(patient(&good, &own, Some(&other)), "hello", &client.1),
            "certificates.client",
            "DELEGATE_CLIENT_CERTIFICATE_PATH names",
        ),
        Fault::problem(
            "an expired client certificate",
            showing(patient(&good, &own, Some(&other)), &expired.0, &expired.1),
            "certificates.client",
            "expired on 2002-02-03",
        ),
        Fault::problem(
            "a client certificate of the future",
            showing(patient(&good, &own, Some(&other)), &later.0, &later.1),
            "certificates.client",
            "not valid before",
        ),
        Fault::warning(
            "a client certificate that ends soon",
            showing(patient(&good, &own, Some(&other)), &soon.0, &soon.1),
            "certificates.client",
            "have it renewed",
        ),
        Fault::problem(
            "half of a client certificate",
            patient(&good, &own, None).with("DELEGATE_CLIENT_CERTIFICATE_PATH", "/nowhere"),
            "settings.values",
            "DELEGATE_CLIENT_CERTIFICATE_KEY_PATH is not set",
        ),
        Fault::warning(
            "a CA file that is none",
            with_file("notes.txt", b"hello"),
            "certificates.folder",
            "notes.txt has no usable CA certificate",
        ),
        Fault::warning(
            "an expired CA certificate",
            with_file("old.pem", ca(Life::Over).pem().as_bytes()),
            "certificates.folder",
            "old.pem expired on 2002-02-03",
        ),
    ]
}
