//! What survives a kill: SQLite in the data directory, or PostgreSQL, by the same SQL.
//!
//! [`Store`] opens the database, brings its tables up to date and reads. All writing goes through [`Writer`], one task
//! that commits many changes at once, in the order in which they were decided. One manager at a time owns a database:
//! a lock file or an advisory lock sees to it. The store fails with [`StoreError`]; a lost database is waited for.

mod open;
mod read;
mod rows;
mod runs;
mod write;
mod writer;

pub use open::{OpenError, Target};
pub use read::{Page, TaskFilter};
pub use rows::{Change, Data, LogChunk, LogRow, NewRun, NodeRow, OpenRun, RunEnded, RunRow, TokenRow};
pub use runs::{RunFilter, RunRows};
pub(in crate::manager) use writer::COMMIT_WAIT;
pub use writer::{Commit, OnCommit, Room, Writer};

use sqlx::AnyPool;

/// Why a read or a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no or was not there.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The change was not committed in time. It may still be.
    #[error("the database has not committed the change within {} s", writer::COMMIT_WAIT.as_secs())]
    Slow,
    /// The database refused this very change; it was not made.
    #[error("the database refused the change")]
    Refused,
    /// The manager is stopping.
    #[error("the manager is stopping")]
    Stopping,
    /// A row does not read as what was written; the database was changed from outside.
    #[error("the database holds {what} that does not read")]
    Unreadable {
        /// Table, column and row.
        what: String,
    },
}

/// An open database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    target: Target,
    /// Held for as long as the store is open, when the database is a file.
    _lock: std::sync::Arc<Option<open::LockFile>>,
}

impl Store {
    /// Writes changes before the writing task exists, in one transaction.
    pub(in crate::manager) async fn write_first(
        &self,
        connection: &mut sqlx::AnyConnection,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let mut transaction = sqlx::Connection::begin(connection).await?;
        let changes: Vec<&Change> = changes.iter().collect();
        write::changes(&mut transaction, &changes).await?;
        Ok(transaction.commit().await?)
    }
}
