//! A file, or a part of one, as the body of a request: read while it is sent, so that it is never in memory as a whole. And
//! what else a request may carry.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

/// Read at once: few system calls, little memory.
const CHUNK: usize = 256 * 1024;

/// MD5 of something, for services that know no better.
pub(crate) type Md5Sum = [u8; 16];

/// What a request carries.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    Nothing,
    Text(&'a str),
    Part(&'a Whole, &'a Part),
}

impl Content<'_> {
    /// In bytes.
    pub(crate) fn length(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Text(text) => text.len() as u64,
            Self::Part(_, part) => part.length,
        }
    }

    /// As a body; none for nothing. The error says which file cannot be read.
    pub(crate) async fn body(self) -> Result<Option<reqwest::Body>, String> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text.to_owned().into())),
            Self::Part(whole, part) => match body(&whole.path, part.offset, part.length).await {
                Ok(body) => Ok(Some(body)),
                Err(error) => Err(format!("{} cannot be read: {error}", whole.path.display())),
            },
        }
    }
}

/// A part of a file, and its digest as it was read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
    /// Where it was asked for.
    pub(crate) md5: Option<Md5Sum>,
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
    /// Where it was asked for.
    pub(crate) md5: Option<Md5Sum>,
    /// At least one.
    pub(crate) parts: Vec<Part>,
}

impl Whole {
    /// Reads a file once, in parts of this size.
    pub(crate) async fn read(path: &Path, part: u64) -> io::Result<Self> {
        Self::read_with(path, part, false).await
    }

    /// The same, with MD5s where they are asked for: they take longer than all others together.
    pub(crate) async fn read_with(path: &Path, part: u64, md5: bool) -> io::Result<Self> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || read(path, part, md5));
        read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// All of it as one.
    pub(crate) fn as_part(&self) -> Part {
        Part {
            offset: 0,
            length: self.length,
            sha256: self.sha256.clone(),
            md5: self.md5,
        }
    }
}

async fn body(path: &Path, offset: u64, length: u64) -> io::Result<reqwest::Body> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(SeekFrom::Start(offset)).await?;
    let stream = ReaderStream::with_capacity(file.take(length), CHUNK);
    Ok(reqwest::Body::wrap_stream(stream))
}

fn read(path: PathBuf, part: u64, md5: bool) -> io::Result<Whole> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let (mut whole, mut sha1) = (Context::new(&SHA256), Context::new(&SHA1_FOR_LEGACY_USE_ONLY));
    let mut whole_md5 = md5.then(Md5::new);
    let (mut parts, mut offset) = (Vec::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut digest = Context::new(&SHA256);
        let mut part_md5 = md5.then(Md5::new);
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
            for md5 in whole_md5.iter_mut().chain(&mut part_md5) {
                md5.update(&buffer[..read]);
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
            md5: part_md5.map(|md5| md5.finalize().into()),
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
        md5: whole_md5.map(|md5| md5.finalize().into()),
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
        assert_eq!((whole.md5, whole.parts[0].md5), (None, None));
        let with = Whole::read_with(&path, 2, true).await.unwrap();
        assert_eq!(hex(&with.md5.unwrap()), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex(&with.parts[1].md5.unwrap()),
            "4a8a08f09d37b73795649038408b5f33"
        );
        assert!(Whole::read(dir.path(), 10).await.is_err());
    }
}
