//! A real repository.

use std::path::PathBuf;

use crate::git_server::git;

/// A repository and the bare one it pushes to. Both go with the test.
pub(super) struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    pub(super) fn new() -> Self {
        let repository = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let (work, bare) = (repository.work(), repository.bare());
        let begin = ["init", "--quiet", "--initial-branch=main"];
        git(
            repository.dir.path(),
            &[&begin[..], &["--bare", bare.to_str().unwrap()]].concat(),
        );
        git(
            repository.dir.path(),
            &[&begin[..], &[work.to_str().unwrap()]].concat(),
        );
        repository.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        repository
    }

    pub(super) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(super) fn bare(&self) -> PathBuf {
        self.dir.path().join("bare.git")
    }

    pub(super) fn commit(&self, message: &str) {
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        git(&self.work(), args)
    }
}
