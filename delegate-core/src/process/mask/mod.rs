//! Masking: known secrets, in the forms in which programs print them, and JSON web tokens become
//! `**************` before anything leaves the process.
//!
//! A [`Masker`] is compiled once from the secrets of a task and shared; a [`MaskStream`] is the state of one stream of
//! bytes. What comes out does not depend on how the bytes were split over writes, across line ends too.
//!
//! What is masked, for a secret of at least [`MIN_SECRET_BYTES`] bytes:
//! - the text itself; of a text with several lines also each line of that length, trimmed;
//! - its base64 (standard and URL-safe alphabet, wrapped or not, wherever it starts in the encoded data), percent
//!   encoding, JSON string and shell quotation.
//!
//! A shorter secret is **not** masked: every `1`, `on` or `yes` of a log would go, and the gaps would tell the secret
//! anyway. Everything that any pattern covers is masked: where two secrets overlap, no rest of one stays.
//!
//! Nothing here fails, and text without secrets passes unchanged. A possible beginning of a secret at the end of a
//! write is held back until it is decided, or [`MaskStream::finish`] is called.

mod forms;
mod jwt;
mod rules;
mod search;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::Secret;
pub use rules::Rules;
use search::Patterns;

/// What stands in the place of a secret.
pub const MASK: &str = "**************";

/// Shorter secrets, and shorter lines of secrets, are not masked.
pub const MIN_SECRET_BYTES: usize = 4;

/// The secrets to mask, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Masker(Arc<Patterns>, Rules);

impl Masker {
    /// Compiles the secrets. Costs about 10 µs a secret.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let forms = secrets.into_iter().flat_map(|secret| forms::of(secret.expose()));
        Self(Arc::new(Patterns::new(forms)), Rules::default())
    }

    /// Also masks what these patterns match, in whole texts and lines.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.1 = rules;
        self
    }

    /// Masks what the patterns match in a line from a [`MaskStream`], which knows lines only when they are whole.
    pub fn mask_line<'t>(&self, line: &'t str) -> Cow<'t, str> {
        self.1.apply(Cow::Borrowed(line))
    }

    /// Knows no secret; masks web tokens only.
    pub fn none() -> Self {
        Self::new([])
    }

    /// Begins a stream.
    pub fn stream(&self) -> MaskStream {
        MaskStream {
            patterns: self.0.clone(),
            pending: Vec::new(),
            covered: 0,
            undecided_token: 0,
        }
    }

    /// Masks a whole text.
    pub fn mask_str<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Vec::new();
        let mut stream = self.stream();
        stream.write(text.as_bytes(), &mut masked);
        stream.finish(&mut masked);
        if masked == text.as_bytes() {
            return self.1.apply(Cow::Borrowed(text));
        }
        // Secrets are whole characters, so what is left is, too; an encoded form never is anything but ASCII.
        self.1
            .apply(Cow::Owned(String::from_utf8(masked).unwrap_or_else(|error| {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            })))
    }

    /// Masks every text in a JSON value, the keys of objects too.
    pub fn mask_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.mask_str(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.mask_json(&mut value);
                        (self.mask_str(&name).into_owned(), value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker")
            .field("patterns", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// The masking of one stream of bytes.
pub struct MaskStream {
    patterns: Arc<Patterns>,
    /// Held back: it may be the beginning of a secret.
    pending: Vec<u8>,
    /// So many bytes of it belong to a secret whose mask has been written.
    covered: usize,
    /// Before this place in it, everything about web tokens is decided.
    undecided_token: usize,
}

impl MaskStream {
    /// Takes the next bytes, and appends to `out` what is decided by them.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.pending.is_empty() {
            // The common case, without a copy.
            let held = self.mask(bytes, false, out);
            self.pending.extend_from_slice(&bytes[held..]);
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let held = self.mask(&pending, false, out);
        pending.drain(..held);
        self.pending = pending;
    }

    /// The stream is over: appends to `out` what was held back. A new stream may begin.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let pending = std::mem::take(&mut self.pending);
        self.mask(&pending, true, out);
        self.covered = 0;
        self.undecided_token = 0;
    }

    /// Masks `text`, which begins where the last call held back, and returns from where on it is to be held back.
    fn mask(&mut self, text: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
        let mut spans = Spans::new(self.covered);
        self.patterns.find(text, |start, end| spans.add(start, end));
        let tokens = jwt::find(text, self.undecided_token, last, |start, end| {
            spans.add(start, end);
        });
        let held = if last {
            text.len()
        } else {
            self.patterns.unfinished(text).min(tokens.undecided)
        };

        let mut at = 0;
        let mut covered = self.covered.saturating_sub(held);
        for (index, (start, end)) in spans.merged().into_iter().enumerate() {
            if start >= held {
                break;
            }
            out.extend_from_slice(&text[at.min(start)..start]);
            // The first span is the one whose mask is already out.
            if index > 0 || self.covered == 0 {
                out.extend_from_slice(MASK.as_bytes());
            }
            at = end;
            covered = end.saturating_sub(held);
        }
        if at < held {
            out.extend_from_slice(&text[at..held]);
        }
        self.covered = covered;
        self.undecided_token = tokens.next.saturating_sub(held);
        held
    }
}

/// Stretches of text to mask.
struct Spans {
    found: Vec<(usize, usize)>,
}

impl Spans {
    fn new(covered: usize) -> Self {
        Self {
            found: if covered > 0 {
                vec![(0, covered)]
            } else {
                Vec::new()
            },
        }
    }

    fn add(&mut self, start: usize, end: usize) {
        // Found in the order of their starts, mostly; joining here keeps the list short when everything is a secret.
        match self.found.last_mut() {
            Some(last) if last.0 <= start && start < last.1 => last.1 = last.1.max(end),
            _ => self.found.push((start, end)),
        }
    }

    /// In order, those that overlap joined.
    fn merged(mut self) -> Vec<(usize, usize)> {
        self.found.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(self.found.len());
        for (start, end) in self.found {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests;
