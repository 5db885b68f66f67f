//! Task kinds.
