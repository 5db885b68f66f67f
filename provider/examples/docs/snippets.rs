//! The examples, in the registry's layout: which files belong to which part, and the whole configurations beside them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Folders in the registry's layout; every other one that holds a `main.tf` is a whole configuration.
const LAYOUT: [&str; 8] = [
    "provider",
    "resources",
    "data-sources",
    "ephemeral-resources",
    "list-resources",
    "actions",
    "functions",
    "modules",
];

/// The longest path below `examples` that is looked at; deeper ones are something Terraform left behind.
const DEEPEST: usize = 4;

/// Every example, by its path below `examples`.
#[derive(Debug, Default)]
pub(crate) struct Snippets(BTreeMap<String, String>);

impl Snippets {
    /// Reads the folder `examples`.
    ///
    /// # Errors
    /// When a file or a folder cannot be read.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        collect(folder, "", &mut found)?;
        Ok(Self(found))
    }

    /// The example of this path.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The files of a folder, by their path below `examples`.
    pub(crate) fn in_folder(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{folder}/");
        self.0
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The whole configurations: their folder and their `main.tf`.
    pub(crate) fn configurations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(path, text)| {
            let folder = path.strip_suffix("/main.tf")?;
            let first = folder.split('/').next()?;
            (!LAYOUT.contains(&first)).then_some((folder, text.as_str()))
        })
    }

    /// Adds an example, for a test.
    #[allow(dead_code, reason = "the program reads a folder")]
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path.to_owned(), text.to_owned());
        self
    }
}

fn collect(folder: &Path, below: &str, into: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        // What Terraform leaves behind begins with a dot.
        if name.starts_with('.') || path.split('/').count() > DEEPEST {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &path, into)?;
        } else if [".tf", ".hcl", ".sh"].iter().any(|end| name.ends_with(end)) {
            into.insert(path, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}
