//! The durable journal: what this agent had in hand, so that a crash neither loses a task nor runs it twice.
//!
//! A file `journal/tasks` in the working directory, appended by one thread that gathers waiting records into one write
//! and, where somebody waits for it, one `fdatasync`. A record that was written survives the end of the process; one that
//! was synced survives a power failure. Only the first record of a task has to: whatever is known to have been taken is
//! never run again, and the others merely say how it went. A lock beside it keeps two agents from sharing a working directory. When the disk refuses, the
//! file is cut back to its last whole line and the caller is told: it must not take what it cannot write down.

mod record;

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

pub(super) use record::{Progress, Record, Unfinished};

use super::private_files;

/// Records waiting to be written. Each waiting task has at most one, so this only bounds the burst of a full agent.
const QUEUE: usize = 1024;

/// Records written by one `fdatasync`.
const BATCH: usize = 256;

/// A journal smaller than this is not worth rewriting.
const COMPACT_FROM: u64 = 1024 * 1024;

/// A journal this many times larger than what is open in it is rewritten.
const COMPACT_FACTOR: u64 = 4;

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another agent works there.
    #[error(
        "WORKING_DIR {} is in use by another delegate{}; give each delegate a directory of its own",
        dir.display(), owner.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The working directory.
        dir: PathBuf,
        /// Process id of the other, when it could be read.
        owner: Option<String>,
    },
    /// The directory cannot be used.
    #[error("WORKING_DIR {} cannot be used: {reason}; name a directory that this user can write", dir.display())]
    Unusable {
        /// The working directory.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// A record that was not written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the task journal cannot be written: {0}")]
pub(super) struct WriteError(String);

type Ack = oneshot::Sender<Result<(), WriteError>>;

/// What the thread is asked for.
enum Order {
    /// Append a record; the answer comes when a process that dies cannot take it back.
    Write(Record, Option<Ack>),
    /// Make what was appended survive a power failure.
    Sync(Ack),
}

/// The journal. Dropping it writes what is queued and gives the lock back.
#[derive(Debug)]
pub(super) struct Journal {
    sender: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the journal of a working directory, creating both, and tells what an earlier life left open.
    pub(super) fn open(working_dir: &Path) -> Result<(Self, Vec<Unfinished>), JournalError> {
        let unusable = |error: io::Error| JournalError::Unusable {
            dir: working_dir.to_path_buf(),
            reason: error.to_string(),
        };
        let dir = working_dir.join("journal");
        private_files::create_dir(&dir).map_err(unusable)?;
        let lock = lock(&dir, working_dir)?;
        let path = dir.join("tasks");
        let mut file = private_files::options()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(unusable)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unusable)?;
        let (unfinished, damaged) = record::replay(&bytes);
        if damaged > 0 {
            warn!(file = %path.display(), damaged, "damaged lines of the task journal were skipped");
        }
        let mut writer = Writer {
            path,
            file,
            length: bytes.len() as u64,
            open: HashMap::new(),
            _lock: lock,
        };
        for task in &unfinished {
            writer.open.insert(task.task.clone(), lines_of(task));
        }
        // Rewriting waits for the disk, which a start has no time for: only when a torn line would swallow the next one.
        if unfinished.is_empty() {
            writer.file.set_len(0).map_err(unusable)?;
            writer.length = 0;
        } else if damaged > 0 || !bytes.ends_with(b"\n") {
            writer.compact().map_err(unusable)?;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(unusable)?;
        let journal = Self {
            sender: Some(sender),
            thread: Some(thread),
        };
        Ok((journal, unfinished))
    }

    /// Writes a record, and waits until the end of this process cannot take it back.
    pub(super) async fn write(&self, record: Record) -> Result<(), WriteError> {
        self.order(|ack| Order::Write(record, Some(ack))).await
    }

    /// Waits until a power failure cannot take back what was written before.
    pub(super) async fn sync(&self) -> Result<(), WriteError> {
        self.order(Order::Sync).await
    }

    async fn order(&self, order: impl FnOnce(Ack) -> Order) -> Result<(), WriteError> {
        let (ack, done) = oneshot::channel();
        let gone = || WriteError("its thread is gone".to_owned());
        let sender = self.sender.as_ref().ok_or_else(gone)?;
        sender.send(order(ack)).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())?
    }

    /// Notes that a task is over, without waiting: should the note be lost, its answer is sent once more, which the
    /// manager takes as done.
    pub(super) async fn close(&self, task: &str) {
        if let Some(sender) = &self.sender {
            let record = Record::Closed {
                task: task.to_owned(),
            };
            // Only fails when the thread is gone, which every later write reports.
            let _ = sender.send(Order::Write(record, None)).await;
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // Bounded by a few writes; a panic in there was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

fn lock(dir: &Path, working_dir: &Path) -> Result<File, JournalError> {
    let unusable = |error: io::Error| JournalError::Unusable {
        dir: working_dir.to_path_buf(),
        reason: error.to_string(),
    };
    let path = dir.join("lock");
    let mut file = private_files::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            let owner = Some(owner.trim().to_owned()).filter(|text| !text.is_empty());
            return Err(JournalError::InUse {
                dir: working_dir.to_path_buf(),
                owner,
            });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    file.set_len(0).map_err(unusable)?;
    writeln!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

/// The process id of the agent that works in a directory, empty when it cannot be read; `None` when none does.
#[cfg(feature = "program")]
pub(crate) fn user_of(working_dir: &Path) -> Option<String> {
    let mut file = File::open(working_dir.join("journal").join("lock")).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            Some(owner.trim().to_owned())
        }
        _ => None,
    }
}

/// The lines that say again what is known of an open task.
fn lines_of(task: &Unfinished) -> Vec<u8> {
    let mut lines = Record::Taken {
        task: task.task.clone(),
        delegate: task.delegate.clone(),
        kind: task.kind.clone(),
    }
    .to_line();
    let next = match &task.progress {
        Progress::Taken => None,
        Progress::Started => Some(Record::Started {
            task: task.task.clone(),
            kind: task.kind.clone(),
        }),
        Progress::Finished(response) => Some(Record::Finished {
            task: task.task.clone(),
            response: (**response).clone(),
        }),
    };
    lines.extend(next.iter().flat_map(Record::to_line));
    lines
}

fn tell(acks: Vec<Ack>, result: &Result<(), String>) {
    for ack in acks {
        // Nobody may wait any more.
        let _ = ack.send(result.clone().map_err(WriteError));
    }
}

/// The thread's side.
struct Writer {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    /// Lines of the tasks that are open.
    open: HashMap<String, Vec<u8>>,
    _lock: File,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Order>) {
        let mut batch = Vec::with_capacity(BATCH);
        while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
            let (mut records, mut written, mut synced) = (Vec::new(), Vec::new(), Vec::new());
            for order in batch.drain(..) {
                match order {
                    Order::Write(record, ack) => {
                        records.push(record);
                        written.extend(ack);
                    }
                    Order::Sync(ack) => synced.push(ack),
                }
            }
            // Whoever waits for the writing only need not wait for the disk.
            let result = self.append(&records);
            tell(written, &result);
            let result = result.and_then(|()| {
                if synced.is_empty() {
                    return Ok(());
                }
                self.file.sync_data().map_err(|error| error.to_string())
            });
            tell(synced, &result);
            if let Err(reason) = &result {
                error!(file = %self.path.display(), reason, "the task journal cannot be written; no task is taken until it can");
            } else if self.length > COMPACT_FROM
                && self.length > COMPACT_FACTOR * self.open_bytes()
                && let Err(error) = self.compact()
            {
                warn!(file = %self.path.display(), %error, "the task journal could not be rewritten; it grows");
            }
        }
    }

    fn open_bytes(&self) -> u64 {
        self.open.values().map(|lines| lines.len() as u64).sum()
    }

    fn append(&mut self, records: &[Record]) -> Result<(), String> {
        let lines: Vec<Vec<u8>> = records.iter().map(Record::to_line).collect();
        let bytes = lines.concat();
        if let Err(error) = self.file.write_all(&bytes) {
            // A torn line would swallow the next one.
            let _ = self.file.set_len(self.length);
            return Err(error.to_string());
        }
        self.length += bytes.len() as u64;
        for (record, line) in records.iter().zip(lines) {
            match record {
                Record::Closed { task } => {
                    self.open.remove(task);
                }
                Record::Taken { task, .. } => {
                    self.open.insert(task.clone(), line);
                }
                _ => {
                    if let Some(lines) = self.open.get_mut(record.task()) {
                        lines.extend(line);
                    }
                }
            }
        }
        Ok(())
    }

    /// Rewrites the file with what is open, and puts it in place of the old one in one step.
    fn compact(&mut self) -> io::Result<()> {
        let bytes: Vec<u8> = self.open.values().flatten().copied().collect();
        let new = self.path.with_extension("new");
        let mut file = private_files::options().write(true).truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)?;
        self.file = private_files::options().append(true).open(&self.path)?;
        self.length = bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::wire::TaskResponse;

    fn taken(task: &str) -> Record {
        Record::Taken {
            task: task.to_owned(),
            delegate: "d".to_owned(),
            kind: "K".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_was_written_is_there_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, before) = Journal::open(dir.path()).unwrap();
        assert_eq!(before, []);
        for task in ["a", "b"] {
            journal.write(taken(task)).await.unwrap();
        }
        let response = TaskResponse::failed("b", "K", "r");
        let finished = Record::Finished {
            task: "b".to_owned(),
            response: response.clone(),
        };
        journal.write(finished).await.unwrap();
        journal.close("a").await;
        drop(journal);
        for life in 0..2 {
            let (_journal, open) = Journal::open(dir.path()).unwrap();
            assert_eq!(open.len(), 1, "life {life}");
            assert_eq!(open[0].progress, Progress::Finished(Box::new(response.clone())));
            assert_eq!(open[0].delegate, "d");
        }
    }

    #[tokio::test]
    async fn two_agents_never_share_a_working_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = Journal::open(dir.path()).unwrap();
        let error = Journal::open(dir.path()).unwrap_err().to_string();
        let pid = format!("process {}", std::process::id());
        assert!(
            error.starts_with("WORKING_DIR ") && error.contains(&pid),
            "{error}"
        );
        drop(first);
        Journal::open(dir.path()).unwrap();
    }

    #[tokio::test]
    async fn what_is_written_after_a_torn_line_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path()).unwrap();
        journal.write(taken("a")).await.unwrap();
        drop(journal);
        let path = dir.path().join("journal/tasks");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"{\"event\":\"star");
        std::fs::write(&path, bytes).unwrap();
        let (journal, _) = Journal::open(dir.path()).unwrap();
        journal.write(taken("b")).await.unwrap();
        drop(journal);
        let (_journal, open) = Journal::open(dir.path()).unwrap();
        assert_eq!(
            open.iter().map(|u| u.task.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Journal::open(file.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("WORKING_DIR ") && error.contains("cannot be used"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_journal_of_finished_tasks_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path()).unwrap();
        journal.write(taken("kept")).await.unwrap();
        let text = "x".repeat(10_000);
        for n in 0..500 {
            let task = format!("t{n}");
            journal.write(taken(&task)).await.unwrap();
            let response = TaskResponse::failed(&task, "K", &text);
            journal
                .write(Record::Finished {
                    task: task.clone(),
                    response,
                })
                .await
                .unwrap();
            journal.close(&task).await;
        }
        drop(journal);
        let size = std::fs::metadata(dir.path().join("journal/tasks")).unwrap().len();
        assert!(size < 2 * COMPACT_FROM, "{size} bytes");
        let (_journal, open) = Journal::open(dir.path()).unwrap();
        assert_eq!(open.iter().map(|u| u.task.as_str()).collect::<Vec<_>>(), ["kept"]);
    }
}
