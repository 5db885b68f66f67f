//! How JSON writes what protocol buffers write otherwise; the generated messages name these functions.

use std::fmt::Write as _;

use serde::{Serialize as _, Serializer};

/// An id, in lower-case hexadecimal.
pub(super) fn hex<S: Serializer>(id: &[u8], to: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(id.len() * 2);
    for byte in id {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    to.serialize_str(&text)
}

/// A number that JSON's readers may not be able to hold.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "called by generated code")]
pub(super) fn text<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

/// Several of them.
pub(super) fn texts<S: Serializer>(numbers: &[u64], to: S) -> Result<S::Ok, S::Error> {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    texts.serialize(to)
}
