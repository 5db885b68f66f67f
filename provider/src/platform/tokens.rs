//! Delegate tokens.

use delegate_core::Secret;
use delegate_core::protocol::platform::{REVOKED, TOKENS, TokenDetails};
use http::Method;
use jiff::Timestamp;

use super::client::Call;
use super::{Api, PlatformError, Scope};

/// Whether delegates may use a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStatus {
    /// They may.
    Active,
    /// They are refused, and the name stays taken for 30 days.
    Revoked,
}

/// A delegate token.
#[derive(Debug, Clone)]
pub struct Token {
    /// Name, unique in its scope.
    pub name: String,
    /// Whether it may be used.
    pub status: TokenStatus,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it revokes itself.
    pub revoke_after: Option<Timestamp>,
    /// The token itself, in the form the user interface shows; absent when the key may not see it.
    pub value: Option<Secret>,
}

impl From<TokenDetails> for Token {
    fn from(details: TokenDetails) -> Self {
        let time = |millis: i64| Timestamp::from_millisecond(millis).ok().filter(|_| millis > 0);
        Self {
            name: details.name,
            status: if details.status == REVOKED {
                TokenStatus::Revoked
            } else {
                TokenStatus::Active
            },
            created_at: time(details.created_at),
            revoke_after: details.revoke_after.and_then(time),
            value: details.value.filter(|value| !value.is_empty()).map(Secret::new),
        }
    }
}

impl Api {
    /// The token of this name, revoked or not; `None` when there is none.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn token(&self, scope: &Scope, name: &str) -> Result<Option<Token>, PlatformError> {
        let action = format!("show the delegate token {name:?} of {scope}");
        let query = vec![("name", name.to_owned())];
        let found: Option<Vec<TokenDetails>> = self.call(tokens(Method::GET, scope, query, action)).await?;
        Ok(found
            .unwrap_or_default()
            .into_iter()
            .find(|token| token.name == name)
            .map(Token::from))
    }

    /// Makes a token. Not repeated when it is not known whether it was made.
    ///
    /// # Errors
    /// When it was not made; [`PlatformError::is_in_doubt`] when it may have been.
    pub async fn create_token(
        &self,
        scope: &Scope,
        name: &str,
        revoke_after: Option<Timestamp>,
    ) -> Result<Token, PlatformError> {
        let mut query = vec![("tokenName", name.to_owned())];
        query.extend(revoke_after.map(|at| ("revokeAfter", at.as_millisecond().to_string())));
        let action = format!("create the delegate token {name:?} in {scope}");
        let call = Call {
            idempotent: false,
            ..tokens(Method::POST, scope, query, action)
        };
        self.call::<TokenDetails>(call).await.map(Token::from)
    }

    /// Revokes a token: delegates that use it are refused from now on.
    ///
    /// # Errors
    /// When it is not known to be revoked.
    pub async fn revoke_token(&self, scope: &Scope, name: &str) -> Result<(), PlatformError> {
        self.end_token(Method::PUT, "revoke", scope, name).await
    }

    /// Deletes a revoked token.
    ///
    /// # Errors
    /// When it is not known to be deleted.
    pub async fn delete_token(&self, scope: &Scope, name: &str) -> Result<(), PlatformError> {
        self.end_token(Method::DELETE, "delete", scope, name).await
    }

    async fn end_token(
        &self,
        method: Method,
        verb: &str,
        scope: &Scope,
        name: &str,
    ) -> Result<(), PlatformError> {
        let action = format!("{verb} the delegate token {name:?} of {scope}");
        let query = vec![("tokenName", name.to_owned())];
        // What comes back says nothing that is not known.
        self.call::<serde_json::Value>(tokens(method, scope, query, action))
            .await
            .map(|_| ())
    }
}

fn tokens<'a>(
    method: Method,
    scope: &'a Scope,
    query: Vec<(&'static str, String)>,
    action: String,
) -> Call<'a> {
    Call {
        method,
        path: TOKENS,
        query,
        scope,
        body: None,
        idempotent: true,
        action,
    }
}
