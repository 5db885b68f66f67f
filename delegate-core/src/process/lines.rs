//! Bytes to lines.

use async_trait::async_trait;

/// The longest line that is passed on whole. Longer ones are cut here, the rest up to the line's end is dropped: the
/// log service takes no longer lines (70 KB).
pub const MAX_LINE_BYTES: usize = 70 * 1024;

/// What a cut line ends with.
pub const TRUNCATED_SUFFIX: &str = "... (log line truncated)";

/// Which of the two outputs of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// One line of output, without its line ending, masked. Bytes that are not UTF-8 have become U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it was written to.
    pub stream: Stream,
    /// The text.
    pub text: String,
}

/// Takes the lines of a child.
///
/// It is awaited before more output is read, so a slow sink slows the child down (its pipe fills) instead of filling
/// our memory. It cannot delay a timeout or a cancellation. When the child has ended, a sink that does not take a batch
/// within half a minute loses the rest.
#[async_trait]
pub trait LineSink: Send {
    /// Takes a batch: at least one line, in the order of their arrival.
    async fn write(&mut self, lines: Vec<Line>);
}

/// Keeps every line; for callers that know the output to be short, and for tests.
#[async_trait]
impl LineSink for Vec<Line> {
    async fn write(&mut self, mut lines: Vec<Line>) {
        self.append(&mut lines);
    }
}

/// Splits the bytes of one stream into lines.
#[derive(Default)]
pub(super) struct LineSplitter {
    /// The line that has no end yet, at most [`MAX_LINE_BYTES`] long.
    partial: Vec<u8>,
    /// The partial line is longer than that.
    cut: bool,
}

impl LineSplitter {
    /// Takes the next bytes, and passes on each line that they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            line(self.take());
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// The rest after the last line ending, if there is one.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.partial.len();
        self.cut |= bytes.len() > room;
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.cut) {
            trim_incomplete_character(&mut bytes);
            return String::from_utf8_lossy(&bytes).into_owned() + TRUNCATED_SUFFIX;
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// Cutting in the middle of a character must not look like garbage in the output.
fn trim_incomplete_character(bytes: &mut Vec<u8>) {
    if let Err(error) = std::str::from_utf8(bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn a_partial_line_waits_for_its_end() {
        assert_eq!(split(&[b"a", b"b\r\nc", b"", b"d"]), ["ab", "cd"]);
        assert_eq!(split(&[b"\n\nx\n"]), ["", "", "x"]);
    }

    #[test]
    fn a_line_at_the_limit_is_whole_and_one_byte_more_is_cut() {
        let limit = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(
            split(&[&limit, b"\n"]),
            [String::from_utf8(limit.clone()).unwrap()]
        );
        let cut = split(&[&limit, b"y", b"zzz\nnext\n"]);
        assert_eq!(cut[0].len(), MAX_LINE_BYTES + TRUNCATED_SUFFIX.len());
        assert!(cut[0].ends_with(TRUNCATED_SUFFIX));
        assert_eq!(cut[1], "next");
    }

    #[test]
    fn a_cut_does_not_split_a_character() {
        let mut long = vec![b'x'; MAX_LINE_BYTES - 1];
        long.extend("ä".bytes());
        let lines = split(&[&long]);
        assert!(!lines[0].contains('\u{fffd}'));
        assert_eq!(lines[0].len(), MAX_LINE_BYTES - 1 + TRUNCATED_SUFFIX.len());
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(split(&[b"a\xff\xfeb\n"]), ["a\u{fffd}\u{fffd}b"]);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_arrive(chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..20), 0..20)) {
            let whole = chunks.concat();
            let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(split(&parts), split(&[&whole]));
        }
    }
}
