//! A real repository.

use std::path::{Path, PathBuf};
use std::process::Command;

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
        repository.git_in(
            repository.dir.path(),
            &["init", "-q", "--bare", bare.to_str().unwrap()],
        );
        repository.git_in(repository.dir.path(), &["init", "-q", work.to_str().unwrap()]);
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
        self.git_in(&self.work(), args)
    }

    /// Without any settings but these.
    pub(super) fn git_in(&self, folder: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(args)
            .current_dir(folder)
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // Set where the tests run from a hook of git.
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
