//! Secrets by reference: from each provider, and through an agent to a script and no further.
//!
//! AWS Secrets Manager and STS are moto's, a server that speaks their protocols. Vault is a double of the calls that a
//! delegate makes, which can be made to refuse, to revoke and to be away. The addresses at which machines and containers
//! are told their credentials are a double's, too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's"
)]

mod agent;
mod aws;
#[path = "../support/guarded.rs"]
mod guarded;
#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/mod.rs"]
mod support;
mod vault;
mod vault_double;
