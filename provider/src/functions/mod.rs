//! Functions, which compute and touch nothing.

mod tags;
mod token_hint;

pub use tags::Tags;
pub use token_hint::DecodeTokenHint;
