//! What happens behind Terraform's back: it is seen, named, and set right.

use std::fs;
use std::io::Write as _;

use crate::fixture::{Case, DELEGATE};
use crate::host::{Process, end};
use crate::manager::until;

async fn gone(case: &Case, process: &Process) {
    until("the process to end", async || {
        case.host
            .processes()
            .iter()
            .all(|other| other.pid != process.pid)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_supervisor_is_seen_and_its_orphan_is_not_left_beside_the_new_one() {
    let Some(case) = Case::installed("drift-supervisor").await else {
        return;
    };
    let (supervisor, orphan) = (case.host.supervisor().unwrap(), case.host.agent().unwrap());
    end(supervisor.pid);
    gone(&case, &supervisor).await;
    assert_eq!(case.drift().await, ["the delegate does not run"]);
    case.assert_heals().await;
    assert_ne!(case.host.agent().map(|agent| agent.pid), Some(orphan.pid));
    case.assert_removed().await;
}

#[tokio::test]
async fn a_delegate_stopped_by_hand_is_started_again() {
    let Some(case) = Case::installed("drift-stopped").await else {
        return;
    };
    let stop = case
        .manager
        .verb(&["stop", "--directory", case.host.path()])
        .status()
        .await;
    assert!(stop.unwrap().success());
    assert_eq!(case.host.processes(), []);
    assert_eq!(case.drift().await, ["the delegate does not run"]);
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn an_edited_environment_file_is_seen_line_by_line_and_written_anew() {
    let Some(case) = Case::installed("drift-env").await else {
        return;
    };
    let file = case.host.env_file();
    let text = fs::read_to_string(&file).unwrap();
    let edited: String = text
        .lines()
        .filter(|line| !line.starts_with("NEXT_GEN="))
        .map(|line| match line.split_once('=') {
            Some(("DELEGATE_TAGS", _)) => "DELEGATE_TAGS=intruder
"
            .to_owned(),
            _ => format!(
                "{line}
"
            ),
        })
        .collect();
    assert_ne!(edited, text);
    fs::write(&file, format!("{edited}EXTRA=1\n")).unwrap();
    assert_eq!(
        case.drift().await,
        [
            "NEXT_GEN is missing, installed with \"true\"",
            "DELEGATE_TAGS is \"intruder\", installed with \"\"",
            "EXTRA was added",
        ]
    );
    case.assert_heals().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    fs::write(&file, "this is no variable\n").unwrap();
    let drift = case.drift().await;
    assert!(
        drift.len() == 1 && drift[0].starts_with("the environment file cannot be read"),
        "{drift:?}"
    );
    case.assert_heals().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    case.assert_removed().await;
}

#[tokio::test]
async fn a_lost_or_unreadable_file_is_set_right_too() {
    let Some(case) = Case::installed("drift-files").await else {
        return;
    };
    let text = fs::read_to_string(case.host.env_file()).unwrap();
    fs::remove_file(case.host.env_file()).unwrap();
    assert!(
        case.drift()
            .await
            .contains(&"DELEGATE_TOKEN is missing".to_owned())
    );
    case.assert_heals().await;
    assert_eq!(fs::read_to_string(case.host.env_file()).unwrap(), text);

    fs::remove_file(case.host.file("bin/harness-delegate")).unwrap();
    assert_eq!(case.drift().await, ["the program is not the one to install"]);
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn a_replaced_program_is_seen_and_installed_anew() {
    let Some(case) = Case::installed("drift-program").await else {
        return;
    };
    let program = case.host.file("bin/harness-delegate");
    let installed = delegate_core::install::host::digest_file(&program).unwrap();
    let other = case.host.file("bin/other");
    fs::copy(&program, &other).unwrap();
    fs::File::options()
        .append(true)
        .open(&other)
        .unwrap()
        .write_all(b"!")
        .unwrap();
    fs::rename(&other, &program).unwrap();
    assert_eq!(case.drift().await, ["the program is not the one to install"]);
    case.assert_heals().await;
    assert_eq!(
        delegate_core::install::host::digest_file(&program).unwrap(),
        installed
    );
    case.assert_removed().await;
}

#[tokio::test]
async fn a_delegate_that_has_disappeared_is_created_again() {
    let Some(case) = Case::installed("disappeared").await else {
        return;
    };
    let gone = case
        .manager
        .verb(&["uninstall", "--directory", case.host.path()])
        .status()
        .await;
    assert!(gone.unwrap().success());
    case.host.assert_gone();
    assert_eq!(case.terraform.plan(&[]).await.actions(DELEGATE), ["create"]);
    case.assert_heals().await;

    // Gone before a destroy is as good as destroyed.
    let gone = case
        .manager
        .verb(&["uninstall", "--directory", case.host.path()])
        .status()
        .await;
    assert!(gone.unwrap().success());
    case.terraform
        .run(&["destroy", "-no-color", "-auto-approve", "-refresh=false"])
        .await
        .succeeds();
    case.host.assert_gone();
}
