//! The bearer token of every agent call: a JWE made from the delegate token.
//!
//! `Authorization: Delegate <JWE>`, compact serialization, `dir` + `A128GCM`, an empty second part. The plaintext is the
//! claim set itself; there is no signed token inside. Claims: `sub` account id, `iss` and `aud` fixed placeholders,
//! `exp`, `iat`, `jti`.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Secret;
use crate::config::DelegateToken;

/// Life of a minted token in seconds; half of it is over before a new one is minted.
pub const LIFETIME_SECONDS: i64 = 20 * 60;

/// Clock difference tolerated when a token is checked, in seconds.
pub const CLOCK_SKEW_SECONDS: i64 = 60;

/// A compact JWE of ours has about 400 characters; anything far longer is not one.
const MAX_LENGTH: usize = 8 * 1024;

const HEADER: &str = r#"{"alg":"dir","enc":"A128GCM","typ":"JWT"}"#;

/// GCM tag length in bytes.
const TAG_LENGTH: usize = 16;

/// What a token says. `iss` and `aud` are placeholders in every known client, so nobody checks them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Account id.
    pub sub: String,
    /// Always `issuer`.
    #[serde(default)]
    pub iss: String,
    /// Always `["audience"]`.
    #[serde(default)]
    pub aud: serde_json::Value,
    /// End of life, seconds since the epoch.
    pub exp: i64,
    /// Time of minting, seconds since the epoch.
    #[serde(default)]
    pub iat: i64,
    /// Fresh for every token.
    #[serde(default)]
    pub jti: String,
}

/// The part of the header that decides whether we can open it.
#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
}

/// Why a bearer token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not a compact JWE of this protocol.
    #[error("the bearer token is not a compact JWE with direct A128GCM encryption")]
    Malformed,
    /// Made with another secret, or changed on the way.
    #[error("the bearer token was not made with this delegate token")]
    WrongKey,
}

/// Mints a token for an account.
///
/// `now` is in seconds since the epoch.
///
/// # Errors
/// Only when the system has no randomness to give.
pub fn mint(
    account_id: &str,
    token: &DelegateToken,
    now: i64,
) -> Result<Secret, aws_lc_rs::error::Unspecified> {
    let claims = Claims {
        sub: account_id.to_owned(),
        iss: "issuer".to_owned(),
        aud: serde_json::json!(["audience"]),
        exp: now + LIFETIME_SECONDS,
        iat: now,
        jti: uuid::Uuid::new_v4().to_string(),
    };
    let text = serde_json::to_vec(&claims).map_err(|_| aws_lc_rs::error::Unspecified)?;
    encrypt(text, token).map(Secret::new)
}

/// Seals a text, so that only who has the delegate token reads it. It is no bearer token: a text has no claims.
///
/// # Errors
/// Only when the system has no randomness to give.
pub fn seal(text: &Secret, token: &DelegateToken) -> Result<String, aws_lc_rs::error::Unspecified> {
    let text = serde_json::to_vec(text.expose()).map_err(|_| aws_lc_rs::error::Unspecified)?;
    encrypt(text, token)
}

/// Reads what [`seal`] made.
///
/// # Errors
/// As [`open`].
pub fn unseal(jwe: &str, token: &DelegateToken) -> Result<Secret, OpenError> {
    let text = Zeroizing::new(decrypt(jwe, token)?);
    serde_json::from_slice(&text).map_err(|_| OpenError::Malformed)
}

fn encrypt(mut text: Vec<u8>, token: &DelegateToken) -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut nonce = [0u8; NONCE_LEN];
    // The system's own randomness: the library's costs 100 ms at its first use, for entropy that a nonce does not need.
    getrandom::fill(&mut nonce).map_err(|_| aws_lc_rs::error::Unspecified)?;
    let header = BASE64URL.encode(HEADER);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, token.key().as_ref())?);
    let tag = key.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(header.as_bytes()),
        &mut text,
    )?;
    Ok(format!(
        "{header}..{}.{}.{}",
        BASE64URL.encode(nonce),
        BASE64URL.encode(&text),
        BASE64URL.encode(tag.as_ref()),
    ))
}

/// Opens a token with one secret. Expiry and account are the caller's to check.
///
/// # Errors
/// [`OpenError::Malformed`] for anything but a JWE of this protocol, [`OpenError::WrongKey`] when the secret does not fit.
pub fn open(jwe: &str, token: &DelegateToken) -> Result<Claims, OpenError> {
    serde_json::from_slice(&decrypt(jwe, token)?).map_err(|_| OpenError::Malformed)
}

fn decrypt(jwe: &str, token: &DelegateToken) -> Result<Vec<u8>, OpenError> {
    if jwe.len() > MAX_LENGTH {
        return Err(OpenError::Malformed);
    }
    let parts: Vec<&str> = jwe.split('.').collect();
    let [header, "", nonce, text, tag] = parts.as_slice() else {
        return Err(OpenError::Malformed);
    };
    let decode = |part: &str| BASE64URL.decode(part).map_err(|_| OpenError::Malformed);
    let head: Header = serde_json::from_slice(&decode(header)?).map_err(|_| OpenError::Malformed)?;
    if head.alg != "dir" || head.enc != "A128GCM" {
        return Err(OpenError::Malformed);
    }
    let nonce = Nonce::try_assume_unique_for_key(&decode(nonce)?).map_err(|_| OpenError::Malformed)?;
    let tag = decode(tag)?;
    if tag.len() != TAG_LENGTH {
        return Err(OpenError::Malformed);
    }
    let mut sealed = decode(text)?;
    sealed.extend_from_slice(&tag);
    let key = UnboundKey::new(&AES_128_GCM, token.key().as_ref()).map_err(|_| OpenError::WrongKey)?;
    let length = LessSafeKey::new(key)
        .open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed)
        .map_err(|_| OpenError::WrongKey)?
        .len();
    sealed.truncate(length);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_800_000_000;

    fn token() -> DelegateToken {
        "000102030405060708090a0b0c0d0e0f".parse().unwrap()
    }

    #[test]
    fn a_minted_token_opens_with_its_secret_only() {
        let jwe = mint("acc", &token(), NOW).unwrap();
        let claims = open(jwe.expose(), &token()).unwrap();
        assert_eq!(
            (claims.sub.as_str(), claims.exp, claims.iat),
            ("acc", NOW + 1200, NOW)
        );
        assert_eq!(claims.aud, serde_json::json!(["audience"]));
        let other = DelegateToken::generate().unwrap();
        assert_eq!(open(jwe.expose(), &other), Err(OpenError::WrongKey));
    }

    #[test]
    fn a_sealed_text_opens_with_its_secret_only_and_is_no_bearer_token() {
        // Even a text that reads like claims.
        let text = Secret::new(r#"{"sub":"acc","exp":9999999999}"#);
        let sealed = seal(&text, &token()).unwrap();
        assert!(!sealed.contains("sub"), "{sealed}");
        assert_eq!(unseal(&sealed, &token()).unwrap(), text);
        assert_eq!(open(&sealed, &token()), Err(OpenError::Malformed));
        let other = DelegateToken::generate().unwrap();
        assert_eq!(unseal(&sealed, &other), Err(OpenError::WrongKey));
        let bearer = mint("acc", &token(), NOW).unwrap();
        assert_eq!(unseal(bearer.expose(), &token()), Err(OpenError::Malformed));
    }

    #[test]
    fn the_shape_on_the_wire_is_the_protocols() {
        let jwe = mint("acc", &token(), NOW).unwrap();
        let parts: Vec<&str> = jwe.expose().split('.').collect();
        assert_eq!(parts.len(), 5);
        assert_eq!(BASE64URL.decode(parts[0]).unwrap(), HEADER.as_bytes());
        assert_eq!(parts[1], "", "direct encryption has no encrypted key");
        assert_eq!(BASE64URL.decode(parts[2]).unwrap().len(), 12);
        assert_eq!(BASE64URL.decode(parts[4]).unwrap().len(), 16);
    }

    #[test]
    fn two_tokens_never_share_nonce_or_id() {
        let (a, b) = (
            mint("acc", &token(), NOW).unwrap(),
            mint("acc", &token(), NOW).unwrap(),
        );
        assert_ne!(a, b);
        assert_ne!(
            open(a.expose(), &token()).unwrap().jti,
            open(b.expose(), &token()).unwrap().jti
        );
    }

    /// Made by an independent implementation (Python, `cryptography`), so that both directions are not wrong together.
    #[test]
    fn a_token_made_elsewhere_opens() {
        let jwe = include_str!("testdata/foreign-jwe.txt").trim();
        let claims = open(jwe, &token()).unwrap();
        assert_eq!(claims.sub, "foreign-account");
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in 0usize..300, to in "[A-Za-z0-9_-]") {
            let jwe = mint("acc", &token(), NOW).unwrap().expose().to_owned();
            let at = at % jwe.len();
            let mut changed = jwe.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != jwe);
            // The last base64 character of a part may carry unused bits; those are refused as malformed.
            prop_assert!(open(&changed, &token()).is_err());
        }

        #[test]
        fn garbage_is_refused_without_panic(text in ".{0,200}") {
            prop_assert!(open(&text, &token()).is_err());
        }
    }
}
