//! Pipelines: a file in the shape that Harness users know, read, checked, and run as a state machine.
//!
//! ```text
//!   source ──► read ──► plan ──► check          what the file says; every fault at once, with line and column
//!                        │
//!   expression ◄─────────┼──── reference        what `<+…>` means, before a run and in it
//!                        ▼
//!                       run                     what happens next, decided without a clock and without I/O
//! ```
//!
//! [`Plan::read`] takes a file and the task kinds, and gives a [`Plan`] or all that is wrong with the file ([`Faults`]).
//! [`run::Run`] is one run of it: plain data that is kept whole, and one function that takes what happened and says what
//! is to be done. Nothing here knows of managers, agents or stores, and nothing waits. The reference for users is
//! `docs/guides/pipelines.md`.
//!
//! Secrets are never seen here: `<+secrets.getValue("name")>` is passed on to the delegate as it stands. What comes from
//! outside (inputs, outputs of steps) can therefore not bring a reference with it; that is refused.

pub mod api;
mod check;
pub mod expression;
mod inputs;
mod plan;
mod read;
mod reference;
pub mod report;
pub mod run;
mod source;
#[cfg(test)]
mod tests;

pub use inputs::InputError;
pub use plan::{
    Action, Approval, Body, Element, ElementId, Errors, FailureStrategy, Input, Level, Outputs, Plan,
    Repetition, Source, Strategy, Task, Variable, VariableType, WhenStatus,
};
pub use source::{Fault, Faults, Mark, Place};

/// Steps, groups, stages of one file: a run of that many would take days.
pub const MAX_ELEMENTS: usize = 2000;

/// Groups within groups; each level is a level of recursion.
pub const MAX_GROUPS: usize = 16;
