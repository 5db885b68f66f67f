//! `harness_delegate` with `manifest`: the real Terraform, a real cluster, real pods, and no Helm.
//!
//! Needs `HARNESS_TEST_KUBECONFIG` and `HARNESS_TEST_IMAGE` (scripts/test sets them); without them every test says
//! "SKIPPED: …" and does nothing. Where a test is not about pods, the delegate has none.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

mod arguments;
#[path = "../support/cluster/mod.rs"]
mod cluster;
mod drift;
mod fields;
mod lifecycle;
mod places;
mod recovery;
mod refusals;
mod rendered;
mod scale;
mod secrets;
#[path = "../support/terraform.rs"]
mod terraform;

use cluster::{Config, Site};

/// A delegate without pods, which an apply does not wait for.
fn asleep(site: &Site) -> Config {
    site.manifest_config()
        .set("replicas", "0")
        .set("wait", r#"{ until = "installed" }"#)
}
