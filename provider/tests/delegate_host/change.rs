//! Changes of the configuration: in place where it can be, and without losing work.

use std::fs;

use serde_json::json;
use tokio::time::timeout;

use crate::fixture::{Case, DELEGATE, DRAINS, TOKEN};
use crate::host::Host;
use crate::manager::{PATIENCE, unique, until};

#[tokio::test]
async fn a_change_of_settings_is_an_update_and_loses_no_running_task() {
    let Some(mut case) = Case::installed("update").await else {
        return;
    };
    let before = (
        case.host.supervisor().expect("it runs"),
        case.host.agent().expect("it runs"),
    );
    let (started, release) = (case.terraform.path("started"), case.terraform.path("release"));
    let script = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done; echo finished",
        started.display(),
        release.display()
    );
    let task = case.manager.start_task(&script, &case.name);
    until("the task to start", async || started.exists().then_some(())).await;

    let other = case.manager.another_token().await;
    case.hand_over(&other);
    case.configure("token_wo = var.delegate_token\n  token_wo_version = 2\n  tags = [\"new\"]\n  description = \"changed\"");
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["update"], "{}", plan.text);
    let apply = case.terraform.start(&["apply", "-no-color", "-auto-approve"]);
    // The agent has been asked to stop and finishes what it has.
    let known = until("the drain", async || {
        let log = fs::read_to_string(case.host.file("delegate.log")).unwrap_or_default();
        log.contains(DRAINS).then(|| case.host.agent())
    })
    .await;
    assert_eq!(
        known.map(|agent| agent.pid),
        Some(before.1.pid),
        "it still has a task"
    );
    fs::write(&release, "").expect("written");
    let output = timeout(PATIENCE, task.wait_with_output())
        .await
        .expect("in time")
        .expect("it ends");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a result");
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    apply.end().await.succeeds();

    case.assert_well(&case.host, "new").await;
    assert_ne!(case.host.agent().map(|agent| agent.pid), Some(before.1.pid));
    assert_ne!(case.host.supervisor().map(|one| one.pid), Some(before.0.pid));
    let known = case.registered().await;
    assert_eq!(
        (&known["tags"], &known["description"]),
        (&json!(["new"]), &json!("changed"))
    );
    assert_eq!(case.attribute("token_wo_version").await, 2);
    case.assert_removed().await;
}

#[tokio::test]
async fn arguments_that_end_are_taken_away_again() {
    let Some(case) = Case::new("less").await else {
        return;
    };
    case.configure(&format!(
        "{TOKEN}\n  tags = [\"x\"]\n  env = {{ TEAM = \"a\" }}\n  init_script = \"true\"\n  poll_for_tasks = true"
    ));
    case.terraform.apply().await.succeeds();
    case.configure(TOKEN);
    assert_eq!(case.terraform.plan(&[]).await.actions(DELEGATE), ["update"]);
    case.assert_heals().await;
    for (name, expected) in [
        ("DELEGATE_TAGS", Some("")),
        ("TEAM", None),
        ("INIT_SCRIPT", None),
        ("POLL_FOR_TASKS", Some("false")),
    ] {
        assert_eq!(case.host.variable(name).as_deref(), expected, "{name}");
    }
    case.assert_removed().await;
}

#[tokio::test]
async fn what_only_terraform_uses_restarts_nothing() {
    let Some(case) = Case::installed("quiet").await else {
        return;
    };
    let agent = case.host.agent();
    case.configure(&format!(
        "{TOKEN}\n  wait = {{ timeout = \"30s\" }}\n  timeouts = {{ update = \"1m\" }}"
    ));
    case.assert_heals().await;
    assert_eq!(case.host.agent(), agent, "the delegate was left alone");
    case.assert_removed().await;
}

#[tokio::test]
async fn another_name_or_directory_is_another_delegate() {
    let Some(mut case) = Case::installed("replace").await else {
        return;
    };
    let renamed = unique("renamed");
    case.configure_in(&case.host, &renamed, TOKEN);
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["delete", "create"]);
    assert_eq!(plan.change(DELEGATE)["replace_paths"], json!([["name"]]));
    case.terraform.apply().await.succeeds();
    case.assert_well(&case.host, &renamed).await;

    let elsewhere = Host::new();
    case.configure_in(&elsewhere, &renamed, TOKEN);
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["delete", "create"]);
    assert_eq!(
        plan.change(DELEGATE)["replace_paths"],
        json!([["host", "directory"]])
    );
    case.terraform.apply().await.succeeds();
    case.host.assert_gone();
    case.assert_well(&elsewhere, &renamed).await;
    case.host = elsewhere;
    case.assert_removed().await;
}
