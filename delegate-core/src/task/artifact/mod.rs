//! `ARTIFACT_DOWNLOAD`, `ARTIFACT_UPLOAD` and `NEXUS_UPLOAD`: files between the delegate and where artifacts are kept.
//!
//! Files stream: none is ever in memory as a whole. One that is downloaded is written beside its place, and put there when
//! it is whole and its checksum is right; so it is there whole or not at all. One that is uploaded is read once before,
//! for its checksum, which is compared with what the store has: the same is not sent again, and what was sent is looked at
//! afterwards where the store tells a checksum.
//!
//! A relative path is in the delegate's workspace. Where tasks have a user of their own, no file is touched: the delegate
//! would do it with its own rights.
//!
//! One file a store: `s3`, `azure`, `gcs`, `nexus`, `http`. `web` is what all but the first share, `save` the way of a download into its file.

mod azure;
mod download;
mod gcs;
mod http;
mod nexus;
mod nexus_upload;
mod s3;
mod save;
mod store;
mod upload;
mod web;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub use download::ArtifactDownload;
pub use nexus_upload::NexusUpload;
pub use upload::ArtifactUpload;

use super::workspace::{self, Place};
use super::{TaskContext, TaskError};

/// What becomes of a file that is there, with another content or one that cannot be told. The same content is always
/// left as it is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Existing {
    /// It is replaced.
    #[default]
    Replace,
    /// It stays, and the task fails.
    Refuse,
}

/// A file of the delegate that a task names.
async fn own_file(field: &'static str, text: &str, context: &TaskContext) -> Result<Place, TaskError> {
    if let Some(user) = &context.confinement.user {
        return Err(TaskError::Refused(format!(
            "tasks of this delegate run as {}, and this kind would touch files with the delegate's own rights; use SHELL_SCRIPT",
            user.name
        )));
    }
    let path: PathBuf = workspace::read(field, text)?;
    let place = Place::of(field, path, context.workspace.as_deref())?;
    place.enter(None).await?;
    Ok(place)
}

/// A SHA-256 in task data: 64 hexadecimal digits.
fn check_sha256(field: &str, text: Option<&str>) -> Result<(), TaskError> {
    match text {
        Some(text) if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Err(
            TaskError::data(field, "is no SHA-256, which has 64 hexadecimal digits"),
        ),
        _ => Ok(()),
    }
}
