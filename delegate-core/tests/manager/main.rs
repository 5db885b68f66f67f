//! The manager at its boundaries: HTTP, the command line, the database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod agents;
#[path = "../support/postgres.rs"]
mod cluster;
mod command_line;
mod durability;
mod fixture;
mod logs;
mod platform;
mod postgres;
mod process;
#[path = "../support/scripted_delegate.rs"]
mod scripted_delegate;
mod tasks;
