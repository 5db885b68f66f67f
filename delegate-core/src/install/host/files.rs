//! Files of an installation: written whole or not at all, private from the first moment.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::service::pause;
use super::{HostError, HostSpec, Layout, Record};

/// Most of a log that is read for its last lines, bytes.
const LOG_TAIL: u64 = 64 * 1024;

/// Identity of a file without reading it: when all three are the same, so is the content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Path as it was given.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since the epoch.
    pub modified: i128,
}

impl FileStamp {
    /// The stamp of a file as it is now.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Ok(Self {
            path: path.to_owned(),
            size: meta.len(),
            modified,
        })
    }
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// When the file cannot be read.
pub fn digest_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io { action, path, source }
}

/// The text of a file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, HostError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Puts `content` in place of a file, atomically; says whether that changed anything.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<bool, HostError> {
    if !differs(path, content, mode) {
        return Ok(false);
    }
    let fresh = beside(path);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&fresh)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(failed("write", path)).map(|()| true)
}

/// Whether a file is another one than `content` with this mode.
pub(super) fn differs(path: &Path, content: &[u8], mode: u32) -> bool {
    let same_mode = fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o7777 == mode);
    !same_mode || !fs::read(path).is_ok_and(|old| old == content)
}

/// A program that is about to be the installed one.
#[derive(Debug)]
pub(super) struct Program {
    /// Version, as it says itself.
    pub(super) version: String,
    /// SHA-256 in hex.
    pub(super) digest: String,
    /// What it was copied from.
    pub(super) source: FileStamp,
    /// A copy beside the installed one; or, when that is the same already, its stamp.
    copy: Result<FileStamp, PathBuf>,
}

impl Program {
    /// Whether another program is installed, or none.
    pub(super) fn is_new(&self) -> bool {
        self.copy.is_err()
    }

    /// Makes it the installed one; the stamp of that.
    pub(super) fn put_in_place(self, layout: &Layout) -> Result<FileStamp, HostError> {
        let target = layout.program();
        match self.copy {
            Ok(stamp) => Ok(stamp),
            Err(fresh) => fs::rename(fresh, &target)
                .and_then(|()| FileStamp::of(&target))
                .map_err(failed("write the program", &target)),
        }
    }
}

/// Copies the program beside the installed one, unless that is the same, and asks the copy for its version. Until it is
/// put in place nothing has changed: a program that is no delegate does not take the place of one that is.
pub(super) fn stage_program(
    spec: &HostSpec,
    layout: &Layout,
    previous: Option<&Record>,
) -> Result<Program, HostError> {
    let (source, target) = (spec.binary.as_path(), layout.program());
    let stamp = match &spec.origin {
        Some(origin) => origin.clone(),
        None => FileStamp::of(source).map_err(failed("read the program", source))?,
    };
    let untouched = |old: &&Record| FileStamp::of(&target).is_ok_and(|now| now == old.installed);
    let old = previous.filter(untouched).filter(|old| !old.version.is_empty());
    let unchanged = |old: &Record| Program {
        version: old.version.clone(),
        digest: old.binary_digest.clone(),
        source: stamp.clone(),
        copy: Ok(old.installed.clone()),
    };
    if let Some(old) = old.filter(|old| old.source == stamp) {
        return Ok(unchanged(old));
    }
    let digest = digest_file(source).map_err(failed("read the program", source))?;
    if let Some(old) = old.filter(|old| old.binary_digest == digest) {
        return Ok(unchanged(old));
    }
    let fresh = beside(&target);
    let copy = || {
        fs::copy(source, &fresh)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o755))?;
        File::open(&fresh)?.sync_all()
    };
    copy().map_err(failed("write the program", &fresh))?;
    match version_of(&fresh) {
        Ok(version) => Ok(Program {
            version,
            digest,
            source: stamp,
            copy: Err(fresh),
        }),
        Err(problem) => {
            remove_file(&fresh)?;
            Err(HostError::Program {
                path: source.to_owned(),
                problem,
            })
        }
    }
}

/// Asks a program for its version, which also shows that it runs on this machine and is a delegate.
fn version_of(program: &Path) -> Result<String, String> {
    let output = patiently(|| {
        Command::new(program)
            .arg("--version")
            .env_clear()
            .stdin(Stdio::null())
            .output()
    });
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("harness-delegate ") {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => Err("it does not answer --version as harness-delegate does".to_owned()),
    }
}

/// Runs a program that was written a moment ago. Another thread that starts a process just then holds the file open for
/// writing until that process has become its own program, and the system refuses to run such a file.
pub(super) fn patiently<T>(mut run: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    /// The other process takes a few milliseconds at most; a file that is really being written stays busy.
    const ATTEMPTS: usize = 100;
    for _ in 0..ATTEMPTS {
        match run() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => pause(),
            result => return result,
        }
    }
    run()
}

/// Digest of the installed program; read again only when somebody has touched the file.
pub(super) fn digest_if_changed(program: &Path, record: &Record) -> Result<Option<String>, HostError> {
    match FileStamp::of(program) {
        Ok(now) if now == record.installed => Ok(Some(record.binary_digest.clone())),
        Ok(_) => digest_file(program)
            .map(Some)
            .map_err(failed("read the program", program)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read the program", program)(error)),
    }
}

pub(super) fn create_private_folder(path: &Path) -> Result<(), HostError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("create", path))
}

/// Whether a folder has anything in it but `ignored`; no when it does not exist.
pub(super) fn holds_other_than(path: &Path, ignored: &[PathBuf]) -> Result<bool, HostError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| !ignored.contains(&entry.path())))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("read", path)(error)),
    }
}

pub(super) fn remove_file(path: &Path) -> Result<(), HostError> {
    absent_is_fine(fs::remove_file(path)).map_err(failed("remove", path))
}

pub(super) fn remove_folder(path: &Path) -> Result<(), HostError> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(failed("remove", path))
}

/// Removes a folder; what its owner put there himself stays, and the folder with it.
pub(super) fn remove_empty_folder(path: &Path) -> Result<(), HostError> {
    match absent_is_fine(fs::remove_dir(path)) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// The last `count` lines of a log, without reading all of it; empty when there is none.
pub(super) fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut tail = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut tail)?;
        io::Result::Ok(tail)
    };
    let tail = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

/// Where the next content of a file is written, in the same folder, so that a rename stays on one file system. The name
/// is always the same: what a write that was cut off has left is overwritten by the next, and found by the removal.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}
