//! The way of a download into its file.

use std::io;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use md5::{Digest as _, Md5};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use super::store::Incoming;
use crate::protocol::file_body::{Md5Sum, hex};
use crate::protocol::http::chain;
use crate::task::TaskError;
use crate::task::halt::Halt;

/// A server that sends nothing for so long is taken to be away.
const SILENCE: Duration = Duration::from_mins(1);

/// A download that is whole, and not yet in its place. It is gone when this is dropped.
pub(super) struct Saved {
    file: NamedTempFile,
    pub(super) bytes: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// Reads a download into a file beside its place, whose folders are made; at most so many bytes.
pub(super) async fn save(mut incoming: Incoming, place: &Path, most: u64) -> Result<Saved, Halt> {
    let too_large = || Halt::failed(format!("it is larger than {most} bytes; raise `max_mib`"));
    if incoming
        .response
        .content_length()
        .is_some_and(|length| length > most)
    {
        return Err(too_large());
    }
    let failed = || TaskError::io(format!("write {}", place.display()));
    let file = beside(place.to_owned()).await.map_err(failed())?;
    let mut to = tokio::fs::File::from_std(file.reopen().map_err(failed())?);
    let mut digest = Context::new(&SHA256);
    let mut md5 = incoming.md5.map(|_| Md5::new());
    let mut bytes = 0;
    loop {
        let chunk = match tokio::time::timeout(SILENCE, incoming.response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                let problem = chain(&error.without_url());
                return Err(Halt::failed(format!(
                    "it broke off after {bytes} bytes: {problem}; nothing was changed, try it again"
                )));
            }
            Err(_) => {
                return Err(Halt::failed(format!(
                    "nothing came for {SILENCE:?} after {bytes} bytes; nothing was changed, try it again"
                )));
            }
        };
        bytes += chunk.len() as u64;
        if bytes > most {
            return Err(too_large());
        }
        digest.update(&chunk);
        if let Some(md5) = &mut md5 {
            md5.update(&chunk);
        }
        to.write_all(&chunk).await.map_err(failed())?;
    }
    to.flush().await.map_err(failed())?;
    to.sync_all().await.map_err(failed())?;
    let md5: Option<Md5Sum> = md5.map(|md5| md5.finalize().into());
    if let (Some(found), Some(promised)) = (md5, incoming.md5)
        && found != promised
    {
        return Err(Halt::failed(format!(
            "what came has the MD5 {}, and the store says that it is {}; nothing was changed, try it again",
            hex(&found),
            hex(&promised)
        )));
    }
    Ok(Saved {
        file,
        bytes,
        sha256: hex(digest.finish().as_ref()),
    })
}

impl Saved {
    /// Puts it into its place, at once. False: there is a file already, and none was to be replaced.
    pub(super) async fn put(self, place: &Path, replace: bool) -> Result<bool, TaskError> {
        let (file, to) = (self.file, place.to_owned());
        let put = tokio::task::spawn_blocking(move || {
            let put = if replace {
                file.persist(&to)
            } else {
                file.persist_noclobber(&to)
            };
            match put {
                Ok(_) => Ok(true),
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
            }
        });
        let put = put.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        put.map_err(TaskError::io(format!("write {}", place.display())))
    }
}

async fn beside(place: std::path::PathBuf) -> io::Result<NamedTempFile> {
    let made = tokio::task::spawn_blocking(move || {
        let folder = place.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".download-");
        // As any new file: the mask of the process counts.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(folder)
    });
    made.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
