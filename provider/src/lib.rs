//! The Terraform provider for Harness-compatible delegates.
//!
//! [`framework`] is what every provider needs: values, schemas, the plan engine, the traits. [`plugin`] is being a Terraform plugin at all: handshake, mutual TLS, serving, logging. It knows nothing of
//! the rest.

#![forbid(unsafe_code)]

pub mod install;
pub mod framework;
pub mod plugin;
