//! The lines of one log that the log service has not acknowledged, in files of the working directory.
//!
//! A queue: lines are appended at one end, and taken in batches from the other; a batch leaves the queue when the service
//! has it. The queue is a row of files of about [`SEGMENT_BYTES`], so that what was taken, or is in the way, is let go by
//! removing one. Every line has its position from the first file to the last: what is missing between two lines was lost,
//! and is declared by a line in its place, in this life and in the next.
//!
//! What is written survives the end of the process, also by `kill -9`. It is not synced to the disk: a machine that loses
//! power may take the last lines with it, which is the price for a log that costs no wait for the disk. A disk that takes
//! nothing makes the queue go on in memory, with less room.
//!
//! Works on its files only, and blocks while it does: callers are on a thread where that is allowed. No method fails.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tracing::{debug, warn};

use super::super::private_files;
use super::batch::{Amount, Batch, between};
use super::record::{Head, Mark, Record, Records};
use crate::protocol::wire::LogLine;

/// Bytes on disk after which the next file is begun: what is dropped at once when there is no room.
const SEGMENT_BYTES: u64 = 256 * 1024;

/// Bytes written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Bytes that wait in memory while the disk takes nothing: a log of some thousand lines.
const MEMORY_BYTES: u64 = 256 * 1024;

/// What a line in memory costs besides its text.
const LINE_OVERHEAD: u64 = 128;

/// One file.
#[derive(Debug)]
struct Segment {
    number: u32,
    /// Its length.
    bytes: u64,
    /// Places of its first line, and after its last.
    from: Mark,
    to: Mark,
}

/// The batch that was handed out and is not acknowledged.
#[derive(Debug)]
struct Handed {
    to: Mark,
    /// Files that are read to their end.
    segments: usize,
    /// How far the next one is read.
    offset: u64,
}

/// Says whose log it is, when that has to be written down; the error says why it cannot.
pub(super) type Introduce = Box<dyn FnOnce() -> Result<Head, String> + Send>;

/// The queue of one log.
pub(super) struct Spool {
    dir: PathBuf,
    name: String,
    introduce: Option<Introduce>,
    head: Option<Head>,
    /// Oldest first.
    segments: VecDeque<Segment>,
    next_number: u32,
    /// The last file, while lines are expected.
    file: Option<File>,
    /// How far the first file is taken.
    offset: u64,
    /// Lines after those in the files.
    memory: VecDeque<(u64, LogLine)>,
    memory_bytes: u64,
    /// Everything before is acknowledged or given up.
    taken: Mark,
    /// Where the next line comes.
    end: Mark,
    handed: Option<Handed>,
    acknowledged: bool,
    complained: bool,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Spool {
    /// An empty one. Nothing is written before its first line.
    pub(super) fn new(dir: &Path, introduce: Introduce) -> Self {
        Self::named(dir, uuid::Uuid::new_v4().simple().to_string(), Some(introduce))
    }

    fn named(dir: &Path, name: String, introduce: Option<Introduce>) -> Self {
        Self {
            dir: dir.to_path_buf(),
            name,
            introduce,
            head: None,
            segments: VecDeque::new(),
            next_number: 0,
            file: None,
            offset: 0,
            memory: VecDeque::new(),
            memory_bytes: 0,
            taken: Mark::default(),
            end: Mark::default(),
            handed: None,
            acknowledged: false,
            complained: false,
        }
    }

    /// Reads what an earlier life left; `None`, and the files are gone, when they do not say whose log it is.
    pub(super) fn resume(dir: &Path, name: String, mut numbers: Vec<u32>) -> Option<Self> {
        let mut this = Self::named(dir, name, None);
        numbers.sort_unstable();
        for number in numbers {
            this.next_number = number.saturating_add(1);
            let mut segment = Segment {
                number,
                bytes: 0,
                from: this.end,
                to: this.end,
            };
            let read = this.read_segment(&mut segment);
            if let Err(error) = read {
                warn!(file = %this.path(number).display(), %error, "a spooled log cannot be read to its end");
            }
            this.segments.push_back(segment);
        }
        this.end = if this.end.pos < this.taken.pos {
            this.taken
        } else {
            this.end
        };
        if this.head.is_none() {
            this.remove();
            return None;
        }
        Some(this)
    }

    fn read_segment(&mut self, segment: &mut Segment) -> io::Result<()> {
        let file = File::open(self.path(segment.number))?;
        segment.bytes = file.metadata()?.len();
        let mut records = Records::new(BufReader::new(file));
        let mut first = true;
        while let Some(read) = records.read()? {
            match read.record {
                Some(Record::Log(head)) => drop(self.head.get_or_insert(head.into_owned())),
                Some(Record::Line { at, line }) => {
                    let here = Mark { pos: line.pos, at };
                    if std::mem::take(&mut first) {
                        segment.from = here;
                    }
                    segment.to = here.after(&line);
                    self.end = segment.to;
                }
                Some(Record::Taken(mark)) => {
                    self.acknowledged = true;
                    if mark.pos > self.taken.pos {
                        self.taken = mark;
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Whose log it is, as far as that was written down.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether the service has acknowledged something, and so has opened the stream.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// What is not acknowledged.
    pub(super) fn waiting(&self) -> Amount {
        between(self.taken, self.end)
    }

    /// Bytes on disk and in memory.
    pub(super) fn held(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.memory_bytes
    }

    /// Adds lines, and numbers them. What is more than `most` bytes then is dropped, oldest first, save what was handed
    /// out; returns what was.
    pub(super) fn append(&mut self, lines: Vec<LogLine>, most: u64) -> Amount {
        let mut lines: VecDeque<(u64, LogLine)> = lines
            .into_iter()
            .scan(self.end, |here, mut line| {
                line.pos = here.pos;
                let at = here.at;
                *here = here.after(&line);
                Some((at, line))
            })
            .collect();
        if self.memory.is_empty()
            && let Err(error) = self.write(&mut lines)
            && !std::mem::replace(&mut self.complained, true)
        {
            let dir = self.dir.display();
            warn!(%dir, error, "a task's log cannot be kept on disk until the log service has it; it is kept in memory, with less room");
        }
        for (at, line) in lines {
            self.end = Mark { pos: line.pos, at }.after(&line);
            self.memory_bytes += cost(&line);
            self.memory.push_back((at, line));
        }
        self.make_room(most)
    }

    /// Writes lines from the front of a queue; those that could not be written are left in it.
    fn write(&mut self, lines: &mut VecDeque<(u64, LogLine)>) -> Result<(), String> {
        let mut bytes = Vec::new();
        while !lines.is_empty() {
            bytes.clear();
            let mut count = 0;
            let mut to = self.end;
            for (at, line) in lines.iter() {
                let record = Record::Line {
                    at: *at,
                    line: Cow::Borrowed(line),
                };
                record.write_to(&mut bytes);
                to = Mark {
                    pos: line.pos,
                    at: *at,
                }
                .after(line);
                count += 1;
                if bytes.len() >= WRITE_BYTES {
                    break;
                }
            }
            if self.file.is_none()
                || self
                    .segments
                    .back()
                    .is_none_or(|last| last.bytes >= SEGMENT_BYTES)
            {
                self.begin_segment()?;
            }
            self.write_bytes(&bytes).map_err(|error| error.to_string())?;
            if let Some(last) = self.segments.back_mut() {
                last.to = to;
            }
            self.end = to;
            lines.drain(..count);
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), String> {
        let head = match (self.head.take(), self.introduce.take()) {
            (Some(head), _) => head,
            (None, Some(introduce)) => introduce()?,
            (None, None) => return Err("it cannot be said whose it is".to_owned()),
        };
        let mut bytes = Vec::new();
        Record::Log(Cow::Borrowed(&head)).write_to(&mut bytes);
        if self.acknowledged {
            // The file that says so may be dropped.
            Record::Taken(self.taken).write_to(&mut bytes);
        }
        self.head = Some(head);
        let number = self.next_number;
        let path = self.path(number);
        let created = private_files::create_dir(&self.dir)
            .and_then(|()| private_files::options().append(true).open(&path));
        self.file = Some(created.map_err(|error| error.to_string())?);
        self.next_number += 1;
        self.segments.push_back(Segment {
            number,
            bytes: 0,
            from: self.end,
            to: self.end,
        });
        self.write_bytes(&bytes).map_err(|error| error.to_string())
    }

    /// Writes to the last file. After a failure that file is not written to any more.
    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(file), Some(last)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = file.write_all(bytes) {
            // Gives the room back; where that fails, readers know a torn line.
            let _ = file.set_len(last.bytes);
            self.file = None;
            return Err(error);
        }
        last.bytes += bytes.len() as u64;
        Ok(())
    }

    /// No more lines are expected: the file need not stay open.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Drops the oldest, file by file, save what is handed out and the file that is written to.
    fn make_room(&mut self, most: u64) -> Amount {
        let mut lost = Amount::default();
        let first = self.handed.as_ref().map_or(0, |handed| handed.segments + 1);
        while self.held() > most && self.segments.len() > first + 1 {
            let Some(segment) = self.segments.remove(first) else {
                break;
            };
            if first == 0 {
                self.offset = 0;
            }
            let taken = if segment.from.pos < self.taken.pos {
                self.taken
            } else {
                segment.from
            };
            lost += between(taken, segment.to);
            self.remove_file(segment.number);
        }
        let handed = self.handed.as_ref().map_or(0, |handed| handed.to.pos);
        let is_handed = |line: &LogLine| line.pos < handed;
        while self.memory_bytes > MEMORY_BYTES
            && self.memory.len() > 1
            && let Some((_, line)) = self.memory.pop_front_if(|(_, line)| !is_handed(line))
        {
            self.memory_bytes -= cost(&line);
            lost += Amount {
                lines: 1,
                bytes: line.out.len() as u64,
            };
        }
        lost
    }

    /// The next lines: at least one when there is any, then as many as fit. They stay until [`Self::taken`]; asked again
    /// before that, the same come again, and perhaps more.
    pub(super) fn next(&mut self, most_bytes: usize, most_lines: usize) -> Vec<LogLine> {
        let mut batch = Batch::from(self.taken, most_bytes, most_lines);
        let (mut segments, mut offset) = (0, self.offset);
        while let Some(segment) = self.segments.get(segments) {
            match self.read(segment, offset, &mut batch) {
                Ok(read) => offset = read,
                Err(error) => {
                    let file = self.path(segment.number);
                    warn!(file = %file.display(), %error, "a part of a task's log cannot be read back");
                }
            }
            if batch.is_full() || segments + 1 == self.segments.len() {
                break;
            }
            (segments, offset) = (segments + 1, 0);
        }
        for (at, line) in &self.memory {
            if batch.is_full() {
                break;
            }
            batch.push(*at, line.clone());
        }
        if !batch.is_full() {
            // Whatever was not found until here does not exist.
            batch.declare(self.end, None);
        }
        self.handed = Some(Handed {
            to: batch.to,
            segments,
            offset,
        });
        batch.lines
    }

    /// Reads a file from an offset until the batch is full or the file ends; returns how far.
    fn read(&self, segment: &Segment, mut offset: u64, batch: &mut Batch) -> io::Result<u64> {
        if offset >= segment.bytes {
            return Ok(offset);
        }
        let mut file = File::open(self.path(segment.number))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut records = Records::new(BufReader::new(file));
        while !batch.is_full()
            && let Some(read) = records.read()?
        {
            offset += read.length;
            if let Some(Record::Line { at, line }) = read.record {
                batch.push(at, line.into_owned());
            }
        }
        Ok(offset)
    }

    /// The service has what was handed out last.
    pub(super) fn taken(&mut self) {
        let Some(handed) = self.handed.take() else { return };
        self.acknowledged = true;
        self.taken = handed.to;
        self.offset = handed.offset;
        for _ in 0..handed.segments {
            if let Some(segment) = self.segments.pop_front() {
                self.remove_file(segment.number);
            }
        }
        while let Some((_, line)) = self.memory.pop_front_if(|(_, line)| line.pos < handed.to.pos) {
            self.memory_bytes -= cost(&line);
        }
        if let Err(error) = self.note() {
            debug!(%error, "it was not noted what the log service has; after a crash it may get some lines again");
        }
    }

    /// Writes down what the service has, for the next life.
    fn note(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.back_mut() else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        Record::Taken(self.taken).write_to(&mut bytes);
        if self.file.is_some() {
            return self.write_bytes(&bytes);
        }
        let path = self.dir.join(file_name(&self.name, last.number));
        let mut file = private_files::options().append(true).open(path)?;
        // The end of the file may be a torn line.
        bytes.insert(0, b'\n');
        file.write_all(&bytes)?;
        last.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Removes what is on disk.
    pub(super) fn remove(&mut self) {
        self.file = None;
        while let Some(segment) = self.segments.pop_front() {
            self.remove_file(segment.number);
        }
        self.memory.clear();
        self.memory_bytes = 0;
        self.taken = self.end;
    }

    fn remove_file(&self, number: u32) {
        let path = self.path(number);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "a spooled log cannot be removed");
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(file_name(&self.name, number))
    }
}

fn file_name(name: &str, number: u32) -> String {
    format!("{name}.{number}")
}

fn cost(line: &LogLine) -> u64 {
    line.out.len() as u64 + LINE_OVERHEAD
}

/// What lies in a directory of spools: the numbers of the files of each name.
pub(super) fn leftovers(dir: &Path) -> std::collections::BTreeMap<String, Vec<u32>> {
    let mut found = std::collections::BTreeMap::<String, Vec<u32>>::new();
    for file in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let file = file.file_name();
        let parts = file.to_str().and_then(|name| name.rsplit_once('.'));
        if let Some((name, number)) = parts
            && let Ok(number) = number.parse()
        {
            found.entry(name.to_owned()).or_default().push(number);
        }
    }
    found
}

#[cfg(test)]
mod tests;
