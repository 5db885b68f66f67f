//! Everything beyond the delegate resource, as a user meets it: the real terraform against the real manager. What cannot
//! be had, the product itself with its organizations and its rate limits, is played by [`product`].
//!
//! Needs `terraform` on the PATH and the program `harness-delegate` beside the provider's; without them tests say
//! "SKIPPED: …" and do nothing. Every test has a manager and names of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

mod api;
#[path = "../support/cluster/mod.rs"]
mod cluster;
mod delegate;
mod ephemeral;
mod fixture;
mod functions;
#[path = "../../../delegate-core/tests/support/host.rs"]
mod host;
mod key;
mod listing;
#[path = "../support/manager.rs"]
mod manager;
mod messages;
mod product;
mod query;
#[path = "../support/rpc.rs"]
mod rpc;
mod scope;
#[path = "../support/terraform.rs"]
mod terraform;
mod token;
mod token_refusals;
