//! A Harness-compatible delegate as a library: configuration, wire protocol, agent, task kinds, child processes,
//! what an installation consists of, and (feature `manager`) a self-hosted manager.
//!
//! Arrows point one way: `agent → task → process`, `agent → protocol ← manager`, `secrets → task`,
//! `task → aws ← secrets`, `aws → protocol`, `pipeline → task`; the manager and the agent never
//! know each other, a task kind knows nothing of the agent, and [`config`] knows nobody. The Terraform provider uses
//! [`config`] and `install`, so what is installed and what runs cannot disagree.

#![deny(unsafe_code)]

pub mod agent;
mod aws;
#[cfg(feature = "program")]
pub mod cli;
pub mod config;
#[cfg(feature = "program")]
pub mod doctor;
pub mod install;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "pipeline")]
pub mod pipeline;
pub mod process;
pub mod protocol;
mod secret;
pub mod secrets;
pub mod task;

pub use secret::Secret;

/// The version of this program, as reported to the manager, `--version` and the image labels.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
