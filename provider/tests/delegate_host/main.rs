//! `harness_delegate` in host mode, as a user meets it: the real terraform, a real manager, real delegates on this machine.
//!
//! Needs `terraform` on the PATH (without it the tests say so and do nothing) and the program `harness-delegate` beside
//! the provider's. Every test has a manager, a folder and names of its own, and ends every process it started, also
//! when it fails.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

#[path = "../support/golden.rs"]
mod golden;
#[path = "../../../delegate-core/tests/support/host.rs"]
mod host;
#[path = "../support/manager.rs"]
mod manager;
#[path = "../support/other_machine.rs"]
mod other_machine;
#[path = "../support/rpc.rs"]
mod rpc;
#[path = "../support/secrets.rs"]
mod secrets;
#[path = "../support/terraform.rs"]
mod terraform;

mod bad_input;
mod change;
mod crash;
mod drift;
mod failure;
mod fixture;
mod import;
mod interrupted;
mod life;
mod many;
mod remote;
mod schema;
mod secrecy;
mod unknown;
