//! The wire between a delegate and its manager: message types, the token, and the clients.
//!
//! Both sides use the same types, so the agent and the self-hosted manager cannot drift apart. Readers ignore unknown
//! keys; writers send only the keys listed here, because other managers and other delegates speak this protocol too.

pub mod api;
mod bearer;
pub(crate) mod call;
pub(crate) mod call_error;
pub mod client;
pub(crate) mod file_body;
mod grpc;
pub mod http;
pub mod logs;
pub(crate) mod otlp;
pub mod platform;
pub mod runner;
pub mod stream;
pub mod token;
pub mod transport;
pub mod trust;
pub mod wire;
