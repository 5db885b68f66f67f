//! Mutual TLS with one known peer.
//!
//! The host makes a certificate for every plugin it starts and hands it to us; we make one and hand it back in
//! the handshake line. Each side then trusts exactly that one. So a certificate is not validated here in the
//! usual sense, there is no chain and no name to check: it is *compared*, and its holder must prove the key.
//! The stock verifiers cannot be used, since the host presents a certificate that is marked as an authority
//! (and with a P-521 key, which is why the crypto library is aws-lc-rs).

use std::sync::Arc;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime,
    pem::{self, PemObject},
};

/// The name the host asks for, in the dial and in the certificate.
const SERVER_NAME: &str = "localhost";

/// Why no TLS endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `PLUGIN_CLIENT_CERT` holds something else.
    #[error("reading the host's certificate from PLUGIN_CLIENT_CERT")]
    ClientCertificate(#[source] pem::Error),
    /// The key or the certificate of this process could not be made.
    #[error("making the certificate of this process")]
    OwnCertificate(#[from] rcgen::Error),
    /// The TLS library refused the set-up.
    #[error("setting up TLS")]
    Setup(#[from] rustls::Error),
}

/// Our end of the mutual TLS.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// For the acceptor.
    pub(super) config: Arc<ServerConfig>,
    /// For the handshake line.
    pub(super) certificate: CertificateDer<'static>,
}

impl Endpoint {
    /// Makes a key and a certificate for this process, and pins the host's certificate.
    ///
    /// # Errors
    /// [`TlsError`] when the host's PEM is not a certificate, or the crypto library fails.
    pub(super) fn new(client_pem: &str) -> Result<Self, TlsError> {
        let client =
            CertificateDer::from_pem_slice(client_pem.as_bytes()).map_err(TlsError::ClientCertificate)?;
        let (certificate, key) = own_certificate()?;
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(crypto.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(PinnedClient::new(client, &crypto)))
            .with_single_cert(vec![certificate.clone()], key)?;
        // gRPC libraries refuse a TLS peer that does not negotiate HTTP/2.
        config.alpn_protocols = vec![b"h2".to_vec()];
        // One connection for the life of the process: there is nothing to resume.
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            certificate,
        })
    }
}

/// A fresh P-256 certificate for this process.
///
/// Its validity is the library's default of many centuries: the host trusts it for as long as this process
/// lives, and a narrower window could only fail on a machine whose clock is wrong.
fn own_certificate() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((certificate.der().clone(), key.into()))
}

/// Accepts one certificate, byte for byte, from whoever proves to hold its key.
#[derive(Debug)]
struct PinnedClient {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedClient {
    fn new(certificate: CertificateDer<'static>, crypto: &CryptoProvider) -> Self {
        Self {
            certificate,
            algorithms: crypto.signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for PinnedClient {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hint: a client sends what it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.certificate.as_ref() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_that_is_no_certificate_is_named_as_the_cause() {
        for pem in [
            "",
            "not a pem",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        ] {
            let error = Endpoint::new(pem).expect_err("must be refused");
            assert!(error.to_string().contains("PLUGIN_CLIENT_CERT"), "{error}");
        }
    }

    #[test]
    fn only_the_pinned_bytes_are_accepted() {
        let (pinned, _) = own_certificate().expect("a certificate");
        let (other, _) = own_certificate().expect("a certificate");
        let verifier = PinnedClient::new(pinned.clone(), &aws_lc_rs::default_provider());
        assert!(verifier.verify_client_cert(&pinned, &[], UnixTime::now()).is_ok());
        assert!(verifier.verify_client_cert(&other, &[], UnixTime::now()).is_err());
        let truncated = CertificateDer::from(&pinned[..pinned.len() - 1]);
        assert!(
            verifier
                .verify_client_cert(&truncated, &[], UnixTime::now())
                .is_err()
        );
        assert!(verifier.client_auth_mandatory());
    }
}
