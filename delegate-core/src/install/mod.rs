//! What an installation consists of. Shared by the Terraform provider and the `harness-delegate` program, so that
//! both install the same thing.

pub mod chart;
pub mod connected;
pub mod host;
pub mod kubernetes;

/// File in the working folder in which a running agent announces the address of health and metrics.
pub const HTTP_ADDRESS_FILE: &str = "http-address";
