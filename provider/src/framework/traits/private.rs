//! Private state: what a resource remembers of itself, beside the state the user sees.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::framework::diagnostics::{Diagnostic, Diagnostics};

/// The most bytes of private state. It is stored with every state snapshot, so it is for hashes and flags,
/// not for documents.
pub const MAX_PRIVATE_BYTES: usize = 64 * 1024;

/// A small map of JSON values by key, stored by Terraform in the state and given back with every call. It is
/// not encrypted: no secrets. A change of it alone never causes an update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Private(BTreeMap<String, Json>);

impl Private {
    /// Nothing remembered.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is remembered under `key`; nothing if it is absent or of another form, as an older version may
    /// have written it.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.0.get(key).and_then(|json| T::deserialize(json).ok())
    }

    /// Remembers `value`. A value without JSON form is forgotten instead.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        match serde_json::to_value(value) {
            Ok(json) => self.0.insert(key.to_owned(), json),
            Err(_) => self.0.remove(key),
        };
    }

    /// Forgets what is under `key`.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Bytes that are not ours (written by another provider before a move) read as nothing: they must not
    /// lock the user out of the state.
    pub(crate) fn from_wire(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::new();
        }
        if let Ok(map) = serde_json::from_slice(bytes) {
            return Self(map);
        }
        tracing::warn!(
            bytes = bytes.len(),
            "private state is not ours and is read as empty"
        );
        Self::new()
    }

    pub(crate) fn to_wire(&self) -> Result<Bytes, Diagnostics> {
        if self.0.is_empty() {
            return Ok(Bytes::new());
        }
        let bytes = serde_json::to_vec(&self.0)
            .map_err(|error| Diagnostic::bug(format_args!("private state: {error}")))?;
        if bytes.len() > MAX_PRIVATE_BYTES {
            let what = format!(
                "private state of {} bytes; at most {MAX_PRIVATE_BYTES} are kept",
                bytes.len()
            );
            return Err(Diagnostic::bug(what).into());
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_comes_back_through_the_wire() {
        let mut private = Private::new();
        assert!(private.to_wire().unwrap().is_empty());
        private.set("hash", "abc");
        private.set("count", &3);
        let back = Private::from_wire(&private.to_wire().unwrap());
        assert_eq!(back, private);
        assert_eq!(back.get::<u8>("count"), Some(3));
        assert_eq!(back.get::<u8>("hash"), None);
        private.remove("hash");
        assert_eq!(private.get::<String>("hash"), None);
    }

    #[test]
    fn foreign_bytes_read_as_nothing_and_too_many_are_refused() {
        assert!(Private::from_wire(b"\x00gob").is_empty());
        let mut private = Private::new();
        private.set("big", &"x".repeat(MAX_PRIVATE_BYTES));
        assert!(private.to_wire().is_err());
    }
}
