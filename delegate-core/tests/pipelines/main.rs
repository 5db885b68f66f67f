//! Pipelines at their boundaries: HTTP and the command line, a real manager and real delegates, and kills of the manager.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failure here is the test's"
)]

mod command_line;
mod examples;
mod keys;
mod kills;
mod own_kinds;
mod people;
mod refusals;
mod site;
mod steps;
#[path = "../support/mod.rs"]
mod support;
