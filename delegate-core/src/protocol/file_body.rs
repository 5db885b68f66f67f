//! A file, or a part of one, as the body of a request: read while it is sent, so that it is never in memory as a whole.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

/// Read at once: few system calls, little memory.
const CHUNK: usize = 256 * 1024;

/// A part of a file, and its digest as it was read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
}

/// A file as it was read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
    /// The same; for services that know no better.
    pub(crate) sha1: String,
    /// At least one.
    pub(crate) parts: Vec<Part>,
}

impl Whole {
    /// Reads a file once, in parts of this size.
    pub(crate) async fn read(path: &Path, part: u64) -> io::Result<Self> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || read(path, part));
        read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// All of it as a body.
    pub(crate) async fn body(&self) -> io::Result<reqwest::Body> {
        body(&self.path, 0, self.length).await
    }

    /// A part of it as a body.
    pub(crate) async fn body_of(&self, part: &Part) -> io::Result<reqwest::Body> {
        body(&self.path, part.offset, part.length).await
    }
}

async fn body(path: &Path, offset: u64, length: u64) -> io::Result<reqwest::Body> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let stream = ReaderStream::with_capacity(file.take(length), CHUNK);
    Ok(reqwest::Body::wrap_stream(stream))
}

fn read(path: PathBuf, part: u64) -> io::Result<Whole> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let (mut whole, mut sha1) = (Context::new(&SHA256), Context::new(&SHA1_FOR_LEGACY_USE_ONLY));
    let (mut parts, mut offset) = (Vec::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut digest = Context::new(&SHA256);
        let mut length = 0;
        while length < part {
            let room = usize::try_from(part - length).unwrap_or(CHUNK).min(CHUNK);
            let read = match file.read(&mut buffer[..room]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for context in [&mut digest, &mut whole, &mut sha1] {
                context.update(&buffer[..read]);
            }
            length += read as u64;
        }
        if length == 0 && !parts.is_empty() {
            break;
        }
        parts.push(Part {
            offset,
            length,
            sha256: hex(digest.finish().as_ref()),
        });
        offset += length;
        if length < part {
            break;
        }
    }
    Ok(Whole {
        path,
        length: offset,
        sha256: hex(whole.finish().as_ref()),
        sha1: hex(sha1.finish().as_ref()),
        parts,
    })
}

/// As digests are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_in_parts_that_make_it_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (size, wanted) in [(0, vec![0]), (9, vec![9]), (10, vec![10]), (25, vec![10, 10, 5])] {
            std::fs::write(&path, vec![b'x'; size]).unwrap();
            let whole = Whole::read(&path, 10).await.unwrap();
            let lengths: Vec<_> = whole.parts.iter().map(|part| part.length).collect();
            assert_eq!((whole.length, lengths), (size as u64, wanted));
            assert_eq!(whole.parts.len() == 1, whole.parts[0].sha256 == whole.sha256);
        }
        std::fs::write(&path, "abc").unwrap();
        let whole = Whole::read(&path, 10).await.unwrap();
        assert_eq!(
            whole.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(whole.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(Whole::read(dir.path(), 10).await.is_err());
    }
}
