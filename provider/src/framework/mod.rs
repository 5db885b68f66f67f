//! Writing a Terraform provider.
//!
//! Wire → convert → server → traits: the plugin layer brings messages, [`server`] turns them into values and
//! calls, the author's types answer. Nothing here knows what is being provided; with [`crate::plugin`] it can
//! be lifted out and carry another provider.
//!
//! * [`catalog`]: what a provider offers, for its documentation.
//! * [`value`]: values, types, their codecs, and typed models through serde.
//! * [`schema`]: schemas as data, with defaults, validators and plan modifiers.
//! * [`diagnostics`]: what a user is told.
//! * [`plan`]: from configuration and state to a plan, in the one order that works; and Terraform's own rules
//!   on plans and results as checks.
//! * [`traits`]: what an author writes.
//! * [`server`]: the protocol's service for any provider. Handler panics and wrong answers become diagnostics
//!   there, and stored state survives both.

pub mod catalog;
mod convert;
pub mod diagnostics;
mod erased;
pub mod plan;
pub mod schema;
pub mod server;
pub mod traits;
pub mod value;

/// What a file with a resource in it needs.
pub mod prelude {
    pub use async_trait::async_trait;
    pub use serde::{Deserialize, Serialize};

    pub use super::diagnostics::{Diagnostic, Diagnostics, Severity};
    pub use super::plan::Plan;
    pub use super::schema::{Attribute, IdentitySchema, Object, Rule, Schema, Validator};
    pub use super::traits::*;
    pub use super::value::{AttributePath, Field, Number, Type, Value, ValueError};
}
