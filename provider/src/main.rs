//! The program Terraform starts.

use std::process::ExitCode;

use harness_provider::HarnessProvider;
use harness_provider::framework::server::ProviderServer;
use harness_provider::plugin::{self, ServeOptions};

const OPTIONS: ServeOptions = ServeOptions {
    name: "harness",
    version: env!("CARGO_PKG_VERSION"),
    source: "terraform.local/harness/harness",
    log_targets: &["harness_provider", "delegate_core"],
};

fn main() -> ExitCode {
    plugin::run(OPTIONS, std::env::args_os().skip(1), |stop| {
        ProviderServer::new(HarnessProvider, stop)
    })
}
