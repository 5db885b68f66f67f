//! What the kinds share that work with a Docker engine: which engine, who logs in where, what an image is called, and
//! the `docker` program.
//!
//! Nothing of a user's own configuration is read: contexts, credential helpers and logins of `~/.docker` are not used,
//! its plugins are. Secrets are in files of the task's own directory that nobody else may read.

mod client;
mod engine;
mod login;
mod reference;

pub(super) use client::{Builder, Docker, Image, failure, offered};
pub(super) use engine::Engine;
pub(super) use login::{Login, check_logins, secrets_of};
pub(super) use reference::{Reference, is_registry};

use super::{Secrets, TaskError};

/// Refuses a value that everybody gets to see who has the image or sees processes, and that holds a secret.
pub(super) fn check_public(
    field: String,
    value: &str,
    secrets: &Secrets,
    instead: &str,
) -> Result<(), TaskError> {
    if secrets.masker().mask_str(value) == value {
        return Ok(());
    }
    Err(TaskError::data(
        field,
        format!("holds a secret, which whoever has the image could read; {instead}"),
    ))
}
