//! The one task that writes.
//!
//! Whoever decides a change hands it over while still holding the lock under which it was decided, so changes are
//! committed in the order in which they were decided. Everything that waits is committed together, which makes the
//! cost of a commit that of many. A database that is gone is waited for, with the changes kept; how much may wait is
//! bounded, and beyond it callers are refused before anything is decided.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::rows::Change;
use super::{Store, StoreError, write};

/// How long a caller waits for its commit. It is told then that the change may or may not have been made.
pub(in crate::manager) const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// Memory of changes that wait, in KiB.
const MAX_WAITING_KIB: usize = 256 * 1024;

/// Batches in one commit; enough to make its cost vanish, few enough to keep it short.
const MAX_GROUP: usize = 512;

/// Pauses between attempts when the database fails.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Called after a commit, before those who wait for it are told.
pub type OnCommit = Box<dyn Fn(&[Change]) + Send>;

struct Batch {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
    _room: OwnedSemaphorePermit,
}

/// Hands changes to the writing task.
#[derive(Debug, Clone)]
pub struct Writer {
    batches: mpsc::UnboundedSender<Batch>,
    room: Arc<Semaphore>,
}

/// Room for one batch of changes, had before anything is decided.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

/// Resolves when the changes are committed. Dropping it does not stop them.
#[must_use = "what is not awaited may be acknowledged before it is kept"]
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<(), StoreError>>);

impl Commit {
    /// Waits until the changes are committed.
    pub async fn kept(self) -> Result<(), StoreError> {
        match tokio::time::timeout(COMMIT_WAIT, self.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Stopping),
            Err(_) => Err(StoreError::Slow),
        }
    }

    /// Waits until it is known whether the changes are committed, however long the database is gone.
    pub async fn settled(self) -> Result<(), StoreError> {
        self.0.await.unwrap_or(Err(StoreError::Stopping))
    }
}

impl Writer {
    /// Starts the writing task on its connection. Once `closing` is cancelled it takes no more, writes what it has, and
    /// ends.
    pub fn start(
        store: Store,
        connection: AnyConnection,
        on_commit: OnCommit,
        closing: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (batches, receiver) = mpsc::unbounded_channel();
        let writer = Self {
            batches,
            room: Arc::new(Semaphore::new(MAX_WAITING_KIB)),
        };
        let loop_ = Loop {
            store,
            connection: Some(connection),
            on_commit,
            closing,
        };
        (writer, tokio::spawn(loop_.run(receiver)))
    }

    /// Waits for room for changes of this many bytes.
    pub async fn room(&self, bytes: usize) -> Result<Room, StoreError> {
        /// What the smallest batch counts for: it bounds their number too.
        const LEAST_KIB: usize = 2;
        let kib = (bytes / 1024 + LEAST_KIB).min(MAX_WAITING_KIB);
        let permits = u32::try_from(kib).unwrap_or(u32::MAX);
        match tokio::time::timeout(COMMIT_WAIT, Arc::clone(&self.room).acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            Ok(Err(_)) => Err(StoreError::Stopping),
            Err(_) => Err(StoreError::Slow),
        }
    }

    /// Hands changes over; does not wait. Call it under the lock that orders them.
    pub fn write(&self, room: Room, changes: Vec<Change>) -> Commit {
        let (done, commit) = oneshot::channel();
        // A writer that is gone drops `done`, which the commit reports.
        let _ = self.batches.send(Batch {
            changes,
            done,
            _room: room.0,
        });
        Commit(commit)
    }
}

struct Loop {
    store: Store,
    connection: Option<AnyConnection>,
    on_commit: OnCommit,
    closing: CancellationToken,
}

impl Loop {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Batch>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        loop {
            let received = tokio::select! {
                received = receiver.recv_many(&mut group, MAX_GROUP) => received,
                () = self.closing.cancelled(), if !receiver.is_closed() => {
                    receiver.close();
                    continue;
                }
            };
            if received == 0 {
                break;
            }
            self.keep(&mut group).await;
        }
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
    }

    /// Commits a group, however long it takes.
    async fn keep(&mut self, group: &mut Vec<Batch>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.commit(group).await {
                Ok(()) => break,
                Err(error) if is_refusal(&error) => {
                    tracing::error!(%error, "the database refused a change; writing them one by one");
                    self.keep_one_by_one(group).await;
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, changes = group.len(), "cannot write to the database; trying again in {pause:?}");
                    self.connection = None;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        for batch in group.drain(..) {
            self.tell(batch);
        }
    }

    /// One change that the database refuses must not stop the others.
    async fn keep_one_by_one(&mut self, group: &mut Vec<Batch>) {
        for batch in group.drain(..) {
            let batch = vec![batch];
            let mut pause = FIRST_PAUSE;
            let result = loop {
                match self.commit(&batch).await {
                    Ok(()) => break Ok(()),
                    Err(error) if is_refusal(&error) => break Err(error),
                    Err(_) => {
                        self.connection = None;
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            };
            for batch in batch {
                match &result {
                    Ok(()) => self.tell(batch),
                    Err(error) => {
                        tracing::error!(%error, "the database refuses this change; it is not made");
                        let _ = batch.done.send(Err(StoreError::Refused));
                    }
                }
            }
        }
    }

    fn tell(&self, batch: Batch) {
        (self.on_commit)(&batch.changes);
        let _ = batch.done.send(Ok(()));
    }

    async fn commit(&mut self, group: &[Batch]) -> Result<(), sqlx::Error> {
        let mut connection =
            match self.connection.take() {
                Some(connection) => connection,
                None => self.store.connect_to_write().await?.ok_or_else(|| {
                    sqlx::Error::Protocol("another manager has taken over the database".into())
                })?,
            };
        let mut transaction = connection.begin().await?;
        let changes: Vec<&Change> = group.iter().flat_map(|batch| &batch.changes).collect();
        if let Err(error) = write::changes(&mut transaction, &changes).await {
            transaction.rollback().await?;
            self.connection = Some(connection);
            return Err(error);
        }
        transaction.commit().await?;
        self.connection = Some(connection);
        Ok(())
    }
}

/// Whether the database will never take this, as opposed to not now: a broken constraint, or (PostgreSQL, class 22) a
/// value it cannot hold.
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.is_unique_violation()
                || error.is_foreign_key_violation()
                || error.is_check_violation()
                || matches!(error.kind(), sqlx::error::ErrorKind::NotNullViolation)
                || error
                    .code()
                    .is_some_and(|code| code.len() == 5 && code.starts_with("22"))
        }
        sqlx::Error::Encode(_) => true,
        _ => false,
    }
}
