//! JSON web tokens, which nobody declares as secrets: `eyJ…` (base64 of `{"`), then two to four further parts of
//! base64url, joined by dots. Three parts are a signed token, five an encrypted one, such as the delegate's own.

use memchr::memmem;

/// How a token begins.
const BEGINNING: &[u8] = b"eyJ";

/// The shortest first part: `{"alg":` alone has ten characters in base64.
const MIN_HEADER: usize = 10;

/// The shortest whole: below, it is more likely a name with dots.
const MIN_TOKEN: usize = 24;

/// Longer ones are masked up to here. Headers of web servers end at 8 or 16 KiB, so tokens do, too.
const MAX_TOKEN: usize = 16 * 1024;

/// Dots between the parts of an encrypted token.
const MAX_DOTS: usize = 4;

/// What is known after a search.
pub(super) struct Tokens {
    /// From here on, more text is needed to decide.
    pub(super) undecided: usize,
    /// Where the next search begins.
    pub(super) next: usize,
}

/// Calls `found` with start and end of each token that begins at `from` or later.
/// `last`: no more text will follow.
pub(super) fn find(text: &[u8], from: usize, last: bool, mut found: impl FnMut(usize, usize)) -> Tokens {
    let mut at = from.min(text.len());
    while let Some(offset) = memmem::find(&text[at..], BEGINNING) {
        let start = at + offset;
        let candidate = &text[start..text.len().min(start + MAX_TOKEN)];
        let shape = measure(candidate);
        if start + shape.length == text.len() && shape.length < MAX_TOKEN && !last {
            return Tokens {
                undecided: start,
                next: start,
            };
        }
        if shape.is_token {
            found(start, start + shape.length);
            at = start + shape.length;
        } else {
            // A token may begin in the next part; inside this one, none can.
            at = start + shape.header;
        }
    }
    let undecided = if last {
        text.len()
    } else {
        text.len() - unfinished_beginning(&text[at..])
    };
    Tokens {
        undecided,
        next: undecided,
    }
}

/// What looks like a token.
struct Shape {
    /// Up to the first dot.
    header: usize,
    /// Up to the first byte that cannot belong to a token.
    length: usize,
    is_token: bool,
}

fn measure(text: &[u8]) -> Shape {
    let mut dots = 0;
    let mut header = None;
    let end = text.iter().enumerate().position(|(at, &byte)| match byte {
        b'.' => {
            header.get_or_insert(at);
            dots += 1;
            dots > MAX_DOTS
        }
        b'-' | b'_' => false,
        byte => !byte.is_ascii_alphanumeric(),
    });
    let length = end.unwrap_or(text.len());
    let header = header.unwrap_or(length);
    Shape {
        header,
        length,
        is_token: dots >= 2 && header >= MIN_HEADER && length >= MIN_TOKEN,
    }
}

fn unfinished_beginning(text: &[u8]) -> usize {
    (1..BEGINNING.len())
        .rev()
        .find(|&length| text.ends_with(&BEGINNING[..length]))
        .unwrap_or(0)
}
