//! What a program said last, to tell what went wrong.

use std::collections::VecDeque;

/// Lines that are kept: a program's complaint is among its last.
const KEPT_LINES: usize = 40;

/// Longest of a program's own words in an error.
pub(super) const MAX_QUOTE_CHARS: usize = 500;

/// The last lines of a program.
#[derive(Default)]
pub(super) struct LastWords(VecDeque<String>);

impl LastWords {
    pub(super) fn push(&mut self, line: &str) {
        if self.0.len() == KEPT_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    /// All of them.
    pub(super) fn text(self) -> String {
        Vec::from(self.0).join("\n")
    }
}

/// So much of a text as an error shows.
pub(super) fn quoted(text: &str) -> String {
    let mut quote: String = text.chars().take(MAX_QUOTE_CHARS).collect();
    if quote.len() < text.len() {
        quote.push('…');
    }
    quote
}
