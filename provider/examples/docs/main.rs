//! Writes the pages of the registry from the provider's own schemas. Run by `scripts/docs`.
//!
//! `docs ROOT [--check]`: ROOT is the repository. Without `--check` the folder `docs` is made to be what the schemas and
//! `examples` say; with it nothing is written, and a page that differs ends the run with status 1 and its name. A part of
//! the provider without an example is an error of either.
//!
//! `pages` says which page holds what, `reference` renders a schema of the provider, `kinds` what the delegate's task kinds say of
//! themselves, `snippets` finds examples.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

mod kinds;
mod pages;
mod reference;
mod snippets;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use delegate_core::task::Registry;
use harness_provider::HarnessProvider;
use harness_provider::framework::catalog::Catalog;
use snippets::Snippets;

/// The folders that belong to this program: a page in them that no schema asks for goes.
const FOLDERS: [&str; 6] = [
    "resources",
    "data-sources",
    "ephemeral-resources",
    "list-resources",
    "actions",
    "functions",
];

fn main() -> ExitCode {
    match run() {
        Ok(differing) if differing.is_empty() => ExitCode::SUCCESS,
        Ok(differing) => {
            for page in differing {
                eprintln!("not current: docs/{page}");
            }
            eprintln!("run scripts/docs, and commit what it writes");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The pages that differ and were not to be written.
fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let root = PathBuf::from(words.next().ok_or("the repository's folder must be named")?);
    let check = match words.next().as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => return Err(format!("unknown argument {other:?}").into()),
    };
    let snippets = Snippets::read(&root.join("examples"))?;
    let mut wanted = pages::all(&Catalog::of(&HarnessProvider), &snippets)?;
    wanted.insert(kinds::PAGE.to_owned(), kinds::page(&Registry::standard())?);
    let docs = root.join("docs");
    let present = present(&docs)?;
    let mut differing = Vec::new();
    for (name, text) in &wanted {
        if present.get(name) != Some(text) {
            differing.push(name.clone());
        }
    }
    differing.extend(present.keys().filter(|name| !wanted.contains_key(*name)).cloned());
    if check {
        return Ok(differing);
    }
    for name in differing {
        let file = docs.join(&name);
        if let Some(text) = wanted.get(&name) {
            fs::create_dir_all(file.parent().unwrap_or(&docs))?;
            fs::write(&file, text)?;
            println!("wrote docs/{name}");
        } else {
            fs::remove_file(&file)?;
            println!("removed docs/{name}");
        }
    }
    Ok(Vec::new())
}

/// The pages that are there and are this program's, by their path below `docs`.
fn present(docs: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut names = [pages::INDEX, pages::EXAMPLES, kinds::PAGE]
        .map(str::to_owned)
        .to_vec();
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(docs.join(folder)) else {
            continue;
        };
        for entry in entries {
            names.push(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    let mut pages = BTreeMap::new();
    for name in names {
        if let Ok(text) = fs::read_to_string(docs.join(&name)) {
            pages.insert(name, text);
        }
    }
    Ok(pages)
}
