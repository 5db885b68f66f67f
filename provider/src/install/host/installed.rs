//! Which delegates a machine has, in the folder where installations are put that name none.
//!
//! It looks and changes nothing. What cannot be read there, another user's for instance, is left out.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use delegate_core::install::host::{Record, observe};

use super::{Facts, MachineError};

/// Asks another machine: two lines a delegate found below `$1`, the file of its record and what is in it.
pub(super) const QUESTION: &str = r#"[ -e "$1" ] || exit 44; [ -r "$1" ] && [ -x "$1" ] || exit 45; for f in "$1"/*/installation.json; do if [ -r "$f" ]; then printf "%s\n" "$f"; tr -d "\n" <"$f"; echo; fi; done; exit 0"#;

/// The names of those on this machine.
///
/// # Errors
/// When the folder cannot be looked into.
pub(super) fn here(facts: &Facts) -> Result<Vec<String>, MachineError> {
    let base = facts.default_base();
    let entries = match std::fs::read_dir(&base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(MachineError::Closed { path: base, source }),
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let directory = entry.path();
        match observe(&directory) {
            Ok(Some(seen)) => names.extend(name_of(facts, &directory, &seen.record)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(), "a folder was left out of the listing");
            }
        }
    }
    Ok(names)
}

/// The names in the answer to [`QUESTION`].
pub(super) fn of_answer(facts: &Facts, text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let mut names = Vec::new();
    while let (Some(file), Some(record)) = (lines.next(), lines.next()) {
        let directory = PathBuf::from(file);
        let directory = directory.parent().unwrap_or(&directory);
        match serde_json::from_str::<Record>(record) {
            Ok(record) => names.extend(name_of(facts, directory, &record)),
            Err(error) => tracing::warn!(%error, file, "a folder was left out of the listing"),
        }
    }
    names
}

/// A folder of another name cannot be found again by the delegate's.
fn name_of(facts: &Facts, directory: &Path, record: &Record) -> Option<String> {
    (facts.default_directory(&record.name) == directory).then(|| record.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_what_is_none_and_from_what_is_elsewhere() {
        let facts = Facts {
            id: "0123".into(),
            processor: "x86_64".into(),
            root: true,
            home: "/root".into(),
            systemd: false,
        };
        let stamp = r#"{"path":"/p","size":1,"modified":1}"#;
        let record = |name: &str| {
            format!(
                r#"{{"name":"{name}","version":"1","service":"process","binary_digest":"0","source":{stamp},"installed":{stamp}}}"#
            )
        };
        let text = [
            ("team-a", record("team-a")),
            ("renamed", record("team-b")),
            ("damaged", "{".to_owned()),
            ("team-c", record("team-c")),
        ]
        .map(|(folder, record)| format!("/var/lib/harness-delegate/{folder}/installation.json\n{record}\n"))
        .concat();
        assert_eq!(of_answer(&facts, &text), ["team-a", "team-c"]);
        assert_eq!(of_answer(&facts, ""), Vec::<String>::new());
    }
}
