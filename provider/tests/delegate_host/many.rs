//! Several delegates and several managers in one apply.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{Case, PROGRAM, SOURCE, TOKEN, TOKEN_VARIABLE, resource_as};
use crate::host::Host;
use crate::manager::{self, Manager, unique};
use crate::terraform::Terraform;

/// Delegates of one apply.
const MANY: usize = 100;

/// As many as Terraform is told to work on at once.
const AT_ONCE: usize = 20;

/// The program without what a debugger wants: a hundred of them would fill a disk. As it is where there is no `strip`.
fn lean_program(to: &Path) -> PathBuf {
    let from = manager::program();
    let stripped = Command::new("strip").arg("-o").arg(to).arg(&from).status();
    match stripped {
        Ok(status) if status.success() => to.to_owned(),
        _ => from,
    }
}

#[tokio::test]
async fn a_hundred_delegates_are_installed_in_one_apply() {
    let Some(case) = Case::new("many").await else {
        return;
    };
    let binary = lean_program(&case.terraform.path("harness-delegate"));
    case.write(&format!(
        "resource \"harness_delegate\" \"many\" {{\n  count = {MANY}\n  name = \"{}-${{count.index}}\"\n  {TOKEN}\n  \
         host = {{ directory = \"{}/${{count.index}}\", service = \"process\", binary = \"{}\" }}\n}}\n",
        case.name,
        case.host.path(),
        binary.display()
    ));
    let parallel = format!("-parallelism={AT_ONCE}");
    case.terraform
        .run(&["apply", "-no-color", "-auto-approve", &parallel])
        .await
        .succeeds();
    case.terraform.assert_settled().await;
    assert_eq!(
        (
            case.host.running("supervise").len(),
            case.host.running("run").len()
        ),
        (MANY, MANY)
    );
    let last = format!("{}-{}", case.name, MANY - 1);
    let result = case.manager.run_task("echo $((1 + 1))", &last).await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    case.terraform
        .run(&["destroy", "-no-color", "-auto-approve", &parallel])
        .await
        .succeeds();
    assert_eq!(case.host.processes(), []);
    let left: Vec<_> = fs::read_dir(case.host.path())
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn two_providers_lead_to_two_managers() {
    let Some(terraform) = Terraform::here().await else {
        return;
    };
    let terraform = terraform.installed(SOURCE, PROGRAM.as_ref());
    let (mut text, mut parts) = (TOKEN_VARIABLE.to_owned(), Vec::new());
    for label in ["one", "two"] {
        let (manager, host, name) = (Manager::start().await, Host::new(), unique(label));
        text.push_str(&format!(
            "provider \"harness\" {{\n  alias = \"{label}\"\n  endpoint = \"{}\"\n  account_id = \"{}\"\n}}\n",
            manager.url, manager.account
        ));
        text.push_str(&resource_as(
            label,
            &name,
            &format!(
                "provider = harness.{label}\n  token = \"{}\"\n  host = {{ directory = \"{}\", service = \"process\" }}",
                manager.token,
                host.path()
            ),
        ));
        parts.push((manager, host, name));
    }
    let terraform = terraform.env("TF_VAR_delegate_token", "unused");
    terraform.write("main.tf", &text);
    terraform.apply().await.succeeds();
    terraform.assert_settled().await;
    for (at, (manager, host, name)) in parts.iter().enumerate() {
        assert_eq!(manager.delegates(name).await.len(), 1);
        assert_eq!(manager.delegates(&parts[1 - at].2).await.len(), 0);
        host.assert_one_delegate();
    }
    terraform.destroy().await.succeeds();
    for (_, host, _) in &parts {
        host.assert_gone();
    }
}

#[tokio::test]
async fn the_same_delegate_twice_is_refused_before_anything_is_made() {
    let Some(case) = Case::new("double").await else {
        return;
    };
    let place = format!(
        "{TOKEN}\n  host = {{ directory = \"{}\", service = \"process\" }}",
        case.host.path()
    );
    let other = unique("other");
    case.write(
        &[
            resource_as("this", &case.name, &place),
            resource_as("second", &other, &place),
        ]
        .concat(),
    );
    let error = case.terraform.run(&["plan", "-no-color"]).await.fails();
    for part in ["The same delegate twice", &case.name, &other] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    assert!(!case.host.directory.exists());
    // One that is there already keeps its place.
    case.write(&resource_as("this", &case.name, &place));
    case.terraform.apply().await.succeeds();
    case.write(
        &[
            resource_as("this", &case.name, &format!("{place}\n  tags = [\"x\"]")),
            resource_as("second", &other, &place),
        ]
        .concat(),
    );
    let error = case.terraform.apply().await.fails();
    assert!(error.contains(&case.name), "{error}");
    case.write(&resource_as(
        "this",
        &case.name,
        &format!("{place}\n  tags = [\"x\"]"),
    ));
    case.assert_heals().await;
    case.assert_removed().await;
}
