//! Files of a task that nobody else may read.

use std::path::Path;

use super::TaskError;
use crate::process::User;

/// Writes a new file for us alone, or for the user who is to read it.
pub(super) async fn write_private(path: &Path, text: &str, user: Option<&User>) -> Result<(), TaskError> {
    write(path, text, 0o600, user).await
}

/// The same of a file that is a program.
pub(super) async fn write_private_program(
    path: &Path,
    text: &str,
    user: Option<&User>,
) -> Result<(), TaskError> {
    write(path, text, 0o700, user).await
}

async fn write(path: &Path, text: &str, mode: u32, user: Option<&User>) -> Result<(), TaskError> {
    use tokio::io::AsyncWriteExt;
    let write = async {
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(path).await?;
        file.write_all(text.as_bytes()).await?;
        file.flush().await?;
        #[cfg(unix)]
        if let Some(user) = user {
            let file = file.into_std().await;
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    };
    write
        .await
        .map_err(TaskError::io(format!("write {}", path.display())))
}
