//! `POWERSHELL_SCRIPT`.

use delegate_core::process::Environment;
use delegate_core::task::Registry;
use serde_json::json;

use crate::bench::{refused, run};

/// Whether there is a PowerShell to run scripts with; says so when there is none.
fn is_there() -> bool {
    let there = Environment::of_this_process(&[]).find_program("pwsh").is_some();
    if !there {
        eprintln!("SKIPPED: there is no pwsh on this machine");
    }
    there
}

#[tokio::test]
async fn what_is_no_script_is_refused() {
    refused(
        "POWERSHELL_SCRIPT",
        &[
            (json!({}), "data", "missing field `script`"),
            (json!([]), "data", "invalid"),
            (json!({"script": 1}), "script", "expected a string"),
            (json!({"script": "", "shell": "pwsh"}), "shell", "unknown field"),
            (
                json!({"script": "", "edition": "desktop"}),
                "edition",
                "unknown variant",
            ),
            (json!({"script": "", "edition": 7}), "edition", "expected"),
            (json!({"script": "", "env": {"A-B": ""}}), "env", "not a name"),
            (json!({"script": "", "env": {"A": "\u{0}"}}), "env.A", "NUL"),
            (
                json!({"script": "", "secrets": {"A": "x\u{0}"}}),
                "secrets.A",
                "NUL",
            ),
            (
                json!({"script": "", "output_vars": ["A;B"]}),
                "output_vars",
                "not a name",
            ),
            (
                json!({"script": "", "secrets": {"HARNESS_DELEGATE_TASK": ""}}),
                "secrets",
                "set by the delegate",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_machine_without_it_says_so() {
    let kind = Registry::standard().get("POWERSHELL_SCRIPT").unwrap();
    let missing = kind.check(&Environment::empty()).unwrap_err();
    assert_eq!(missing, "neither the program pwsh nor powershell is in PATH");
    let outcome = run("POWERSHELL_SCRIPT", json!({"script": "", "edition": "windows"})).await;
    assert!(
        outcome
            .error()
            .contains("`powershell`, wanted by task data field `edition`, is not on this delegate"),
        "{}",
        outcome.error()
    );
}

#[tokio::test]
async fn a_script_returns_its_variables_and_its_exit_code() {
    if !is_there() {
        return;
    }
    let data = json!({
        "script": "$Count = [int]$env:START + 2\nWrite-Output \"the secret is $env:SECRET\"\nexit 3",
        "env": {"START": "40"},
        "secrets": {"SECRET": "hunter2-of-pwsh"},
        "output_vars": ["Count"],
    });
    let outcome = run("POWERSHELL_SCRIPT", data).await;
    assert_eq!(outcome.failed(), "the script exited with code 3");
    assert_eq!(outcome.vars()["Count"], "42");
    assert!(
        !outcome.everything().contains("hunter2"),
        "{}",
        outcome.everything()
    );
}
