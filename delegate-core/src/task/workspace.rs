//! Paths in task data: a relative one is in the delegate's workspace, the folder that tasks share and that stays; an
//! absolute one is what it is.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use super::TaskError;
use crate::process::User;

/// Longest path of most systems.
const MAX_PATH_BYTES: usize = 4096;

/// Places that a task of this process works at. Another one that is to work there waits: two gits in one folder, or two
/// helms on one release, fail.
static AT_WORK: LazyLock<Mutex<BTreeMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>> =
    LazyLock::new(Mutex::default);

/// What a field of task data says a file or folder is, normalized: no `.`, no `..`. Looks at nothing. `field` is the path
/// of the field.
pub(super) fn read(field: &str, text: &str) -> Result<PathBuf, TaskError> {
    let wrong = |problem: &str| Err(TaskError::data(field, problem));
    if text.is_empty() {
        return wrong("is empty; give a path");
    }
    if text.len() > MAX_PATH_BYTES {
        return wrong("is longer than any path may be");
    }
    if text.contains(char::is_control) {
        return wrong("contains a control character");
    }
    let mut path = PathBuf::new();
    let mut names = 0;
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => {
                path.push(name);
                names += 1;
            }
            Component::ParentDir => return wrong("contains `..`; name the place itself"),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => path.push(component),
        }
    }
    if names == 0 {
        return wrong("must be a place of its own, below the workspace or the root");
    }
    Ok(path)
}

/// Where a path of task data is on this machine.
#[derive(Debug)]
pub(super) struct Place {
    field: &'static str,
    path: PathBuf,
    /// The workspace, when it is in there.
    workspace: Option<PathBuf>,
}

impl Place {
    /// The place of a path that [`read`] has read.
    pub(super) fn of(
        field: &'static str,
        path: PathBuf,
        workspace: Option<&Path>,
    ) -> Result<Self, TaskError> {
        if path.is_absolute() {
            return Ok(Self {
                field,
                path,
                workspace: None,
            });
        }
        let Some(workspace) = workspace else {
            return Err(TaskError::data(
                field,
                "is relative, and this delegate has no workspace; give an absolute path",
            ));
        };
        Ok(Self {
            field,
            path: workspace.join(path),
            workspace: Some(workspace.to_owned()),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other task of this delegate works there, and keeps others away for as long as the guard lives.
    pub(super) async fn alone(&self) -> OwnedMutexGuard<()> {
        alone(self.path().to_owned()).await
    }

    /// What is wrong with it, for the error of its field.
    pub(super) fn wrong(&self, problem: impl std::fmt::Display) -> TaskError {
        TaskError::data(self.field, format!("{} {problem}", self.path.display()))
    }

    /// Makes the workspace, when it is in there, and makes sure that no link leads out of it.
    pub(super) async fn enter(&self, user: Option<&User>) -> Result<(), TaskError> {
        let Some(workspace) = &self.workspace else {
            return Ok(());
        };
        make(workspace, user).await?;
        let (path, workspace) = (self.path.clone(), workspace.clone());
        let below = tokio::task::spawn_blocking(move || is_below(&path, &workspace));
        match below.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.wrong("leads out of the workspace by a symbolic link")),
            Err(error) => Err(self.wrong(format_args!("cannot be read: {error}"))),
        }
    }
}

/// Waits until no other task of this delegate works at a place, which need not be on this machine, and keeps others away for as
/// long as the guard lives.
pub(super) async fn alone(place: PathBuf) -> OwnedMutexGuard<()> {
    let lock = {
        let mut at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.retain(|_, lock| lock.strong_count() > 0);
        let known = at_work.get(&place).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let lock = Arc::default();
            at_work.insert(place, Arc::downgrade(&lock));
            lock
        })
    };
    lock.lock_owned().await
}

/// Whether the part of `path` that exists is really below `workspace`.
fn is_below(path: &Path, workspace: &Path) -> io::Result<bool> {
    let workspace = workspace.canonicalize()?;
    for ancestor in path.ancestors() {
        match ancestor.symlink_metadata() {
            // A link that leads nowhere is followed by whoever makes something there.
            Ok(meta) if meta.is_symlink() && !ancestor.exists() => return Ok(false),
            Ok(_) => return Ok(ancestor.canonicalize()?.starts_with(&workspace)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Makes the workspace. It belongs to the user of tasks, where they have one.
pub(super) async fn make(workspace: &Path, user: Option<&User>) -> Result<(), TaskError> {
    let action = format!("make the workspace {}", workspace.display());
    let (workspace, user) = (workspace.to_owned(), user.cloned());
    let made = tokio::task::spawn_blocking(move || {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&workspace)?;
        #[cfg(unix)]
        if let Some(user) = user {
            std::os::unix::fs::chown(&workspace, Some(user.uid), Some(user.gid))?;
        }
        #[cfg(not(unix))]
        drop(user);
        Ok(())
    });
    made.await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(TaskError::io(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_in_the_workspace_or_absolute() {
        let path = |text| Place::of("f", read("f", text)?, Some(Path::new("/w"))).map(|place| place.path);
        assert_eq!(path("team/app").unwrap(), Path::new("/w/team/app"));
        assert_eq!(path("./app/").unwrap(), Path::new("/w/app"));
        assert_eq!(path("/srv/./app/").unwrap(), Path::new("/srv/app"));
        for (text, words) in [
            ("", "is empty"),
            (".", "place of its own"),
            ("/", "place of its own"),
            ("../app", "contains `..`"),
            ("a/../../b", "contains `..`"),
            ("/srv/../etc", "contains `..`"),
            ("a\0b", "control character"),
            ("a\nb", "control character"),
        ] {
            let problem = path(text).unwrap_err().to_string();
            assert!(problem.contains(words), "{text:?}: {problem}");
        }
        let none = Place::of("f", "app".into(), None).unwrap_err().to_string();
        assert!(none.contains("has no workspace"), "{none}");
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("w");
        std::fs::create_dir_all(workspace.join("in")).unwrap();
        for (link, to) in [
            ("out", dir.path().to_owned()),
            ("nowhere", dir.path().join("x")),
            ("around", workspace.join("in")),
        ] {
            std::os::unix::fs::symlink(to, workspace.join(link)).unwrap();
        }
        let below = |name: &str| is_below(&workspace.join(name), &workspace).unwrap();
        assert!(below("in") && below("new") && below("in/new/er") && below("around/new"));
        assert!(!below("out") && !below("out/new") && !below("nowhere"));
    }
}
