//! The delegate token: the shared secret of an account, in the two encodings found in the field.
//!
//! The user interface shows base64 of 32 hex characters; the raw Kubernetes manifest gives a container those 32
//! characters bare. Both are the same 16 key bytes. Source: `DELEGATE_TOKEN` as the official image, chart and
//! manifest pass it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::Secret;

/// Number of hex characters in the bare form.
const HEX_LENGTH: usize = 32;

/// A delegate token. Holds the bare form; does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct DelegateToken(Secret);

/// Why a text is no delegate token. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Neither encoding fits. The length tells a cut-off paste from a wrong field.
    #[error(
        "is not a delegate token: expected 32 hexadecimal characters or their base64 form (44 characters), got {length} characters; \
         copy it again from the manager"
    )]
    Malformed {
        /// Number of characters given, without surrounding white space.
        length: usize,
    },
}

impl DelegateToken {
    /// A new random token.
    ///
    /// # Errors
    /// Only when the system has no randomness to give.
    pub fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut key = Zeroizing::new([0u8; 16]);
        aws_lc_rs::rand::fill(key.as_mut())?;
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        let hex: String = key
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
            .collect();
        Ok(Self(Secret::new(hex)))
    }

    /// The 16 key bytes.
    pub fn key(&self) -> Zeroizing<[u8; 16]> {
        let mut key = Zeroizing::new([0u8; 16]);
        for (byte, pair) in key.iter_mut().zip(self.0.expose().as_bytes().chunks_exact(2)) {
            *byte = (hex_digit(pair[0]) << 4) | hex_digit(pair[1]);
        }
        key
    }

    /// The bare form, as the raw Kubernetes manifest passes it.
    pub fn bare(&self) -> Secret {
        self.0.clone()
    }

    /// The form the user interface shows, and the one we write everywhere.
    pub fn encoded(&self) -> Secret {
        Secret::new(BASE64.encode(self.0.expose()))
    }
}

/// Value of a digit that [`DelegateToken`] has already accepted.
fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0,
    }
}

impl FromStr for DelegateToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if let Some(token) = from_hex(text) {
            return Ok(token);
        }
        let malformed = TokenError::Malformed {
            length: text.chars().count(),
        };
        let decoded = Zeroizing::new(BASE64.decode(text).map_err(|_| malformed)?);
        let inner = std::str::from_utf8(&decoded).map_err(|_| malformed)?;
        from_hex(inner.trim()).ok_or(malformed)
    }
}

fn from_hex(text: &str) -> Option<DelegateToken> {
    (text.len() == HEX_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| DelegateToken(Secret::new(text.to_ascii_lowercase())))
}

impl fmt::Debug for DelegateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[delegate token]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_encodings_give_the_same_key(key in any::<[u8; 16]>()) {
            let bare: String = key.iter().map(|b| format!("{b:02x}")).collect();
            let token: DelegateToken = bare.parse().unwrap();
            prop_assert_eq!(*token.key(), key);
            prop_assert_eq!(&token.encoded().expose().parse::<DelegateToken>().unwrap(), &token);
            prop_assert_eq!(&format!("  {bare}\n").parse::<DelegateToken>().unwrap(), &token);
            prop_assert_eq!(&bare.to_uppercase().parse::<DelegateToken>().unwrap(), &token);
        }

        #[test]
        fn an_error_never_repeats_the_text(text in "[g-zG-Z]{8,40}") {
            let error = text.parse::<DelegateToken>().unwrap_err();
            prop_assert!(!error.to_string().contains(&text));
        }
    }

    #[test]
    fn what_is_no_token_is_refused_with_its_length() {
        assert_eq!("  ".parse::<DelegateToken>(), Err(TokenError::Empty));
        assert_eq!(
            "abc".parse::<DelegateToken>(),
            Err(TokenError::Malformed { length: 3 })
        );
        let cut = &DelegateToken::generate().unwrap().bare().expose()[1..].to_owned();
        assert_eq!(
            cut.parse::<DelegateToken>(),
            Err(TokenError::Malformed { length: 31 })
        );
    }
}
