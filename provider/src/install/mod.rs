//! Bringing a delegate to a place and looking at it there: one folder a mode.
//!
//! An installer takes the validated settings, makes the place agree with them, and says what it finds. It knows nothing
//! of Terraform: no schema, no state, no diagnostics.

pub mod cluster;
pub mod docker;
pub mod helm;
pub mod host;
pub mod kubernetes;
pub mod manifest;
pub mod ssh;

pub use delegate_core::install::connected;
