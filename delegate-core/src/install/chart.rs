//! The Helm chart, carried inside the program: whoever has the program can install, without a chart repository.
//!
//! The chart lies in the crate's folder `chart/`; the build script lists what is in it. This module only unpacks it
//! ([`write_to`]) and names the exact content ([`digest`]); running Helm on it is the caller's work.

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

/// The chart's name in `Chart.yaml`, and of the folder [`write_to`] makes.
pub const NAME: &str = "harness-delegate";

/// The chart's version and application version in `Chart.yaml`: those of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Paths inside the chart, with `/`, sorted, and what is in the files.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/chart_files.rs"));

/// Most bytes of a chart that is looked at; Helm itself takes no larger one.
const MAX_CHART: u64 = 20 * 1024 * 1024;

/// Most files of one; a delegate's chart has about twenty.
const MAX_FILES: usize = 10_000;

/// Unpacks the chart into a new folder inside `dir`, which must exist, and returns that folder.
///
/// # Errors
/// Whatever the file system says; `AlreadyExists` when the folder is there, because a file left over from another version
/// would become part of the chart.
pub fn write_to(dir: &Path) -> io::Result<PathBuf> {
    let chart = dir.join(NAME);
    fs::create_dir(&chart)?;
    for (name, content) in FILES {
        let path = chart.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, content)?;
    }
    Ok(chart)
}

/// SHA-256 of all names and contents, in lower-case hexadecimal: changes with any change of the chart, and with nothing else.
pub fn digest() -> String {
    digest_of(FILES)
}

/// The same of a chart on this machine, a folder or a packed one.
///
/// # Errors
/// Whatever the file system says; `FileTooLarge` beyond [`MAX_CHART`], which no chart reaches.
pub fn digest_of_path(path: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    let mut size = 0_u64;
    let mut open = vec![path.to_owned()];
    while let Some(next) = open.pop() {
        if next.is_dir() {
            for entry in fs::read_dir(&next)? {
                open.push(entry?.path());
            }
            continue;
        }
        size += next.metadata()?.len();
        if size > MAX_CHART || files.len() >= MAX_FILES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let name = next.strip_prefix(path).unwrap_or(&next).display().to_string();
        files.push((name, fs::read(&next)?));
    }
    files.sort();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    Ok(digest_of(&files))
}

fn digest_of(files: &[(&str, &[u8])]) -> String {
    let mut hash = Sha256::new();
    for (name, content) in files {
        // Lengths first, so that no two lists of files have the same bytes.
        for part in [name.as_bytes(), content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn files_in(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(
                        path.strip_prefix(root).unwrap().to_owned(),
                        fs::read(&path).unwrap(),
                    );
                }
            }
        }
        found
    }

    #[test]
    fn the_unpacked_chart_is_the_folder_it_was_built_from() {
        let dir = tempfile::tempdir().unwrap();
        let written = write_to(dir.path()).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("chart");
        assert_eq!(files_in(&written), files_in(&source));
        assert!(written.join("Chart.yaml").is_file());
    }

    #[test]
    fn a_folder_that_is_there_already_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let chart = dir.path().join(NAME);
        fs::create_dir(&chart).unwrap();
        assert_eq!(
            write_to(dir.path()).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_dir(chart).unwrap().count(), 0);
    }

    #[test]
    fn the_version_is_the_one_in_the_chart() {
        let (_, chart) = FILES.iter().find(|(name, _)| *name == "Chart.yaml").unwrap();
        let chart = str::from_utf8(chart).unwrap();
        for line in [
            format!("name: {NAME}"),
            format!("version: {VERSION}"),
            format!("appVersion: \"{VERSION}\""),
        ] {
            assert!(
                chart.lines().any(|have| have == line),
                "Chart.yaml has no line {line:?}"
            );
        }
    }

    #[test]
    fn a_chart_on_this_machine_has_the_digest_of_the_same_content() {
        let dir = tempfile::tempdir().unwrap();
        let written = write_to(dir.path()).unwrap();
        assert_eq!(digest_of_path(&written).unwrap(), digest());
        fs::write(written.join("templates/more.yaml"), "a: b").unwrap();
        assert_ne!(digest_of_path(&written).unwrap(), digest());
        let packed = dir.path().join("chart.tgz");
        fs::write(&packed, "x").unwrap();
        assert_eq!(digest_of_path(&packed).unwrap(), digest_of(&[("", b"x")]));
        assert!(digest_of_path(&dir.path().join("none")).is_err());
    }

    #[test]
    fn the_digest_tells_apart_what_is_not_the_same() {
        let files: &[&[(&str, &[u8])]] = &[
            &[("a", b"bc")],
            &[("ab", b"c")],
            &[("a", b"b"), ("c", b"")],
            &[("a", b"")],
            &[],
        ];
        let digests: std::collections::BTreeSet<_> = files.iter().map(|files| digest_of(files)).collect();
        assert_eq!(digests.len(), files.len());
        assert_eq!(digest().len(), 64);
        assert_eq!(digest(), digest());
    }
}
