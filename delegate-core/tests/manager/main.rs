//! The manager at its boundaries: HTTP, the command line, the database.

mod agents;
mod command_line;
mod durability;
mod fixture;
mod logs;
mod platform;
mod postgres;
mod process;
#[path = "../support/scripted_delegate.rs"]
mod scripted_delegate;
mod tasks;
