//! Logs of tasks: written by delegates, read and followed by users.

use std::fmt;

use super::{Engine, EngineError};
use crate::config::AccountId;
use crate::manager::ids::TaskId;
use crate::manager::log_state::{LogState, REMEMBERED_CHUNKS};
use crate::manager::queue::Effects;
use crate::manager::store::{Change, LogRow};
use crate::protocol::wire::LogLine;

/// Chunks read at once: bounds the memory of a reader.
const READ_CHUNKS: i64 = 16;

/// The key of a task's log: `accountId:…/taskId:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    account: String,
    /// Whose log it is.
    pub task: TaskId,
}

impl LogKey {
    /// The key of a task's log.
    pub fn of(account: &AccountId, task: &TaskId) -> Self {
        Self {
            account: account.to_string(),
            task: task.clone(),
        }
    }

    /// The parts from which a delegate makes the key.
    pub fn abstractions(&self) -> [(String, String); 2] {
        [
            ("accountId".to_owned(), self.account.clone()),
            ("taskId".to_owned(), self.task.to_string()),
        ]
    }

    /// Reads a key as a delegate made it.
    pub fn parse(text: &str) -> Option<Self> {
        let (account, task) = text.split_once('/')?;
        Some(Self {
            account: account.strip_prefix("accountId:")?.to_owned(),
            task: task.strip_prefix("taskId:")?.into(),
        })
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accountId:{}/taskId:{}", self.account, self.task)
    }
}

/// Lines of a log, and where to go on.
#[derive(Debug)]
pub struct LogPiece {
    /// Position of each chunk, and its lines as NDJSON.
    pub chunks: Vec<(i64, String)>,
}

impl Engine {
    /// More lines are expected.
    pub async fn open_log(&self, task: &TaskId) -> Result<(), EngineError> {
        self.change_log(task, 0, |log| Some(log.open())).await
    }

    /// Adds lines. Lines that were added before are left out.
    pub async fn append_log(&self, task: &TaskId, lines: &[LogLine]) -> Result<(), EngineError> {
        let bytes = lines.iter().map(|line| line.out.len()).sum();
        self.change_log(task, bytes, |log| log.append(lines)).await
    }

    /// No more lines are expected.
    pub async fn close_log(&self, task: &TaskId) -> Result<(), EngineError> {
        self.change_log(task, 0, |log| Some(log.close())).await
    }

    /// Takes a log as a whole.
    pub async fn upload_log(&self, task: &TaskId, lines: &[LogLine]) -> Result<(), EngineError> {
        let bytes = lines.iter().map(|line| line.out.len()).sum();
        self.change_log(task, bytes, |log| log.replace(lines)).await
    }

    async fn change_log(
        &self,
        task: &TaskId,
        bytes: usize,
        change: impl FnOnce(&mut LogState) -> Option<Change>,
    ) -> Result<(), EngineError> {
        let room = self.writer.room(bytes).await?;
        let commit = loop {
            self.load_log(task).await?;
            let mut core = self.shared.lock();
            // Whoever writes the log of a task runs it.
            core.queue.confirm(task.as_str());
            // It may have been dropped from memory since; then it has to be read again.
            if let Some(log) = core.logs.get_mut(task) {
                // Also when nothing changes: what was sent first may not be committed yet.
                let changes = change(log).into_iter().collect();
                break self.hand_over(&mut core, room, changes, Effects::default());
            }
        };
        Ok(commit.kept().await?)
    }

    /// Reads what the store knows of a log, unless it is in memory.
    async fn load_log(&self, task: &TaskId) -> Result<(), EngineError> {
        let known = {
            let core = self.shared.lock();
            if core.logs.contains_key(task) {
                return Ok(());
            }
            core.queue.task(task.as_str()).is_some()
        };
        let log = match self.store.log(task).await? {
            Some(row) => {
                let from = row.next_chunk - REMEMBERED_CHUNKS;
                let tail = self.store.log_chunks(task, 0, from, REMEMBERED_CHUNKS).await?;
                LogState::restore(row, &tail)
            }
            None if known || self.store.task(task.as_str()).await?.is_some() => LogState::new(task.clone()),
            None => return Err(EngineError::UnknownTask),
        };
        self.shared.lock().logs.entry(task.clone()).or_insert(log);
        Ok(())
    }

    /// What is committed of a log.
    pub async fn log(&self, task: &TaskId) -> Result<Option<LogRow>, EngineError> {
        Ok(self.store.log(task).await?)
    }

    /// Lines of a log from a chunk on; empty when there are none yet.
    pub async fn read_log(&self, task: &TaskId, source: i64, from: i64) -> Result<LogPiece, EngineError> {
        let chunks = self.store.log_chunks(task, source, from, READ_CHUNKS).await?;
        Ok(LogPiece {
            chunks: chunks
                .into_iter()
                .map(|chunk| (chunk.chunk, chunk.lines))
                .collect(),
        })
    }
}
