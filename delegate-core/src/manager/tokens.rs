//! Delegate tokens, and who a bearer token belongs to.
//!
//! The secrets are AES keys, so they are kept as they are, in memory and in the store; whoever reads the database can
//! act as a delegate. They never print.

use std::collections::BTreeMap;

use super::ids::Millis;
use super::store::TokenRow;
use crate::config::{AccountId, DelegateToken};
use crate::protocol::token::{self, CLOCK_SKEW_SECONDS};
use crate::protocol::wire::code;

/// A revoked name stays taken for this long, as in the product, so that nobody mistakes a new token for the old one.
pub const NAME_BLOCKED_MS: Millis = 30 * 24 * 60 * 60 * 1000;

/// Most tokens of an account: each bearer token may have to be tried with all of them.
pub const MAX_TOKENS: usize = 1000;

/// Longest name.
pub const MAX_NAME: usize = 128;

/// Why a bearer token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// None of the account's secrets opens it.
    #[error(
        "The bearer token was not made with an active delegate token of this account; check DELEGATE_TOKEN and ACCOUNT_ID."
    )]
    Invalid,
    /// It is too old.
    #[error(
        "The bearer token has expired; mint a new one, and check the clock should that be the answer again."
    )]
    Expired,
    /// Its secret was revoked.
    #[error("The delegate token {name:?} was revoked; give the delegate an active one.")]
    Revoked {
        /// Name of the delegate token.
        name: String,
    },
}

impl Refused {
    /// The code on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid => code::INVALID_TOKEN,
            Self::Expired => code::EXPIRED_TOKEN,
            Self::Revoked { .. } => code::REVOKED_TOKEN,
        }
    }
}

/// Why a delegate token cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenChangeError {
    /// The name is not one.
    #[error("A token name has 1 to {MAX_NAME} characters, none of them a control character.")]
    BadName,
    /// There is an active one of this name.
    #[error("There is a token {0:?} already; choose another name, or revoke that one.")]
    Exists(String),
    /// There was one of this name.
    #[error(
        "A token {0:?} was revoked less than 30 days ago and its name is still taken; choose another name, or delete that one."
    )]
    Blocked(String),
    /// There is none of this name.
    #[error("There is no token {0:?}.")]
    Unknown(String),
    /// It is still in use.
    #[error("The token {0:?} is active; revoke it before deleting it.")]
    Active(String),
    /// The secret cannot be made.
    #[error("The system has no randomness to make a token from.")]
    NoRandomness,
    /// [`MAX_TOKENS`] exist.
    #[error("There are {MAX_TOKENS} tokens already; delete revoked ones.")]
    TooMany,
}

/// A delegate token of the account.
#[derive(Debug, Clone)]
pub struct Token {
    /// As it is stored.
    pub row: TokenRow,
    /// Its secret.
    pub secret: DelegateToken,
}

impl Token {
    /// Whether it is accepted at this time.
    pub fn is_active(&self, now: Millis) -> bool {
        self.row.revoked_at.is_none() && self.row.revoke_after.is_none_or(|at| at > now)
    }
}

/// All delegate tokens of the account, by name.
#[derive(Debug, Default)]
pub struct Tokens(BTreeMap<String, Token>);

impl Tokens {
    /// From what the store kept. Rows whose secret does not read are left out: nobody can use them.
    pub fn restore(rows: Vec<TokenRow>) -> Self {
        let token = |row: TokenRow| {
            let secret = row.secret.expose().parse().ok()?;
            Some((row.name.clone(), Token { row, secret }))
        };
        Self(rows.into_iter().filter_map(token).collect())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.values()
    }

    /// One by its name.
    pub fn get(&self, name: &str) -> Option<&Token> {
        self.0.get(name)
    }

    /// The name of the delegate token that made this bearer token.
    pub fn authenticate(&self, account: &AccountId, bearer: &str, now: Millis) -> Result<String, Refused> {
        let mut revoked = None;
        for token in self.0.values() {
            let Ok(claims) = token::open(bearer, &token.secret) else {
                continue;
            };
            if claims.sub != account.as_str() {
                return Err(Refused::Invalid);
            }
            if !token.is_active(now) {
                revoked = Some(token.row.name.clone());
                continue;
            }
            if now.div_euclid(1000) > claims.exp.saturating_add(CLOCK_SKEW_SECONDS) {
                return Err(Refused::Expired);
            }
            return Ok(token.row.name.clone());
        }
        Err(revoked.map_or(Refused::Invalid, |name| Refused::Revoked { name }))
    }

    /// Makes a token. It is in use as soon as it is stored.
    pub fn create(
        &mut self,
        now: Millis,
        name: &str,
        secret: Option<DelegateToken>,
        revoke_after: Option<Millis>,
    ) -> Result<TokenRow, TokenChangeError> {
        let length = name.chars().count();
        if length == 0 || length > MAX_NAME || name.chars().any(char::is_control) {
            return Err(TokenChangeError::BadName);
        }
        if let Some(there) = self.0.get(name) {
            if there.is_active(now) {
                return Err(TokenChangeError::Exists(name.to_owned()));
            }
            let since = there.row.revoked_at.or(there.row.revoke_after).unwrap_or(now);
            if now - since < NAME_BLOCKED_MS {
                return Err(TokenChangeError::Blocked(name.to_owned()));
            }
        } else if self.0.len() >= MAX_TOKENS {
            return Err(TokenChangeError::TooMany);
        }
        let secret = match secret {
            Some(secret) => secret,
            None => DelegateToken::generate().map_err(|_| TokenChangeError::NoRandomness)?,
        };
        let row = TokenRow {
            name: name.to_owned(),
            uuid: uuid::Uuid::new_v4().to_string(),
            secret: secret.bare(),
            created_at: now,
            revoked_at: None,
            revoke_after,
        };
        self.0.insert(
            name.to_owned(),
            Token {
                row: row.clone(),
                secret,
            },
        );
        Ok(row)
    }

    /// Revokes a token; one that is revoked stays as it is.
    pub fn revoke(&mut self, now: Millis, name: &str) -> Result<TokenRow, TokenChangeError> {
        let token = self
            .0
            .get_mut(name)
            .ok_or_else(|| TokenChangeError::Unknown(name.to_owned()))?;
        token.row.revoked_at.get_or_insert(now);
        Ok(token.row.clone())
    }

    /// Deletes a revoked token, which frees its name.
    pub fn delete(&mut self, now: Millis, name: &str) -> Result<TokenRow, TokenChangeError> {
        let token = self
            .0
            .get(name)
            .ok_or_else(|| TokenChangeError::Unknown(name.to_owned()))?;
        if token.is_active(now) {
            return Err(TokenChangeError::Active(name.to_owned()));
        }
        let row = token.row.clone();
        self.0.remove(name);
        Ok(row)
    }

    /// Revokes those whose time has come, and returns them.
    pub fn revoke_due(&mut self, now: Millis) -> Vec<TokenRow> {
        let due = |token: &&mut Token| token.row.revoked_at.is_none() && !token.is_active(now);
        let revoke = |token: &mut Token| {
            token.row.revoked_at = Some(now);
            token.row.clone()
        };
        self.0.values_mut().filter(due).map(revoke).collect()
    }

    /// The active token with this secret, revoked or not.
    pub fn with_secret(&self, secret: &DelegateToken) -> Option<&Token> {
        self.0.values().find(|token| token.secret == *secret)
    }

    /// Names of the active ones.
    pub fn active_names(&self, now: Millis) -> Vec<String> {
        self.0
            .values()
            .filter(|token| token.is_active(now))
            .map(|token| token.row.name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::token::{LIFETIME_SECONDS, mint};

    const NOW: Millis = 1_800_000_000_000;

    fn account() -> AccountId {
        "acc".parse().unwrap()
    }

    fn bearer(secret: &DelegateToken, at: Millis) -> String {
        mint("acc", secret, at / 1000).unwrap().expose().to_owned()
    }

    #[test]
    fn a_bearer_token_is_judged_by_secret_account_age_and_revocation() {
        let mut tokens = Tokens::default();
        tokens.create(NOW, "a", None, None).unwrap();
        tokens.create(NOW, "b", None, None).unwrap();
        let secret = tokens.get("b").unwrap().secret.clone();
        let life = (LIFETIME_SECONDS + CLOCK_SKEW_SECONDS) * 1000;
        let check = |tokens: &Tokens, bearer: &str, at| tokens.authenticate(&account(), bearer, at);
        assert_eq!(check(&tokens, &bearer(&secret, NOW), NOW), Ok("b".to_owned()));
        assert_eq!(
            check(&tokens, &bearer(&secret, NOW), NOW + life),
            Ok("b".to_owned())
        );
        assert_eq!(
            check(&tokens, &bearer(&secret, NOW), NOW + life + 1000),
            Err(Refused::Expired)
        );
        assert_eq!(check(&tokens, "nonsense", NOW), Err(Refused::Invalid));
        let foreign = mint("other", &secret, NOW / 1000).unwrap();
        assert_eq!(check(&tokens, foreign.expose(), NOW), Err(Refused::Invalid));
        tokens.revoke(NOW, "b").unwrap();
        let revoked = Refused::Revoked { name: "b".to_owned() };
        assert_eq!(check(&tokens, &bearer(&secret, NOW), NOW), Err(revoked));
    }

    #[test]
    fn a_revoked_name_is_taken_until_it_is_deleted_or_thirty_days_old() {
        let mut tokens = Tokens::default();
        tokens.create(NOW, "a", None, None).unwrap();
        assert_eq!(
            tokens.create(NOW, "a", None, None),
            Err(TokenChangeError::Exists("a".into()))
        );
        assert_eq!(tokens.delete(NOW, "a"), Err(TokenChangeError::Active("a".into())));
        tokens.revoke(NOW, "a").unwrap();
        assert_eq!(
            tokens.create(NOW, "a", None, None),
            Err(TokenChangeError::Blocked("a".into()))
        );
        assert!(tokens.create(NOW + NAME_BLOCKED_MS, "a", None, None).is_ok());
        tokens.revoke(NOW, "a").unwrap();
        tokens.delete(NOW, "a").unwrap();
        assert!(tokens.create(NOW, "a", None, None).is_ok());
    }

    #[test]
    fn a_token_revokes_itself_when_its_time_has_come() {
        let mut tokens = Tokens::default();
        tokens.create(NOW, "a", None, Some(NOW + 10)).unwrap();
        assert!(tokens.revoke_due(NOW + 9).is_empty());
        assert_eq!(tokens.active_names(NOW + 9), ["a"]);
        assert!(tokens.active_names(NOW + 10).is_empty());
        assert_eq!(tokens.revoke_due(NOW + 10).len(), 1);
        assert!(tokens.revoke_due(NOW + 11).is_empty());
    }
}
