//! What is in `examples/` is right: every file validates with the real Terraform, what can be applied on this machine and
//! in the test cluster is applied, and the module passes its own `terraform test`.
//!
//! The tests with a cluster need what `delegate_helm` needs, and say so when it is missing.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

#[path = "../support/cluster/mod.rs"]
mod cluster;
#[path = "../../../delegate-core/tests/support/host.rs"]
mod host;
#[path = "../support/manager.rs"]
mod manager;
#[path = "../support/terraform.rs"]
mod terraform;

mod applied;
mod files;
mod module;
mod valid;
