//! The folder that is brought to a commit.

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::OwnedMutexGuard;

use super::address::Address;
use super::git::Git;
use crate::task::halt::Halt;
use crate::task::workspace::{self, Place};
use crate::task::{TaskContext, TaskError};

const FIELD: &str = "directory";

/// What git keeps its own files in.
const OWN_FOLDER: &str = ".git";

/// What is in the folder before anything is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, or what a first run left that was cut off at once.
    Fresh,
    /// A clone of the repository that is asked for.
    Clone,
}

/// Reads the field; looks at nothing.
pub(super) fn read(directory: &str) -> Result<PathBuf, TaskError> {
    let folder = workspace::read(FIELD, directory)?;
    if folder.components().any(|name| name.as_os_str() == OWN_FOLDER) {
        return Err(TaskError::data(
            FIELD,
            "leads into the folder in which git keeps its own files",
        ));
    }
    Ok(folder)
}

/// Where the clone goes.
#[derive(Debug)]
pub(super) struct Target(Place);

impl Target {
    /// The folder that [`read`] has read.
    pub(super) fn of(folder: PathBuf, workspace: Option<&Path>) -> Result<Self, TaskError> {
        Place::of(FIELD, folder, workspace).map(Self)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// See [`Place::alone`].
    pub(super) async fn alone(&self) -> OwnedMutexGuard<()> {
        self.0.alone().await
    }

    /// Looks at the folder, and changes nothing in it.
    pub(super) async fn look(
        &self,
        git: &Git<'_>,
        address: &Address,
        context: &TaskContext,
    ) -> Result<State, Halt> {
        self.0.enter(context.confinement.user.as_ref()).await?;
        let path = self.path().to_owned();
        let listed = tokio::task::spawn_blocking(move || entries(&path));
        let entries = match listed.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(self.0.wrong("is no folder").into());
            }
            Err(error) => return Err(self.0.wrong(format_args!("cannot be read: {error}")).into()),
        };
        let other = "is not empty, and no clone of this repository; choose another folder, or empty it";
        match entries {
            Entries::None => return Ok(State::Fresh),
            Entries::WithoutGit => return Err(self.0.wrong(other).into()),
            Entries::OnlyGit | Entries::WithGit => {}
        }
        let (asked, doing) = (["remote", "get-url", "origin"], "looking at the folder");
        match git.try_ask(Some(self.path()), &asked, doing).await? {
            // Never shown: it is somebody else's, and may hold a login.
            Ok(url) if address.is(url.trim()) => Ok(State::Clone),
            Err(complaint) if complaint.contains("dubious ownership") => Err(git.failure(doing, &complaint)),
            Err(_) if entries == Entries::OnlyGit => Ok(State::Fresh),
            _ => Err(self.0.wrong(other).into()),
        }
    }
}

/// What is in a folder.
#[derive(Debug, PartialEq, Eq)]
enum Entries {
    None,
    OnlyGit,
    WithGit,
    WithoutGit,
}

fn entries(path: &Path) -> io::Result<Entries> {
    let listing = match std::fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entries::None),
        Err(error) => return Err(error),
    };
    let (mut git, mut others) = (false, false);
    for entry in listing {
        if entry?.file_name() == OWN_FOLDER {
            git = true;
        } else {
            others = true;
        }
    }
    Ok(match (git, others) {
        (false, false) => Entries::None,
        (true, false) => Entries::OnlyGit,
        (true, true) => Entries::WithGit,
        (false, true) => Entries::WithoutGit,
    })
}
