//! The versions there are.

use std::ops::Range;
use std::path::Path;

use regex::Regex;

use super::data::{Data, Source};
use super::{Ended, git};
use crate::task::{TaskContext, TaskError};

/// The largest file that a version is looked for in: those that have one are small.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What was found.
pub(super) struct Found {
    /// Without their prefix.
    pub(super) versions: Vec<String>,
    /// There can be one only.
    pub(super) is_single: bool,
    /// Where, for a sentence.
    pub(super) from: String,
    /// Of a file: its text, and where the version is in it, prefix included.
    pub(super) file: Option<(String, Range<usize>)>,
}

pub(super) async fn find(context: &TaskContext, data: &Data) -> Result<Found, Ended> {
    let prefix = data.prefix();
    match &data.from {
        Source::Value(value) => Ok(Found {
            versions: without_prefix(
                [value.clone()].into_iter().filter(|text| !text.is_empty()),
                prefix,
            ),
            is_single: true,
            from: "the data".to_owned(),
            file: None,
        }),
        Source::Tags(tags) => Ok(Found {
            versions: without_prefix(git::tags(context, tags).await?, prefix),
            is_single: false,
            from: "the repository".to_owned(),
            file: None,
        }),
        Source::File(file) => {
            let from = file.path.display().to_string();
            let text = read(&file.path).await?;
            let place = place(&text, &file.regex()?).ok_or_else(|| {
                Ended::failure(format!("{from} has nothing that `from.file.pattern` matches"))
            })?;
            let version = text[place.clone()].to_owned();
            Ok(Found {
                versions: without_prefix([version].into_iter().filter(|text| !text.is_empty()), prefix),
                is_single: true,
                from,
                file: Some((text, place)),
            })
        }
    }
}

/// Those of some texts that begin with the prefix, without it.
pub(super) fn without_prefix(texts: impl IntoIterator<Item = String>, prefix: &str) -> Vec<String> {
    let texts = texts.into_iter();
    texts
        .filter_map(|text| text.strip_prefix(prefix).map(str::to_owned))
        .collect()
}

fn place(text: &str, regex: &Regex) -> Option<Range<usize>> {
    regex.captures(text)?.get(1).map(|version| version.range())
}

async fn read(path: &Path) -> Result<String, Ended> {
    use tokio::io::AsyncReadExt as _;
    let reading = async {
        let file = tokio::fs::File::open(path).await?;
        let mut text = String::new();
        file.take(LARGEST_FILE + 1).read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    let text = reading
        .await
        .map_err(TaskError::io(format!("read {}", path.display())))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(Ended::failure(format!("{} is larger than 1 MiB", path.display())));
    }
    Ok(text)
}
