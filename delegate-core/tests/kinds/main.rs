//! Task kinds, each through the same door as the agent's: against the real thing, and with data that is wrong.
//!
//! A module a kind. `bench` runs a task and keeps its log; `refused` is the table of wrong data that each kind has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a failure here is the test's"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "task data is written where it is given"
)]

mod artifact;
mod bench;
#[path = "../support/postgres.rs"]
mod cluster;
mod connect;
mod delegate;
mod ecs;
mod engine;
mod every;
mod git_clone;
mod git_server;
#[path = "../support/guarded.rs"]
mod guarded;
mod helm;
mod http;
mod image_build;
mod image_push;
mod kubernetes;
mod kubernetes_apply;
#[path = "../support/moto.rs"]
mod moto;
mod plug_in;
mod powershell;
mod registry;
mod shell_script;
mod sql;
mod sshd;
mod terraform;
mod version;
mod vm_deploy;
