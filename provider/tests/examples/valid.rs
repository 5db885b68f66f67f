//! Every example is one that Terraform takes.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use harness_provider::HarnessProvider;
use harness_provider::framework::catalog::{Catalog, Content};

use crate::files::{examples, folders, prepared};
use crate::terraform::Terraform;

/// What Terraform 1.11, the oldest that the examples are for, cannot read; see `opentofu` for it.
const NEWER: &str = "import-by-identity.tf";

/// Terraforms at a time, each of which starts the provider; two cores are not kept busier by more.
const AT_ONCE: usize = 3;

#[tokio::test]
async fn every_example_validates() {
    if Terraform::here().await.is_none() {
        return;
    }
    let folders = folders();
    assert!(folders.len() >= 8, "{folders:?}");
    let runs = stream::iter(folders).map(async |folder| {
        let terraform = Terraform::here().await.expect("as before");
        let terraform = prepared(terraform, &folder, &[NEWER]);
        let run = terraform.validate().await;
        (!run.status.success()).then(|| format!("examples/{folder}: {run}"))
    });
    let faults: Vec<String> = runs
        .buffer_unordered(AT_ONCE)
        .filter_map(async |fault| fault)
        .collect()
        .await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// That an example which is wrong is found by the test above.
#[tokio::test]
async fn an_example_with_a_wrong_argument_is_found() {
    let Some(terraform) = Terraform::here().await else {
        return;
    };
    let terraform = prepared(terraform, "resources/harness_delegate", &[NEWER]);
    terraform.write(
        "wrong.tf",
        "resource \"harness_delegate\" \"wrong\" {\n  nmae = \"x\"\n}\n",
    );
    assert!(terraform.validate().await.fails().contains("nmae"));
}

#[test]
fn every_resource_that_can_be_imported_shows_all_three_ways() {
    for part in Catalog::of(&HarnessProvider).parts {
        if let Content::Resource(_, Some(_)) = part.content {
            for file in ["import.sh", "import-by-string-id.tf", NEWER] {
                let path = format!("resources/{}/{file}", part.name);
                assert!(examples().join(&path).is_file(), "examples/{path} is missing");
            }
        }
    }
}

/// The folders of the registry's layout that hold examples of parts.
#[test]
fn no_example_is_of_a_part_that_is_not_there() {
    let catalog = Catalog::of(&HarnessProvider);
    let known: BTreeSet<String> = catalog
        .parts
        .iter()
        .map(|part| {
            let folder = match part.content {
                Content::Resource(..) => "resources",
                Content::DataSource(_) => "data-sources",
                Content::EphemeralResource(_) => "ephemeral-resources",
                Content::ListResource(_) => "list-resources",
                Content::Action(_) => "actions",
                Content::Function(_) => "functions",
            };
            format!("{folder}/{}", part.name)
        })
        .collect();
    let kinds: BTreeSet<&str> = known.iter().filter_map(|path| path.split('/').next()).collect();
    for folder in folders() {
        let first = folder.split('/').next().unwrap_or_default();
        assert!(
            !kinds.contains(first) || known.contains(&folder),
            "examples/{folder} is of nothing that the provider has"
        );
    }
}
