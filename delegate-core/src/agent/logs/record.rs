//! What a spool's files say, line by line.
//!
//! One JSON object a line. A file begins with whose log it is, so that each can be read without the others. A line that
//! a crash has cut off says nothing; what it would have said is missing in the positions, and so declared to the reader.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::protocol::wire::LogLine;

/// Longest record read, in bytes: the longest line with every character escaped, and what is around it. More is damage.
const MAX_RECORD: u64 = 512 * 1024;

/// A place in a log: a position, and the bytes of text before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) pos: u64,
    pub(super) at: u64,
}

impl Mark {
    /// The place after a line that stands here.
    pub(super) fn after(self, line: &LogLine) -> Self {
        Self {
            pos: self.pos + 1,
            at: self.at + line.out.len() as u64,
        }
    }
}

/// Whose log it is, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Task id.
    pub(super) task: String,
    /// Key at the log service.
    pub(super) key: String,
    /// The log's token, sealed with the delegate token: a disk is no place for a credential.
    pub(super) token: String,
    /// The log service, where it is not the delegate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Url>,
}

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record<'a> {
    /// The first of each file.
    Log(Cow<'a, Head>),
    /// A line of the log, and the bytes of text before it.
    Line { at: u64, line: Cow<'a, LogLine> },
    /// The log service has everything before this. Also says that it has opened the stream.
    Taken(Mark),
}

impl Record<'_> {
    /// Appends it, with its end.
    pub(super) fn write_to(&self, bytes: &mut Vec<u8>) {
        // Cannot fail: string keys only, and memory.
        let _ = serde_json::to_writer(&mut *bytes, self);
        bytes.push(b'\n');
    }
}

/// Reads one record after the other.
pub(super) struct Records<R> {
    reader: R,
    bytes: Vec<u8>,
}

/// What was read, and its length in the file.
#[derive(Debug)]
pub(super) struct Found {
    /// `None` for a line that says nothing.
    pub(super) record: Option<Record<'static>>,
    pub(super) length: u64,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            bytes: Vec::new(),
        }
    }

    /// The next whole line; `None` when there is none, or not yet.
    pub(super) fn read(&mut self) -> io::Result<Option<Found>> {
        self.bytes.clear();
        let reader = &mut self.reader;
        io::Read::take(reader, MAX_RECORD).read_until(b'\n', &mut self.bytes)?;
        let length = self.bytes.len() as u64;
        if self.bytes.last() != Some(&b'\n') && length < MAX_RECORD {
            return Ok(None);
        }
        Ok(Some(Found {
            record: serde_json::from_slice(&self.bytes).ok(),
            length,
        }))
    }
}
