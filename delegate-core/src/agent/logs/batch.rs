//! Lines that are sent together, and what is missing between them.

use super::record::Mark;
use crate::protocol::wire::LogLine;

/// Lines, and bytes of their text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// What lies between two places.
pub(super) fn between(from: Mark, to: Mark) -> Amount {
    Amount {
        lines: to.pos.saturating_sub(from.pos),
        bytes: to.at.saturating_sub(from.at),
    }
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.lines += more.lines;
        self.bytes += more.bytes;
    }
}

/// Lines that are gathered to be sent.
pub(super) struct Batch {
    pub(super) lines: Vec<LogLine>,
    /// The place after the last of them.
    pub(super) to: Mark,
    bytes: usize,
    most_bytes: usize,
    most_lines: usize,
}

impl Batch {
    /// An empty one of the lines from a place on, which is full with so many bytes of text or lines.
    pub(super) fn from(from: Mark, most_bytes: usize, most_lines: usize) -> Self {
        Self {
            lines: Vec::new(),
            to: from,
            bytes: 0,
            most_bytes,
            most_lines,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= self.most_lines || self.bytes >= self.most_bytes
    }

    /// Takes a line, unless the service has it.
    pub(super) fn push(&mut self, at: u64, line: LogLine) {
        let here = Mark { pos: line.pos, at };
        if here.pos < self.to.pos {
            return;
        }
        self.declare(here, Some(&line));
        self.to = here.after(&line);
        self.bytes += line.out.len();
        self.lines.push(line);
    }

    /// Says that there is nothing up to a place, where that is so.
    pub(super) fn declare(&mut self, until: Mark, next: Option<&LogLine>) {
        let Amount { lines, bytes } = between(self.to, until);
        if lines == 0 {
            return;
        }
        self.lines.push(LogLine {
            level: "warn".to_owned(),
            pos: self.to.pos,
            out: format!(
                "[{lines} lines of this log, {bytes} bytes, were left out: the log service did not take them in time]\n"
            ),
            time: next.map_or_else(super::now, |line| line.time.clone()),
            args: serde_json::Value::Null,
        });
        self.to = until;
    }
}
