//! A real Kubernetes cluster for a test: a namespace of its own, a manager that pods can reach, Helm, and what a crash
//! or a stranger would do to them. One file a subject.
//!
//! ```ignore
//! let Some(site) = Site::new("create").await else { return };     // prints "SKIPPED: …" without a cluster
//! site.config().set("replicas", "2").write(&site);
//! site.terraform.apply().await.succeeds();
//! ```
//!
//! The cluster is the one of `HARNESS_TEST_KUBECONFIG` and no other; `HARNESS_TEST_IMAGE` names an image of the delegate that
//! its nodes have. A [`Site`] removes its namespace when it is dropped, also when the test failed.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test uses its part"
)]

mod config;
mod faults;
mod helm;
mod manager;
mod proxy;
mod refusals;
mod site;
mod target;

use std::future::Future;
use std::time::{Duration, Instant};

pub use config::Config;
pub use faults::{kill_tree, processes};
pub use helm::helm;
pub use manager::{Manager, agent};
pub use proxy::CountingProxy;
pub use refusals::one_error;
pub use site::Site;
pub use target::Cluster;

use crate::terraform::PATIENCE;

pub const SOURCE: &str = "terraform.local/harness/harness";
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");
/// The resource of [`Config`].
pub const THIS: &str = "harness_delegate.this";
const ACCOUNT: &str = "acceptance";

/// Looks until it is so.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
