//! The files of `examples/`, and how one folder of them becomes a configuration that Terraform can be run in.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::terraform::Terraform;

pub(crate) const SOURCE: &str = "terraform.local/harness/harness";
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");

/// The repository's folder `examples`.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Every folder below `examples` with a file of Terraform's language in it, by its path there, in order. Those of
/// `terraform test` are no configurations.
pub(crate) fn folders() -> Vec<String> {
    let mut found = Vec::new();
    collect(&examples(), "", &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, below: &str, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // What Terraform leaves behind in a folder begins with a dot.
        if !entry.path().is_dir() || name.starts_with('.') || name == "tests" {
            continue;
        }
        let path = format!("{below}{name}");
        if fs::read_dir(entry.path())
            .expect("readable")
            .flatten()
            .any(|file| is_code(&file.path()))
        {
            into.push(path.clone());
        }
        collect(&entry.path(), &format!("{path}/"), into);
    }
}

fn is_code(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "tf" || end == "hcl")
}

/// Terraform with our provider in a copy of this example, without the files named in `but`.
pub(crate) fn prepared(terraform: Terraform, folder: &str, but: &[&str]) -> Terraform {
    let terraform = terraform.installed(SOURCE, PROGRAM.as_ref());
    copy(&terraform, folder, but);
    terraform
}

/// Copies this example to where Terraform has our provider already.
pub(crate) fn copy(terraform: &Terraform, folder: &str, but: &[&str]) {
    let mut text = String::new();
    for entry in fs::read_dir(examples().join(folder))
        .expect("an example")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() || but.contains(&name.as_str()) {
            continue;
        }
        let content = fs::read_to_string(entry.path()).expect("readable");
        terraform.write(&name, &content);
        text.push_str(&content);
    }
    // A whole configuration names its providers by itself.
    if text.contains("required_providers") {
        terraform.write("providers.tf", "");
    }
}
