//! The Terraform provider for Harness-compatible delegates.
//!
//! From the outside in: [`plugin`] is being a Terraform plugin at all, [`framework`] is what every provider needs, and
//! neither knows what is provided. [`delegate`] is the resource, which translates between Terraform and [`install`],
//! which knows nothing of Terraform. [`token`] and [`listing`] are what the manager knows, asked through [`platform`];
//! [`functions`] compute.

#![forbid(unsafe_code)]

mod claims;
mod data;
pub mod delegate;
pub mod framework;
pub mod functions;
pub mod install;
pub mod listing;
pub mod platform;
pub mod plugin;
mod provider;
mod secret;
pub mod token;

pub use provider::HarnessProvider;
