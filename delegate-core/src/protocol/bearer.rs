//! The bearer token a delegate sends: minted from the delegate token, kept for half its life.
//!
//! A token file is read again at every minting, so that a rotated token is used without a restart. Works on memory and
//! that one file; fails only when the file cannot be used.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tokio::time::Instant;

use super::token;
use crate::Secret;
use crate::config::{AccountId, DelegateToken, TokenSource};

/// A minted token is used for half its life, so that it never runs out on the way.
const FRESH_FOR: Duration = Duration::from_secs(token::LIFETIME_SECONDS as u64 / 2);

/// A token file holds 44 characters and perhaps a line end; anything far larger is another file.
const MAX_TOKEN_FILE: u64 = 4096;

/// Why no bearer token could be made.
#[derive(Debug, thiserror::Error)]
pub enum BearerError {
    /// The token file cannot be used.
    #[error("DELEGATE_TOKEN_FILE names {}, which {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        problem: String,
    },
    /// The settings are an installer's, which leaves the token to somebody else.
    #[error(
        "DELEGATE_TOKEN is not set; copy the delegate token from the manager, or set DELEGATE_TOKEN_FILE"
    )]
    Missing,
    /// The system gave no randomness.
    #[error("no bearer token could be made: the system gave no randomness")]
    Randomness,
}

/// What stands before a token in `Authorization`.
const SCHEME: &str = "Delegate ";

/// Mints and keeps the bearer token of one account.
#[derive(Debug)]
pub(super) struct Bearer {
    account_id: AccountId,
    source: TokenSource,
    kept: Mutex<Option<(Secret, Instant)>>,
    /// Seconds the manager's clock is ahead of ours, where it refused a fresh token as expired.
    clock_offset: AtomicI64,
}

impl Bearer {
    pub(super) fn new(account_id: AccountId, source: TokenSource) -> Self {
        Self {
            account_id,
            source,
            kept: Mutex::new(None),
            clock_offset: AtomicI64::new(0),
        }
    }

    /// The value of `Authorization`.
    pub(super) fn header(&self) -> Result<HeaderValue, BearerError> {
        let mut header = HeaderValue::try_from(format!("{SCHEME}{}", self.token()?.expose()))
            .map_err(|_| BearerError::Randomness)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// The bearer token itself.
    pub(super) fn token(&self) -> Result<Secret, BearerError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, minted)) = kept.as_ref()
            && minted.elapsed() < FRESH_FOR
        {
            return Ok(token.clone());
        }
        let now = now_seconds() + self.clock_offset.load(Ordering::Relaxed);
        let jwe = token::mint(self.account_id.as_str(), &self.delegate_token()?, now)
            .map_err(|_| BearerError::Randomness)?;
        *kept = Some((jwe.clone(), Instant::now()));
        Ok(jwe)
    }

    /// A text that only who has the delegate token reads.
    pub(super) fn seal(&self, text: &Secret) -> Result<String, BearerError> {
        token::seal(text, &self.delegate_token()?).map_err(|_| BearerError::Randomness)
    }

    /// What was sealed with the delegate token as it is now; `None` when it was another then.
    pub(super) fn unseal(&self, sealed: &str) -> Option<Secret> {
        token::unseal(sealed, &self.delegate_token().ok()?).ok()
    }

    /// Forgets the kept token: the next call mints anew, and reads the token file again.
    pub(super) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Mints by the manager's clock from now on. Returns how many seconds it is ahead of ours.
    pub(super) fn follow_clock(&self, manager_now: i64) -> i64 {
        let offset = manager_now - now_seconds();
        self.clock_offset.store(offset, Ordering::Relaxed);
        offset
    }

    fn delegate_token(&self) -> Result<DelegateToken, BearerError> {
        let path = match &self.source {
            TokenSource::Inline(token) => return Ok(token.clone()),
            TokenSource::File(path) => path,
            TokenSource::Elsewhere => return Err(BearerError::Missing),
        };
        let fail = |problem: String| BearerError::File {
            path: path.clone(),
            problem,
        };
        let size = path
            .metadata()
            .map_err(|error| fail(format!("cannot be read: {error}")))?
            .len();
        if size > MAX_TOKEN_FILE {
            return Err(fail(format!(
                "has {size} bytes; a token file has at most {MAX_TOKEN_FILE}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
        zeroize::Zeroizing::new(text)
            .parse()
            .map_err(|error| fail(format!("{error}")))
    }
}

fn now_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(source: TokenSource) -> Bearer {
        Bearer::new("acc".parse().unwrap(), source)
    }

    fn claims(header: &HeaderValue, token: &DelegateToken) -> token::Claims {
        let jwe = header.to_str().unwrap().strip_prefix("Delegate ").unwrap();
        token::open(jwe, token).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_for_half_its_life_and_does_not_print() {
        let token = DelegateToken::generate().unwrap();
        let bearer = bearer(TokenSource::Inline(token.clone()));
        let first = bearer.header().unwrap();
        assert_eq!(claims(&first, &token).sub, "acc");
        assert!(
            !format!("{first:?} {bearer:?}").contains("Delegate "),
            "it does not print"
        );
        tokio::time::advance(FRESH_FOR.saturating_sub(Duration::from_secs(1))).await;
        assert_eq!(bearer.header().unwrap(), first);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_ne!(bearer.header().unwrap(), first);
    }

    #[tokio::test]
    async fn a_rotated_token_file_is_read_at_the_next_minting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let (old, new) = (
            DelegateToken::generate().unwrap(),
            DelegateToken::generate().unwrap(),
        );
        std::fs::write(&path, old.bare().expose()).unwrap();
        let bearer = bearer(TokenSource::File(path.clone()));
        claims(&bearer.header().unwrap(), &old);
        std::fs::write(&path, format!("{}\n", new.encoded().expose())).unwrap();
        claims(&bearer.header().unwrap(), &old);
        bearer.forget();
        claims(&bearer.header().unwrap(), &new);
        std::fs::write(&path, "no token").unwrap();
        bearer.forget();
        let error = bearer.header().unwrap_err().to_string();
        assert!(
            error.contains("DELEGATE_TOKEN_FILE") && error.contains("8 characters"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_wrong_clock_is_made_up_for() {
        let token = DelegateToken::generate().unwrap();
        let bearer = bearer(TokenSource::Inline(token.clone()));
        let before = claims(&bearer.header().unwrap(), &token).exp;
        bearer.follow_clock(now_seconds() + 3600);
        bearer.forget();
        let after = claims(&bearer.header().unwrap(), &token).exp;
        assert!((3599..=3602).contains(&(after - before)), "{before} {after}");
    }
}
