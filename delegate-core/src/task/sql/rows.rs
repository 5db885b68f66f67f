//! What statements return, within bounds.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// Most of all rows of a task, as JSON: a response is kept by managers, and travels with its task.
const MAX_BYTES: usize = 4 * 1024 * 1024;

// What one statement did.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The rows it returned, each an object by the names of columns. Numbers and booleans are what they are in JSON, and
    /// so is JSON; bytes are text that begins with `\x`; everything else is the text the database writes.
    rows: Vec<Map<String, Value>>,
    /// How many rows the database counts as affected; PostgreSQL counts those of a SELECT too.
    affected: u64,
    /// Whether there were more rows than are here.
    truncated: bool,
}

impl Answer {
    pub(super) fn new(rows: Rows<'_>, affected: u64) -> Self {
        Self {
            rows: rows.kept,
            affected,
            truncated: rows.truncated,
        }
    }

    /// A line for the log.
    pub(super) fn told(&self) -> String {
        let more = if self.truncated { " and more" } else { "" };
        format!("{} rows{more}, {} affected", self.rows.len(), self.affected)
    }
}

/// Room for the rows of all statements of a task.
pub(super) struct Room {
    bytes: usize,
    rows: usize,
}

impl Room {
    /// For so many rows a statement.
    pub(super) fn for_rows(rows: usize) -> Self {
        Self {
            bytes: MAX_BYTES,
            rows,
        }
    }

    /// For the rows of one more statement.
    pub(super) fn begin(&mut self) -> Rows<'_> {
        Rows {
            kept: Vec::new(),
            truncated: false,
            room: self,
        }
    }
}

/// The rows of one statement.
pub(super) struct Rows<'r> {
    pub(super) kept: Vec<Map<String, Value>>,
    truncated: bool,
    room: &'r mut Room,
}

impl Rows<'_> {
    /// Keeps a row while there is room; `read` is called only then. Names that come twice get a number.
    pub(super) fn take<E>(
        &mut self,
        read: impl FnOnce() -> Result<Vec<(String, Value)>, E>,
    ) -> Result<(), E> {
        if self.truncated || self.kept.len() >= self.room.rows {
            self.truncated = true;
            return Ok(());
        }
        let mut row = Map::new();
        for (name, value) in read()? {
            let mut unique = name.clone();
            let mut number = 1;
            while row.contains_key(&unique) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            row.insert(unique, value);
        }
        // What it takes in the response; writing to memory does not fail.
        let bytes = serde_json::to_vec(&row).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > self.room.bytes {
            self.truncated = true;
            return Ok(());
        }
        self.room.bytes -= bytes;
        self.kept.push(row);
        Ok(())
    }
}

/// Bytes as PostgreSQL writes them.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(fields: &[(&str, Value)]) -> Vec<(String, Value)> {
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn rows_stop_at_the_bounds() {
        let mut room = Room::for_rows(2);
        let mut rows = room.begin();
        for n in 0..3 {
            rows.take(|| Ok::<_, ()>(row(&[("n", json!(n))]))).unwrap();
        }
        let answer = Answer::new(rows, 3);
        assert_eq!((answer.rows.len(), answer.truncated), (2, true));
        // The bytes are those of all statements.
        let half = "x".repeat(MAX_BYTES / 2);
        let mut kept = 0;
        for _ in 0..3 {
            let mut rows = room.begin();
            rows.take(|| Ok::<_, ()>(row(&[("text", json!(half))]))).unwrap();
            kept += rows.kept.len();
        }
        assert_eq!(kept, 1);
    }

    #[test]
    fn a_name_that_comes_twice_is_not_lost() {
        let mut room = Room::for_rows(1);
        let mut rows = room.begin();
        let fields = [("id", json!(1)), ("id", json!(2)), ("id_2", json!(3))];
        rows.take(|| Ok::<_, ()>(row(&fields))).unwrap();
        assert_eq!(json!(rows.kept), json!([{"id": 1, "id_2": 2, "id_2_2": 3}]));
        assert_eq!(hexadecimal(&[0, 255]), "\\x00ff");
    }
}
