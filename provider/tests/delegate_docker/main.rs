//! `harness_delegate` with `docker`: the real Terraform, a real engine, real containers.
//!
//! Needs an engine that answers `docker` and has the image `HARNESS_TEST_IMAGE` (scripts/test sees to both); without them
//! every test says "SKIPPED: …" and does nothing. Every test has a manager, names and networks of its own, and removes
//! them, also when it fails.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

#[path = "../support/manager.rs"]
mod manager;
#[path = "../support/rpc.rs"]
mod rpc;
#[path = "../support/secrets.rs"]
mod secrets;
#[path = "../support/terraform.rs"]
mod terraform;

mod arguments;
mod change;
mod connections;
mod fixture;
mod images;
mod life;
mod listing;
mod recovery;
mod refusals;
mod secrecy;
