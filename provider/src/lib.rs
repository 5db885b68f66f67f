//! x
pub mod install;
