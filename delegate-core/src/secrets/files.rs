//! Secrets in files, as Kubernetes, Docker and systemd mount them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::{FetchError, SecretName, SecretProvider};
use crate::Secret;

/// What Kubernetes allows a whole Secret to have.
const MAX_BYTES: u64 = 1024 * 1024;

/// A folder with a file for each secret. `file`. One line end at the end of a file is not part of the secret.
pub struct Files(PathBuf);

impl Files {
    /// Those of a folder. A file is read when it is asked for, so what is replaced counts at once.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }
}

#[async_trait]
impl SecretProvider for Files {
    fn scheme(&self) -> &'static str {
        "file"
    }

    async fn fetch(&self, name: &SecretName) -> Result<Secret, FetchError> {
        name.without_version()?;
        // A name has no `..` and no empty part, so this stays in the folder but for links of its owner's.
        let path = self.0.join(&name.path);
        match read(&path).await {
            Ok(text) => name.pick(text),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(FetchError::Absent(format!("{} does not exist", path.display())))
            }
            Err(error) => Err(FetchError::Failed(format!(
                "{} cannot be read: {error}",
                path.display()
            ))),
        }
    }
}

async fn read(path: &Path) -> std::io::Result<Secret> {
    let file = tokio::fs::File::open(path).await?;
    let meta = file.metadata().await?;
    if meta.is_dir() {
        // The folder of other secrets.
        return Err(ErrorKind::NotFound.into());
    }
    if !meta.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!(
            "it has more than {MAX_BYTES} bytes"
        )));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| std::io::Error::other("it is no text in UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}
