//! What becomes of the next version outside: a file, a tag. Nothing that the data does not ask for.

use std::path::Path;

use super::data::{Data, Source};
use super::git::Folder;
use super::source::Found;
use super::{Ended, Next};
use crate::task::{Level, TaskContext, TaskError};

/// Writes the file, makes the tag and pushes it; returns the tag. An error says what was done before it. `keeps`: the
/// commit has its tag.
pub(super) async fn record(
    context: &TaskContext,
    data: &Data,
    found: &Found,
    folder: Option<&Folder<'_>>,
    next: &Next,
    keeps: bool,
) -> Result<Option<String>, Ended> {
    let mut done = Vec::new();
    let version = format!("{}{}", data.prefix(), next.version);
    if let Some(write) = &data.write {
        let text = match (&data.from, &found.file) {
            (Source::File(file), Some((text, place))) if file.path == write.file => {
                format!("{}{version}{}", &text[..place.start], &text[place.end..])
            }
            _ => format!("{version}\n"),
        };
        replace(&write.file, text).await?;
        done.push(format!("{} has {version}", write.file.display()));
    }
    let tag = data.tag == Some(true);
    let Some(folder) = folder.filter(|_| tag && (keeps || next.is_new)) else {
        said(context, &done).await;
        return Ok(None);
    };
    if keeps {
        done.push(format!("the commit has the tag {version} already"));
    } else {
        folder.tag(&version).await.map_err(|ended| after(&done, ended))?;
        done.push(format!("the commit has the new tag {version}"));
    }
    if data.push == Some(true) {
        folder.push(&version).await.map_err(|ended| after(&done, ended))?;
        done.push(format!("{version} is pushed to origin"));
    }
    said(context, &done).await;
    Ok(Some(version))
}

async fn said(context: &TaskContext, done: &[String]) {
    for line in done {
        context.log.line(Level::Info, line).await;
    }
}

/// The same end, and what was done before it.
fn after(done: &[String], ended: Ended) -> Ended {
    match ended {
        Ended::Task(mut output) if !done.is_empty() => {
            let problem = output.error_message.unwrap_or_default();
            let done = done.join(", ");
            output.error_message = Some(format!(
                "{problem} (done before: {done}; running the task again is safe)"
            ));
            Ended::Task(output)
        }
        ended => ended,
    }
}

/// In one step: whoever reads the file sees the old text or the new one. It keeps its mode; a link is followed.
async fn replace(path: &Path, text: String) -> Result<(), TaskError> {
    let action = format!("write {}", path.display());
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let path = path.canonicalize().unwrap_or(path);
        let folder = path.parent().unwrap_or(Path::new("/"));
        let file = tempfile::NamedTempFile::new_in(folder)?;
        std::fs::write(file.path(), text)?;
        let mode = std::fs::metadata(&path).map(|old| old.permissions());
        #[cfg(unix)]
        let mode = mode.unwrap_or_else(|_| std::os::unix::fs::PermissionsExt::from_mode(0o644));
        #[cfg(unix)]
        std::fs::set_permissions(file.path(), mode)?;
        #[cfg(not(unix))]
        drop(mode);
        file.persist(&path).map(drop).map_err(|error| error.error)
    });
    written
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(TaskError::io(action))
}
