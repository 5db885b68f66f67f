//! What can be wrong with a value, and where.

use std::fmt;

use super::path::{AttributePath, Step};

/// A value that does not fit, with its place. The message never holds the value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", place(path))]
pub struct ValueError {
    /// Where, from the root of the value.
    pub path: AttributePath,
    /// What.
    pub problem: Problem,
}

/// What is wrong at the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value is needed that is known only after apply.
    #[error("the value is not known yet")]
    Unknown,
    /// A value is needed and there is none.
    #[error("a value is required")]
    Null,
    /// Another type.
    #[error("{expected} is required, this is {found}")]
    Type {
        /// What the place takes.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An attribute that the type does not have.
    #[error("unexpected attribute {0:?}")]
    Unexpected(String),
    /// An attribute that must be present, if only as null.
    #[error("attribute {0:?} is missing")]
    Missing(String),
    /// The bytes are not of the format.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Deeper than [`super::MAX_DEPTH`].
    #[error("nested deeper than {} levels", super::MAX_DEPTH)]
    TooDeep,
    /// What a model's own conversion said.
    #[error("{0}")]
    Invalid(String),
}

fn place(path: &AttributePath) -> String {
    if path.is_root() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

impl ValueError {
    /// An error here.
    pub fn new(problem: Problem) -> Self {
        Self {
            path: AttributePath::root(),
            problem,
        }
    }

    pub(crate) fn malformed(what: impl fmt::Display) -> Self {
        Self::new(Problem::Malformed(what.to_string()))
    }

    pub(crate) fn mismatch(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::new(Problem::Type {
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }

    /// The same error seen from one level up.
    #[must_use]
    pub(crate) fn within(mut self, step: Step) -> Self {
        self.path.prepend(step);
        self
    }

    /// The same error seen from where `path` starts.
    #[must_use]
    pub fn under(self, path: &AttributePath) -> Self {
        Self {
            path: path.join(&self.path),
            problem: self.problem,
        }
    }
}
