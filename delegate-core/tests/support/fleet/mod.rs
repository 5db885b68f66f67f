//! The real programs, as processes: a manager and agents that share its tasks, a client that repeats what it had no answer to, and
//! books that must balance. Who ends whom, and when, is the test's matter.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "shared by tests: a failure here fails the test"
)]

pub(crate) mod books;
pub(crate) mod client;
pub(crate) mod site;
pub(crate) mod work;

/// A number that the environment may set, for longer runs.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
    )
}
