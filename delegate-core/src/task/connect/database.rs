//! A database: who one is in it, by the way that the kind `SQL` takes.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ANYBODY, Found, Meeting, Target};
use crate::Secret;
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::sql::{DatabaseAccess, Looked, look};
use crate::task::{TaskContext, TaskError};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DatabaseFound {
    /// `postgres` or `sqlite`.
    engine: &'static str,
    /// Version of the server, or of the library that reads the file.
    version: String,
    /// Name of the database, or the path of its file.
    database: String,
}

#[async_trait]
impl Target for DatabaseAccess {
    fn secrets(&self) -> Vec<Secret> {
        Self::secrets(self)
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        Self::check(self, field)
    }

    async fn meet(&self, _field: &str, context: &TaskContext) -> Met<Meeting> {
        // The complaint comes with what to do about it.
        let Looked {
            engine,
            user,
            version,
            database,
        } = look(self, context).await?.map_err(|said| Refusal {
            stage: Stage::of(&said).unwrap_or(Stage::Answer),
            reason: said,
        })?;
        Ok(Meeting {
            identity: user.unwrap_or_else(|| ANYBODY.to_owned()),
            found: Found::Database(DatabaseFound {
                engine,
                version,
                database,
            }),
        })
    }
}
