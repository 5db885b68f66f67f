//! Who this manager is: its account, its API key, its first delegate token, and the key of its log tokens. Made on
//! the first start, kept in the store, and checked against what is asked for on every later one.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use sha2::{Digest as _, Sha256};

use super::ids::Millis;
use super::store::{Change, Store, StoreError};
use super::tokens::Tokens;
use crate::Secret;
use crate::config::{AccountId, DelegateToken};

/// Name of the delegate token made on the first start, as in the product.
pub const DEFAULT_TOKEN_NAME: &str = "default_token";

const ACCOUNT: &str = "account_id";
const API_KEY_HASH: &str = "api_key_sha256";
const LOG_KEY: &str = "log_key";

/// Length of a made account id, as in the product.
const ACCOUNT_LENGTH: usize = 22;

/// What may be asked for at the start. Whatever is absent is made on the first start and kept afterwards.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `--account-id`.
    pub account_id: Option<AccountId>,
    /// `--delegate-token`.
    pub delegate_token: Option<DelegateToken>,
    /// `--api-key`.
    pub api_key: Option<Secret>,
}

/// What was made on this start, to be shown once.
#[derive(Debug, Default)]
pub struct Made {
    /// The account id.
    pub account_id: Option<AccountId>,
    /// The delegate token.
    pub delegate_token: Option<DelegateToken>,
    /// The API key. Only its hash is kept.
    pub api_key: Option<Secret>,
}

/// Why the start cannot go on. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database is another account's.
    #[error(
        "the database belongs to account {kept}, not {wanted}; leave --account-id out, or choose another --data-dir or --database-url"
    )]
    OtherAccount {
        /// The account there.
        kept: AccountId,
        /// The account asked for.
        wanted: AccountId,
    },
    /// The token asked for was revoked.
    #[error("the delegate token given with --delegate-token was revoked as {0:?}; give another one")]
    RevokedToken(String),
    /// The API key is too easy to guess.
    #[error("the API key given with --api-key has fewer than {MIN_API_KEY} characters; give a longer one")]
    ShortApiKey,
    /// The system gave no randomness.
    #[error("the system has no randomness to make keys from")]
    NoRandomness,
    /// What is kept does not read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Shortest API key taken.
const MIN_API_KEY: usize = 8;

/// Who this manager is.
pub struct Identity {
    /// The account.
    pub account: AccountId,
    api_key_hash: Vec<u8>,
    log_key: hmac::Key,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.account)
    }
}

/// What [`establish`] finds and makes.
#[derive(Debug)]
pub struct Established {
    /// Who this manager is.
    pub identity: Identity,
    /// The delegate tokens.
    pub tokens: Tokens,
    /// To be written before anything is served.
    pub changes: Vec<Change>,
    /// To be shown once they are written.
    pub made: Made,
}

/// Reads the identity, makes what is missing, and applies what is asked for.
pub async fn establish(store: &Store, wanted: Wanted, now: Millis) -> Result<Established, IdentityError> {
    let settings = store.settings().await?;
    let mut tokens = Tokens::restore(store.tokens().await?);
    let mut changes = Vec::new();
    let mut made = Made::default();
    let unreadable = |name: &str| StoreError::Unreadable {
        what: format!("setting {name}"),
    };

    let kept: Option<AccountId> = settings
        .get(ACCOUNT)
        .map(|text| text.parse().map_err(|_| unreadable(ACCOUNT)))
        .transpose()?;
    let account = match (kept, wanted.account_id) {
        (Some(kept), Some(wanted)) if kept != wanted => {
            return Err(IdentityError::OtherAccount { kept, wanted });
        }
        (Some(kept), _) => kept,
        (None, wanted) => {
            let account = match wanted {
                Some(account) => account,
                None => made
                    .account_id
                    .insert(random_account().ok_or(IdentityError::NoRandomness)?)
                    .clone(),
            };
            changes.push(Change::Setting(ACCOUNT, account.to_string()));
            account
        }
    };

    let api_key_hash = match (settings.get(API_KEY_HASH), wanted.api_key) {
        (_, Some(key)) if key.expose().chars().count() < MIN_API_KEY => {
            return Err(IdentityError::ShortApiKey);
        }
        (kept, Some(key)) => {
            let hash = hex(&hash(key.expose()));
            if kept != Some(&hash) {
                changes.push(Change::Setting(API_KEY_HASH, hash.clone()));
            }
            hash
        }
        (Some(kept), None) => kept.clone(),
        (None, None) => {
            let key = made
                .api_key
                .insert(Secret::new(format!("hdk_{}", random_text::<32>()?)));
            let hash = hex(&hash(key.expose()));
            changes.push(Change::Setting(API_KEY_HASH, hash.clone()));
            hash
        }
    };

    let log_key = if let Some(text) = settings.get(LOG_KEY) {
        BASE64URL.decode(text).map_err(|_| unreadable(LOG_KEY))?
    } else {
        let text = random_text::<32>()?;
        changes.push(Change::Setting(LOG_KEY, text.clone()));
        BASE64URL.decode(text).map_err(|_| unreadable(LOG_KEY))?
    };

    changes.extend(first_token(&mut tokens, wanted.delegate_token, now, &mut made)?);
    Ok(Established {
        identity: Identity {
            account,
            api_key_hash: unhex(&api_key_hash).ok_or_else(|| unreadable(API_KEY_HASH))?,
            log_key: hmac::Key::new(hmac::HMAC_SHA256, &log_key),
        },
        tokens,
        changes,
        made,
    })
}

/// The token asked for is there and active; without one asked for, there has been one at least.
fn first_token(
    tokens: &mut Tokens,
    wanted: Option<DelegateToken>,
    now: Millis,
    made: &mut Made,
) -> Result<Vec<Change>, IdentityError> {
    let no_randomness = |_| IdentityError::NoRandomness;
    match wanted {
        Some(secret) => {
            if let Some(there) = tokens.with_secret(&secret) {
                return if there.is_active(now) {
                    Ok(Vec::new())
                } else {
                    Err(IdentityError::RevokedToken(there.row.name.clone()))
                };
            }
            // Beside the others, so that delegates of the token before it go on until somebody revokes that.
            let mut name = DEFAULT_TOKEN_NAME.to_owned();
            let mut number = 1;
            while tokens.get(&name).is_some() {
                number += 1;
                name = format!("{DEFAULT_TOKEN_NAME}_{number}");
            }
            let row = tokens
                .create(now, &name, Some(secret), None)
                .map_err(no_randomness)?;
            Ok(vec![Change::Token(row)])
        }
        None if tokens.iter().next().is_none() => {
            let row = tokens
                .create(now, DEFAULT_TOKEN_NAME, None, None)
                .map_err(no_randomness)?;
            made.delegate_token = row.secret.expose().parse().ok();
            Ok(vec![Change::Token(row)])
        }
        None => Ok(Vec::new()),
    }
}

impl Identity {
    /// Whether this is the API key.
    pub fn is_api_key(&self, key: &str) -> bool {
        constant_time::verify_slices_are_equal(&self.api_key_hash, &hash(key)).is_ok()
    }

    /// The token that opens one log, and no other, for writing and reading.
    pub fn log_token(&self, key: &str) -> Secret {
        self.sign("log", key, "")
    }

    /// Whether this token opens this log.
    pub fn is_log_token(&self, token: &str, key: &str) -> bool {
        self.is_signed("log", key, "", token)
    }

    /// The signature of an upload link.
    pub fn upload_signature(&self, key: &str, expires: Millis) -> Secret {
        self.sign("upload", key, &expires.to_string())
    }

    /// Whether an upload link was made here.
    pub fn is_upload_signature(&self, signature: &str, key: &str, expires: Millis) -> bool {
        self.is_signed("upload", key, &expires.to_string(), signature)
    }

    fn sign(&self, purpose: &str, key: &str, more: &str) -> Secret {
        let tag = hmac::sign(
            &self.log_key,
            format!("{purpose}\n{}\n{more}\n{key}", self.account).as_bytes(),
        );
        Secret::new(BASE64URL.encode(tag.as_ref()))
    }

    fn is_signed(&self, purpose: &str, key: &str, more: &str, signature: &str) -> bool {
        let text = format!("{purpose}\n{}\n{more}\n{key}", self.account);
        BASE64URL
            .decode(signature)
            .is_ok_and(|tag| hmac::verify(&self.log_key, text.as_bytes(), &tag).is_ok())
    }
}

fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

fn random_text<const BYTES: usize>() -> Result<String, IdentityError> {
    let mut bytes = [0u8; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IdentityError::NoRandomness)?;
    Ok(BASE64URL.encode(bytes))
}

fn random_account() -> Option<AccountId> {
    let text = random_text::<64>().ok()?;
    let letters: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(ACCOUNT_LENGTH)
        .collect();
    letters.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_token_opens_its_own_log_only() {
        let identity = |key: u8| Identity {
            account: "acc".parse().unwrap(),
            api_key_hash: Vec::new(),
            log_key: hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]),
        };
        let token = identity(1).log_token("a");
        assert!(identity(1).is_log_token(token.expose(), "a"));
        assert!(!identity(1).is_log_token(token.expose(), "b"));
        assert!(!identity(2).is_log_token(token.expose(), "a"));
        assert!(!identity(1).is_log_token("", "a"));
        assert!(
            !identity(1).is_upload_signature(token.expose(), "a", 0),
            "a token for one purpose does not serve another"
        );
    }

    #[test]
    fn a_made_account_id_is_one() {
        assert_eq!(random_account().unwrap().as_str().len(), ACCOUNT_LENGTH);
    }
}
