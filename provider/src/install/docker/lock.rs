//! That nobody else on this machine works on a container at the same time.
//!
//! A lock of the system, so that it goes with whoever held it, however that ended. Two resources of one run are told apart
//! before it comes to that; this is for two runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::DockerError;

/// Locks that are let go and taken again by others in the same moment are tried anew this often.
const TRIES: usize = 8;

/// Held for the time of an apply; let go when it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// When another apply has it, or the system's temporary folder cannot be written.
    pub fn take(engine_id: &str, container: &str) -> Result<Self, DockerError> {
        let digest = Sha256::digest(format!("{engine_id}\n{container}"));
        let name: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("harness-delegate-{name}.lock"));
        for _ in 0..TRIES {
            let unusable = |error: std::io::Error| {
                DockerError::Target(format!("cannot lock {}: {error}; check TMPDIR", path.display()))
            };
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(unusable)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(DockerError::Busy(container.to_owned())),
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
            // Whoever had it may have removed the file after we opened it.
            if is_at(&file, &path) {
                return Ok(Self { file, path });
            }
        }
        Err(DockerError::Busy(container.to_owned()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held: whoever opens the path next makes a file of its own.
        if is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |data: std::fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => id(ours) == id(there),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let engine = format!("test-{}", fastrand::u64(..));
        let first = Lock::take(&engine, "a").unwrap();
        assert!(matches!(Lock::take(&engine, "a"), Err(DockerError::Busy(_))));
        let other = Lock::take(&engine, "b").unwrap();
        let paths = [first.path.clone(), other.path.clone()];
        drop((first, other));
        assert!(paths.iter().all(|path| !path.exists()));
        Lock::take(&engine, "a").unwrap();
    }
}
