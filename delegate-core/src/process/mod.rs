//! Child processes: the one way to start, watch and end another program.
//!
//! A [`Command`] describes the program; [`Command::run`] hands its output line by line to a [`LineSink`],
//! [`Command::capture`] keeps it, [`Command::answer`] does one with its standard error and the other with its standard
//! output. Either way the child gets its own session, an environment built from an allowlist
//! ([`Environment`]), a private umask, no core dumps, no inherited file descriptors, and where wanted bounds and a user of
//! its own ([`Confinement`]); its output is drained while it
//! runs and passes a [`mask::Masker`]; and when it is over — by itself, by timeout or by cancellation — nothing it
//! started is left running.
//!
//! The room knows nothing of tasks, delegates or managers. Everything that differs between operating systems is behind
//! the functions of `linux` and `other`, which are the same; only `linux` is exercised by tests.
//!
//! Failing to *start* or to *watch* a child is a [`ProcessError`]. A child that fails is not an error here: the
//! [`Exit`] says how it ended.

mod command;
mod confinement;
mod environment;
mod error;
mod exit;
mod lines;
pub mod mask;
mod output;
mod supervise;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
use other as platform;

pub use command::{Answered, Captured, Command, Limits};
pub use confinement::{Confinement, User};
pub use environment::{Environment, InvalidName, MARK, is_valid_name};
pub use error::ProcessError;
pub use exit::{Exit, Reason, Status};
pub use lines::{Line, LineSink, MAX_LINE_BYTES, Stream, TRUNCATED_SUFFIX};
pub use platform::{Sealed, become_subreaper, kill_marked, let_go_of_startup_pages};
