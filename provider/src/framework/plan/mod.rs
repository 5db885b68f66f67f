//! Planning: from configuration and state to what will be, and what Terraform demands of the result.
//!
//! [`propose`] runs the steps in the one order that works; [`checks`] says whether a plan or a result keeps
//! Terraform's rules. Pure functions of schema and values: nothing here knows a wire or a handler.

pub mod checks;
mod engine;
mod hook;
mod walk;

pub use engine::{
    Proposal, complete_blocks, configuration_of, filter_replacements, null_write_only, propose,
};
pub use hook::Plan;
