//! The program of a kind, and its pin.
//!
//! What is pinned is what runs: the file is read once, and the bytes that were digested are the bytes that are executed, from
//! memory that nobody can write to. A file that is changed in between, or while it runs, changes nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest::{Context, SHA256};

use crate::process::Sealed;
use crate::protocol::file_body::hex;

/// Largest program: a static binary with everything in it has some hundred MiB at most, and it is held in memory.
const MAX_BYTES: u64 = 256 << 20;

/// A file, and what its SHA-256 must be.
pub(super) struct Program {
    path: PathBuf,
    /// Hexadecimal, lower case.
    sha256: String,
    /// One copy for all tasks that run at a time.
    copy: Mutex<Weak<Sealed>>,
}

impl Program {
    pub(super) fn new(path: PathBuf, sha256: &str) -> Result<Self, String> {
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("`sha256` is none, which has 64 hexadecimal digits; write what `sha256sum` says of the program".to_owned());
        }
        Ok(Self {
            path,
            sha256: sha256.to_ascii_lowercase(),
            copy: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether the file is the one that is pinned, and returns its bytes to run them. Reads all of it. The error says
    /// what is wrong, and after a semicolon what to do.
    pub(super) fn sealed(&self) -> Result<Arc<Sealed>, String> {
        // Tasks at a time wait for each other: they would read the same file.
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let (sealed, sha256) = self.read(copy.upgrade()).map_err(|error| {
            format!(
                "the program {} cannot be read: {error}; put it there again, or remove the manifest",
                self.path.display()
            )
        })?;
        if sha256 != self.sha256 {
            return Err(format!(
                "the program {} has the SHA-256 {sha256}, and its manifest pins {}; put the right one there, or look \
                 at the change, write the new digest into the manifest and start the delegate again",
                self.path.display(),
                self.sha256
            ));
        }
        *copy = Arc::downgrade(&sealed);
        Ok(sealed)
    }

    /// The digest of the file, and a copy of what was digested: the one that is there, which has the pinned digest, or a new one.
    fn read(&self, there: Option<Arc<Sealed>>) -> io::Result<(Arc<Sealed>, String)> {
        let mut digested = Digested {
            file: open(&self.path)?.take(MAX_BYTES + 1),
            digest: Context::new(&SHA256),
            bytes: 0,
        };
        let sealed = if let Some(sealed) = there {
            io::copy(&mut digested, &mut io::sink())?;
            sealed
        } else {
            Arc::new(Sealed::copy(&mut digested)?)
        };
        if digested.bytes > MAX_BYTES {
            return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
        }
        Ok((sealed, hex(digested.digest.finish().as_ref())))
    }
}

/// A file that is digested while it is read.
struct Digested {
    file: io::Take<File>,
    digest: Context,
    bytes: u64,
}

impl Read for Digested {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Opens a regular file; a pipe that nobody writes to is not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}
