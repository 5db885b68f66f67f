//! The first words between host and plugin: is this a host, do we speak the same protocol, where are we.
//!
//! The answer is one line on stdout, after which stdout stays silent: a host takes any other first line for a
//! broken plugin, and waits a minute for this one. Everything for people goes to stderr.

use std::io::{self, Write};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::host::HostEnv;

/// What a host shows to prove that it did not start us by accident. Public knowledge, no secret.
const MAGIC_COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// Version of the handshake itself.
const CORE_PROTOCOL: u32 = 1;

/// The provider protocol major we speak.
pub(super) const PROVIDER_PROTOCOL: u32 = 6;

/// Why there can be no conversation. Full sentences: a person reads them.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Started by a person or a wrong program.
    #[error(
        "This program is a Terraform provider: Terraform and OpenTofu start it by themselves, it does nothing \
         when run directly.\nName it in `required_providers` and run `terraform init`, or start it with `--debug` \
         to attach Terraform to a running provider."
    )]
    NotStartedByHost,
    /// The host is too old, or too new.
    #[error(
        "This provider speaks provider protocol {PROVIDER_PROTOCOL}, and the program that started it offers \
         {offered}. Use Terraform 1.0 or newer, or OpenTofu."
    )]
    ProtocolVersion {
        /// The host's own list.
        offered: String,
    },
}

/// Accepts a host that shows the cookie and speaks our protocol.
///
/// # Errors
/// [`HandshakeError`], to be printed on stderr; the process then ends with status 1.
pub(super) fn check(env: &HostEnv) -> Result<(), HandshakeError> {
    if env.cookie.as_deref() != Some(MAGIC_COOKIE) {
        return Err(HandshakeError::NotStartedByHost);
    }
    if !env.protocol_versions.contains(&PROVIDER_PROTOCOL) {
        let offered = match env.protocol_versions.as_slice() {
            [] => "none".to_owned(),
            versions => versions
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        };
        return Err(HandshakeError::ProtocolVersion { offered });
    }
    Ok(())
}

/// Composes the line, without its line end.
///
/// The certificate goes as DER in base64 without padding; without TLS its field is empty.
pub(super) fn line(network: &str, address: &str, certificate: Option<&[u8]>, env: &HostEnv) -> String {
    let certificate = certificate
        .map(|der| STANDARD_NO_PAD.encode(der))
        .unwrap_or_default();
    let mut line = format!("{CORE_PROTOCOL}|{PROVIDER_PROTOCOL}|{network}|{address}|grpc|{certificate}");
    if env.asks_multiplexing {
        // Terraform never asks; hosts that do read a boolean here.
        line.push_str("|false");
    }
    line
}

/// Writes the line in one piece and flushes, so that the host sees it at once and whole.
///
/// # Errors
/// The host closed our stdout: it is gone.
pub(super) fn announce(mut stdout: impl Write, line: &str) -> io::Result<()> {
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(versions: &[u32]) -> HostEnv {
        HostEnv {
            cookie: Some(MAGIC_COOKIE.to_owned()),
            protocol_versions: versions.to_vec(),
            ..HostEnv::default()
        }
    }

    #[test]
    fn a_host_is_accepted_whatever_the_order_of_its_versions() {
        for versions in [&[5, 6][..], &[6, 5], &[6]] {
            assert!(check(&host(versions)).is_ok(), "{versions:?}");
        }
    }

    #[test]
    fn a_missing_or_wrong_cookie_is_refused() {
        let mut env = host(&[5, 6]);
        env.cookie = None;
        assert!(matches!(check(&env), Err(HandshakeError::NotStartedByHost)));
        env.cookie = Some(MAGIC_COOKIE.to_uppercase());
        assert!(matches!(check(&env), Err(HandshakeError::NotStartedByHost)));
    }

    #[test]
    fn a_host_without_our_protocol_is_told_both_sides() {
        let text = check(&host(&[4, 5])).expect_err("must be refused").to_string();
        assert!(
            text.contains("protocol 6") && text.contains("offers 4, 5"),
            "{text}"
        );
        let text = check(&host(&[])).expect_err("must be refused").to_string();
        assert!(text.contains("offers none"), "{text}");
    }

    #[test]
    fn the_line_has_six_fields_and_unpadded_base64() {
        let der = [0xfb_u8; 100]; // 100 bytes would need padding, and 0xfb shows the standard alphabet.
        let line = line("unix", "/tmp/x/socket", Some(&der), &host(&[6]));
        let fields: Vec<_> = line.split('|').collect();
        assert_eq!(fields[..5], ["1", "6", "unix", "/tmp/x/socket", "grpc"]);
        assert_eq!(fields.len(), 6);
        assert!(!fields[5].contains('=') && fields[5].contains('+'));
        assert_eq!(STANDARD_NO_PAD.decode(fields[5]).expect("base64"), der);
    }

    #[test]
    fn the_line_answers_the_multiplexing_question_only_when_asked() {
        let mut env = host(&[6]);
        assert_eq!(
            line("tcp", "127.0.0.1:1", None, &env),
            "1|6|tcp|127.0.0.1:1|grpc|"
        );
        env.asks_multiplexing = true;
        assert_eq!(
            line("tcp", "127.0.0.1:1", None, &env),
            "1|6|tcp|127.0.0.1:1|grpc||false"
        );
    }
}
