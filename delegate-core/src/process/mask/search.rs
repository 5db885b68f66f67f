//! Finding any of many patterns in much text.
//!
//! The method is that of Wu and Manber. A window slides over the text, as long as the shortest pattern. The last three
//! bytes in it tell how far it can move on, because at that distance from the window's end no pattern has them; only
//! when they tell nothing are the patterns with this beginning compared. In clean text most bytes are never looked at,
//! and the cost grows little with the number of patterns: the tables of an automaton for a hundred secrets in all
//! their forms would no longer fit a processor's cache.

/// The longest window: longer ones would step further, but fill the table of steps.
const MAX_WINDOW: usize = 16;

/// Length of the beginning by which patterns are looked up: what fits a `u64`.
const KEY: usize = 8;

/// Bytes looked at in each step.
const BLOCK: usize = 3;

/// Size of the table of steps: 64 KiB, most of it never touched.
const STEPS: usize = 1 << 16;

/// Patterns, compiled.
pub(super) struct Patterns {
    /// Sorted by their bytes.
    all: Vec<Box<[u8]>>,
    /// Beginning and index of each pattern, sorted by the beginning.
    beginnings: Vec<(u64, usize)>,
    /// How far the window may move on when its last block has this hash.
    steps: Vec<u8>,
    /// At most the length of the shortest pattern; 0 when there is none.
    window: usize,
    longest: usize,
    /// Whether a pattern begins with this byte.
    first: [bool; 256],
}

impl Patterns {
    /// Compiles patterns; each must be longer than a block.
    pub(super) fn new(patterns: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut all: Vec<Box<[u8]>> = patterns
            .into_iter()
            .filter(|pattern| pattern.len() > BLOCK)
            .map(Vec::into_boxed_slice)
            .collect();
        all.sort_unstable();
        all.dedup();
        let window = all
            .iter()
            .map(|pattern| pattern.len())
            .min()
            .unwrap_or(0)
            .min(MAX_WINDOW);
        let longest = all.iter().map(|pattern| pattern.len()).max().unwrap_or(0);
        let mut first = [false; 256];
        let mut steps = if all.is_empty() {
            Vec::new()
        } else {
            vec![step(window - BLOCK + 1); STEPS]
        };
        let mut beginnings = Vec::with_capacity(all.len());
        for (index, pattern) in all.iter().enumerate() {
            first[usize::from(pattern[0])] = true;
            beginnings.push((beginning(&pattern[..window.min(KEY)]), index));
            for at in 0..=window - BLOCK {
                let block = [0, pattern[at], pattern[at + 1], pattern[at + 2]];
                let entry = &mut steps[hash(&block)];
                *entry = (*entry).min(step(window - BLOCK - at));
            }
        }
        beginnings.sort_unstable();
        Self {
            all,
            beginnings,
            steps,
            window,
            longest,
            first,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Calls `found` with start and end of the longest pattern at each place where there is one, in order.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        if self.all.is_empty() {
            return;
        }
        let mut end = self.window;
        while end <= text.len() {
            let step = self.steps[hash(&text[end - BLOCK - 1..end])];
            if step > 0 {
                end += usize::from(step);
                continue;
            }
            let start = end - self.window;
            if let Some(length) = self.longest_at(&text[start..]) {
                found(start, start + length);
            }
            end += 1;
        }
    }

    /// The first place in the text from which on it is, to its end, the beginning of a pattern; else its length.
    pub(super) fn unfinished(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        (from..text.len())
            .find(|&at| self.first[usize::from(text[at])] && self.begins(&text[at..]))
            .unwrap_or(text.len())
    }

    fn longest_at(&self, text: &[u8]) -> Option<usize> {
        let wanted = beginning(&text[..self.window.min(KEY)]);
        let from = self
            .beginnings
            .partition_point(|&(beginning, _)| beginning < wanted);
        self.beginnings[from..]
            .iter()
            .take_while(|&&(beginning, _)| beginning == wanted)
            .map(|&(_, index)| &self.all[index])
            .filter(|pattern| text.starts_with(pattern))
            .map(|pattern| pattern.len())
            .max()
    }

    /// Whether the whole of `text` is a beginning, but not all, of some pattern.
    fn begins(&self, text: &[u8]) -> bool {
        let after = self.all.partition_point(|pattern| &**pattern <= text);
        self.all
            .get(after)
            .is_some_and(|pattern| pattern.starts_with(text))
    }
}

/// Fits: a step is at most [`MAX_WINDOW`].
#[expect(clippy::cast_possible_truncation, reason = "at most MAX_WINDOW")]
fn step(length: usize) -> u8 {
    length as u8
}

/// Of a block and the byte before it, which is read, for being quicker, and ignored.
fn hash(block: &[u8]) -> usize {
    /// 2³² divided by the golden ratio: spreads neighbours over the table.
    const SPREAD: u32 = 0x9E37_79B1;
    let block = block
        .first_chunk()
        .map_or(0, |block| u32::from_le_bytes(*block) >> 8);
    (block.wrapping_mul(SPREAD) >> 16) as usize
}

/// At most eight bytes as a number.
fn beginning(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}
