//! Where the parts of a host installation lie.

use std::path::{Path, PathBuf};

use super::HostError;
use super::files;

/// The paths below one installation's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// The layout of a folder; nothing is touched.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// The folder itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The copied program.
    pub fn program(&self) -> PathBuf {
        self.directory.join("bin/harness-delegate")
    }

    /// A program that was sent from another machine, until it is installed.
    pub fn incoming(&self) -> PathBuf {
        self.directory.join("incoming")
    }

    /// Its settings, mode 0600.
    pub fn env_file(&self) -> PathBuf {
        self.directory.join("delegate.env")
    }

    /// What is known about the installation, without secrets. Its presence marks the folder as ours.
    pub fn record(&self) -> PathBuf {
        self.directory.join("installation.json")
    }

    /// The delegate's own log, with the supervisor.
    pub fn log(&self) -> PathBuf {
        self.directory.join("delegate.log")
    }

    /// Held for as long as a supervisor runs; contains its process id.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.directory.join("supervisor.lock")
    }

    /// The agent's working folder.
    pub fn working_dir(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Where the agent writes the address of health and metrics.
    pub fn http_address(&self) -> PathBuf {
        self.working_dir().join(crate::install::HTTP_ADDRESS_FILE)
    }

    pub(super) fn create(&self) -> Result<(), HostError> {
        for folder in [
            self.directory.clone(),
            self.directory.join("bin"),
            self.working_dir(),
        ] {
            files::create_private_folder(&folder)?;
        }
        Ok(())
    }

    /// Removes the folder. The record goes last, so that an interrupted removal is still recognized as ours; one that is
    /// cut off between the record and the folder leaves an empty folder.
    pub(super) fn remove(&self) -> Result<(), HostError> {
        for path in [self.working_dir(), self.directory.join("bin")] {
            files::remove_folder(&path)?;
        }
        let log = self.log();
        for path in [
            self.incoming(),
            self.env_file(),
            log.with_extension("log.1"),
            log,
            self.supervisor_lock(),
            self.record(),
        ] {
            files::remove_file(&files::beside(&path))?;
            files::remove_file(&path)?;
        }
        files::remove_empty_folder(&self.directory)
    }
}
