//! What the manager keeps in memory of a task's log while it is being written.
//!
//! Lines themselves are in the store; here is only what it takes to number chunks and to recognize lines that a writer
//! sends again because a reply was lost. Synchronous, like the task queue.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::ids::TaskId;
use super::store::{Change, LogChunk, LogRow};
use crate::protocol::wire::LogLine;

/// Most bytes of one task's log; what comes later is dropped, and a last line says so.
pub const MAX_LOG_BYTES: u64 = 128 * 1024 * 1024;

/// Lines remembered to recognize repeats: more than any writer sends at once.
const REMEMBERED: usize = 4096;

/// Chunks whose lines are remembered when a log is read back after a restart.
pub const REMEMBERED_CHUNKS: i64 = 8;

/// An uploaded log is kept in pieces of about this size, so that readers need little memory.
const PIECE_BYTES: usize = 64 * 1024;

/// One task's log.
#[derive(Debug)]
pub struct LogState {
    row: LogRow,
    /// Changes handed to the writer and not yet committed.
    pub pending: u32,
    recent: VecDeque<u64>,
    known: HashSet<u64>,
    full: bool,
}

impl LogState {
    /// A log without lines, not opened.
    pub fn new(task: TaskId) -> Self {
        Self::restore(
            LogRow {
                task,
                open: false,
                lines: 0,
                bytes: 0,
                next_chunk: 0,
                source: 0,
            },
            &[],
        )
    }

    /// A log as the store kept it, with its last chunks.
    pub fn restore(row: LogRow, tail: &[LogChunk]) -> Self {
        let mut log = Self {
            full: row.bytes >= MAX_LOG_BYTES,
            row,
            pending: 0,
            recent: VecDeque::new(),
            known: HashSet::new(),
        };
        let lines = tail.iter().flat_map(|chunk| chunk.lines.lines());
        for line in lines.filter_map(|line| serde_json::from_str::<LogLine>(line).ok()) {
            log.remember(&line);
        }
        log
    }

    /// Whether more lines are expected.
    pub fn is_open(&self) -> bool {
        self.row.open
    }

    /// More lines are expected from now on.
    pub fn open(&mut self) -> Change {
        self.row.open = true;
        self.change(Vec::new())
    }

    /// No more lines are expected.
    pub fn close(&mut self) -> Change {
        self.row.open = false;
        self.change(Vec::new())
    }

    /// Adds lines; those that were added before are left out. Nothing when that leaves none.
    pub fn append(&mut self, lines: &[LogLine]) -> Option<Change> {
        if self.row.lines == 0 && self.row.next_chunk == 0 {
            // A writer that does not open its stream still closes it.
            self.row.open = true;
        }
        let mut text = String::new();
        let mut count = 0;
        for line in lines {
            if self.full || !self.remember(line) {
                continue;
            }
            push(&mut text, line);
            count += 1;
            if self.row.bytes + text.len() as u64 > MAX_LOG_BYTES {
                self.full = true;
                push(&mut text, &last_line(line));
                count += 1;
            }
        }
        if text.is_empty() {
            return None;
        }
        self.row.lines += count;
        self.row.bytes += text.len() as u64;
        let chunk = LogChunk {
            source: 0,
            chunk: self.row.next_chunk,
            lines: text,
        };
        self.row.next_chunk += 1;
        Some(self.change(vec![chunk]))
    }

    /// Takes the log as a whole. It replaces what was streamed when it has more lines; else there is nothing to do,
    /// for writers repeat at the end what they streamed, or the part of it that they still had.
    pub fn replace(&mut self, lines: &[LogLine]) -> Option<Change> {
        if lines.len() as u64 <= self.row.lines {
            return None;
        }
        let source = self.row.source + 1;
        let mut pieces = vec![String::new()];
        let mut bytes = 0;
        for line in lines {
            if let Some(piece) = pieces.last_mut() {
                let before = piece.len();
                push(piece, line);
                bytes += (piece.len() - before) as u64;
                if piece.len() >= PIECE_BYTES {
                    pieces.push(String::new());
                }
            }
        }
        self.row.source = source;
        self.row.lines = lines.len() as u64;
        self.row.bytes = bytes;
        let chunks = (0..).zip(pieces).filter(|(_, lines)| !lines.is_empty());
        let chunks = chunks
            .map(|(chunk, lines)| LogChunk { source, chunk, lines })
            .collect();
        Some(self.change(chunks))
    }

    fn change(&mut self, chunks: Vec<LogChunk>) -> Change {
        self.pending += 1;
        Change::Log(self.row.clone(), chunks)
    }

    /// Whether the line is new. One without a time cannot be told from another, and is always new.
    fn remember(&mut self, line: &LogLine) -> bool {
        if line.time.is_empty() {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        (line.pos, &line.time, &line.out).hash(&mut hasher);
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return false;
        }
        self.recent.push_back(hash);
        if self.recent.len() > REMEMBERED
            && let Some(oldest) = self.recent.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// The form in which lines are kept and shown.
fn push(text: &mut String, line: &LogLine) {
    let shown =
        serde_json::json!({ "pos": line.pos, "time": line.time, "level": line.level, "out": line.out });
    text.push_str(&shown.to_string());
    text.push('\n');
}

fn last_line(after: &LogLine) -> LogLine {
    LogLine {
        level: "warn".to_owned(),
        pos: after.pos + 1,
        out: format!(
            "The log has reached {} MiB; what follows is not kept.\n",
            MAX_LOG_BYTES / 1024 / 1024
        ),
        time: after.time.clone(),
        args: serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pos: u64, out: &str) -> LogLine {
        LogLine {
            level: "info".into(),
            pos,
            out: out.into(),
            time: format!("2026-01-01T00:00:00.{pos:09}Z"),
            args: serde_json::Value::Null,
        }
    }

    fn text(change: Option<Change>) -> String {
        match change {
            Some(Change::Log(_, chunks)) => chunks.into_iter().map(|chunk| chunk.lines).collect(),
            _ => String::new(),
        }
    }

    #[test]
    fn a_batch_sent_again_adds_only_what_is_new() {
        let mut log = LogState::new("t".into());
        let first = text(log.append(&[line(0, "a"), line(1, "b")]));
        assert_eq!(first.lines().count(), 2);
        assert!(log.append(&[line(0, "a"), line(1, "b")]).is_none());
        assert_eq!(text(log.append(&[line(1, "b"), line(2, "c")])).lines().count(), 1);
    }

    #[test]
    fn repeats_are_recognized_after_a_restart() {
        let mut log = LogState::new("t".into());
        let Some(Change::Log(row, chunks)) = log.append(&[line(0, "a")]) else {
            panic!("nothing to keep");
        };
        let mut restored = LogState::restore(row, &chunks);
        assert!(restored.append(&[line(0, "a")]).is_none());
    }

    #[test]
    fn an_upload_replaces_the_stream_only_when_it_has_more() {
        let mut log = LogState::new("t".into());
        log.append(&[line(1, "b")]);
        assert!(log.replace(&[line(1, "b")]).is_none());
        let Some(Change::Log(row, chunks)) = log.replace(&[line(0, "a"), line(1, "b")]) else {
            panic!("nothing to keep");
        };
        assert_eq!((row.source, row.lines, chunks.len()), (1, 2, 1));
    }

    #[test]
    fn a_log_is_bounded_and_says_so() {
        let nearly_full = LogRow {
            bytes: MAX_LOG_BYTES - 1000,
            lines: 1,
            next_chunk: 1,
            ..LogState::new("t".into()).row
        };
        let mut log = LogState::restore(nearly_full, &[]);
        let kept: Vec<String> = (0..100)
            .map(|pos| text(log.append(&[line(pos, &"x".repeat(100))])))
            .collect();
        let last = kept.iter().rev().find(|text| !text.is_empty()).unwrap();
        assert!(last.contains("not kept"));
        let bytes: usize = kept.iter().map(String::len).sum();
        assert!((1000..1500).contains(&bytes), "{bytes}");
    }
}
