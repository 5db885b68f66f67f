//! The real Terraform against the real program: started by Terraform, and attached to.
//!
//! Needs `terraform` on the PATH; without it the tests say so and do nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

#[path = "support/plugin_client.rs"]
mod plugin_client;

use std::{fs, os::unix::fs::symlink, path::Path, process::Output};

use plugin_client::{host_command, patiently};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");
const SOURCE: &str = "terraform.local/harness/harness";

/// An empty configuration that needs the provider, in a directory of its own.
fn configuration() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "terraform {{\n  required_providers {{\n    harness = {{ source = \"{SOURCE}\" }}\n  }}\n}}\nprovider \"harness\" {{}}\n"
    );
    fs::write(directory.path().join("main.tf"), text).expect("writable");
    // A directory with nothing but the program: beside it, the build leaves files that Terraform takes for it.
    let programs = directory.path().join("programs");
    fs::create_dir(&programs).expect("a directory");
    symlink(PROGRAM, programs.join("terraform-provider-harness")).expect("a link");
    let text = format!(
        "provider_installation {{\n  dev_overrides {{\n    \"{SOURCE}\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
        programs.display()
    );
    fs::write(directory.path().join("cli.tfrc"), text).expect("writable");
    directory
}

fn terraform(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("terraform");
    command
        .args(arguments)
        .current_dir(directory)
        .env("TF_CLI_CONFIG_FILE", directory.join("cli.tfrc"))
        .env("CHECKPOINT_DISABLE", "1")
        .env("TF_IN_AUTOMATION", "1")
        .env("TMPDIR", directory)
        .env_remove("TF_LOG");
    command
}

async fn run(command: &mut Command) -> Output {
    patiently("terraform", command.output())
        .await
        .expect("terraform runs")
}

fn assert_success(output: &Output) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
}

/// Whether there is a Terraform to test with; says so when there is none.
async fn terraform_is_here() -> bool {
    let here = Command::new("terraform").arg("version").output().await.is_ok();
    if !here {
        eprintln!("SKIPPED: `terraform` is not on the PATH");
    }
    here
}

fn has_schema(output: &Output) -> bool {
    let schemas: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    schemas["provider_schemas"][SOURCE]["provider"].is_object()
}

/// What providers left in the directory that is Terraform's TMPDIR.
fn leftovers(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .expect("readable")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.starts_with("tfplugin-"))
        .collect()
}

#[tokio::test]
async fn terraform_starts_it_with_mutual_tls_reads_its_schema_and_need_not_kill_it() {
    if !terraform_is_here().await {
        return;
    }
    let directory = configuration();
    let output = run(&mut terraform(
        directory.path(),
        &["providers", "schema", "-json"],
    ))
    .await;
    assert_success(&output);
    assert!(has_schema(&output), "{}", String::from_utf8_lossy(&output.stdout));
    // A process that does not end by itself is killed after two seconds, and leaves its socket behind.
    assert_eq!(leftovers(directory.path()), Vec::<String>::new());
}

#[tokio::test]
async fn terraform_runs_it_without_plugin_tls_too() {
    if !terraform_is_here().await {
        return;
    }
    let directory = configuration();
    let mut command = terraform(directory.path(), &["providers", "schema", "-json"]);
    let output = run(command.env("TF_DISABLE_PLUGIN_TLS", "1")).await;
    assert_success(&output);
    assert!(has_schema(&output));
}

#[tokio::test]
async fn terraform_takes_its_log_lines_as_what_they_are() {
    if !terraform_is_here().await {
        return;
    }
    let directory = configuration();
    let mut command = terraform(directory.path(), &["providers", "schema", "-json"]);
    let output = run(command.env("TF_LOG_PROVIDER", "DEBUG")).await;
    assert_success(&output);
    let log = String::from_utf8_lossy(&output.stderr);
    // A line that Terraform cannot read would appear as its own JSON text.
    let line = log
        .lines()
        .find(|line| line.contains("serving the host"))
        .expect("our line is in the log");
    assert!(line.contains("[DEBUG]") && !line.contains("@message"), "{line}");
}

#[tokio::test]
async fn several_terraforms_attach_to_one_debug_process() {
    if !terraform_is_here().await {
        return;
    }
    let directory = configuration();
    let mut command = host_command(PROGRAM, None);
    let mut provider = command
        .arg("--debug")
        .env("TMPDIR", directory.path())
        .spawn()
        .expect("it starts");
    let mut stdout = BufReader::new(provider.stdout.take().expect("piped"));
    let mut line = String::new();
    patiently("the variable", stdout.read_line(&mut line))
        .await
        .expect("readable");
    let (variable, value) = line.trim_end().split_once('=').expect("a variable");

    for _ in 0..2 {
        let mut command = terraform(directory.path(), &["providers", "schema", "-json"]);
        let output = run(command.env(variable, value.trim_matches('\''))).await;
        assert_success(&output);
        assert!(has_schema(&output));
        assert!(
            provider.try_wait().expect("waitable").is_none(),
            "terraform ended it"
        );
    }
    provider.kill().await.expect("killed");
}
