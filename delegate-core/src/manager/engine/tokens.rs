//! What users ask for: delegate tokens.

use super::{Engine, EngineError, now};
use crate::manager::ids::Millis;
use crate::manager::queue::Effects;
use crate::manager::store::{Change, TokenRow};

impl Engine {
    /// All delegate tokens, by name.
    pub fn tokens(&self) -> Vec<TokenRow> {
        let core = self.shared.lock();
        core.tokens.iter().map(|token| token.row.clone()).collect()
    }

    /// Makes a delegate token.
    pub async fn create_token(
        &self,
        name: &str,
        revoke_after: Option<Millis>,
    ) -> Result<TokenRow, EngineError> {
        let room = self.writer.room(0).await?;
        let (row, commit) = {
            let mut core = self.shared.lock();
            let row = core.tokens.create(now(), name, None, revoke_after)?;
            let change = Change::Token(row.clone());
            (
                row,
                self.hand_over(&mut core, room, vec![change], Effects::default()),
            )
        };
        commit.kept().await?;
        Ok(row)
    }

    /// Revokes a delegate token: its delegates are refused from now on.
    pub async fn revoke_token(&self, name: &str) -> Result<TokenRow, EngineError> {
        let room = self.writer.room(0).await?;
        let (row, commit) = {
            let mut core = self.shared.lock();
            let row = core.tokens.revoke(now(), name)?;
            let effects = core.queue.revoke(name);
            let change = Change::Token(row.clone());
            (row, self.hand_over(&mut core, room, vec![change], effects))
        };
        commit.kept().await?;
        Ok(row)
    }

    /// Deletes a revoked delegate token, which frees its name.
    pub async fn delete_token(&self, name: &str) -> Result<TokenRow, EngineError> {
        let room = self.writer.room(0).await?;
        let (row, commit) = {
            let mut core = self.shared.lock();
            let row = core.tokens.delete(now(), name)?;
            let change = Change::TokenGone(name.to_owned());
            (
                row,
                self.hand_over(&mut core, room, vec![change], Effects::default()),
            )
        };
        commit.kept().await?;
        Ok(row)
    }
}
