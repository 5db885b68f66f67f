//! `harness_delegate` with `helm`: the real Terraform, the real Helm 3 and 4, a real cluster, real pods.
//!
//! Needs `HARNESS_TEST_KUBECONFIG` and `HARNESS_TEST_IMAGE` (scripts/test sets them); without them every test says
//! "SKIPPED: …" and does nothing.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

mod charts;
#[path = "../support/cluster/mod.rs"]
mod cluster;
mod crash;
mod drift;
mod failures;
mod import;
mod lifecycle;
mod options;
mod places;
mod recovery;
mod refusals;
mod repositories;
mod secrecy;
#[path = "../support/secrets.rs"]
mod secrets;
#[path = "../support/charts.rs"]
mod sources;
mod takeover;
#[path = "../support/terraform.rs"]
mod terraform;
