//! Faults around the agent: the network between it and its manager, answers of what stands before a manager, a full disk, a child
//! that prints without measure.
//!
//! After each fault the agent works again by itself, nothing was lost, nothing ran twice, and it did not hammer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure here is the test's, and a skipped test says why"
)]

mod answers;
mod disk;
mod flood;
mod network;
mod partitions;
mod transports;
mod wire;

#[path = "../support/mod.rs"]
mod support;
