//! From nothing to a delegate that works there, through changes, and back to nothing.

use std::fs;

use serde_json::json;
use tokio::time::timeout;

use super::{NO_PROGRAM, Remote};
use crate::fixture::{DELEGATE, DRAINS, TOKEN};
use crate::host::{Process, end};
use crate::manager::{PATIENCE, until};
use crate::secrets::{CommandLines, Secrets};

#[tokio::test]
async fn a_delegate_is_installed_on_another_machine_works_and_is_removed_without_a_trace() {
    let Some(remote) = Remote::new("remote").await else {
        return;
    };
    let case = &remote.case;
    remote.configure(&format!("{TOKEN}\n  tags = [\"far\"]"));
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["create"]);
    assert_eq!(remote.machine.received(), 0, "a plan of a create contacts nobody");

    case.terraform.apply().await.succeeds();
    assert!(remote.machine.received() > NO_PROGRAM, "the program was sent");
    let state = case.terraform.state().await;
    for (name, expected) in [
        (
            "id",
            json!(format!("host/{}/{}", remote.machine.name("root"), case.name)),
        ),
        ("target_id", json!(remote.machine.id)),
        ("connected", json!(true)),
        ("ready_replicas", json!(1)),
        ("version", json!(delegate_core::VERSION)),
        ("drift", json!([])),
    ] {
        assert_eq!(*state.attribute(DELEGATE, name), expected, "{name}");
    }
    case.assert_well(&case.host, "far").await;
    assert_eq!(case.host.mode_of("delegate.env"), 0o600);
    assert!(
        !case.host.file("incoming").exists(),
        "what was sent is in its place"
    );
    remote.assert_disconnected();
    assert!(remote.machine.received() < NO_PROGRAM, "a look sends no program");
    case.assert_removed().await;
    remote.assert_disconnected();
}

#[tokio::test]
async fn an_update_drains_loses_no_task_and_sends_no_program_that_is_there() {
    let Some(remote) = Remote::installed("remote-update").await else {
        return;
    };
    let case = &remote.case;
    let before = case.host.agent().expect("it runs");
    let (started, release) = (case.terraform.path("started"), case.terraform.path("release"));
    let script = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        started.display(),
        release.display()
    );
    let task = case.manager.start_task(&script, &case.name);
    until("the task to start", async || started.exists().then_some(())).await;
    remote.machine.received();
    remote.configure(&format!("{TOKEN}\n  tags = [\"new\"]"));
    let apply = case.terraform.start(&["apply", "-no-color", "-auto-approve"]);
    until("the drain", async || {
        let log = fs::read_to_string(case.host.file("delegate.log")).unwrap_or_default();
        log.contains(DRAINS).then_some(())
    })
    .await;
    fs::write(&release, "").expect("written");
    let output = timeout(PATIENCE, task.wait_with_output())
        .await
        .expect("in time")
        .expect("it ends");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a result");
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    apply.end().await.succeeds();
    assert!(
        remote.machine.received() < NO_PROGRAM,
        "the same program is not sent again"
    );
    case.assert_well(&case.host, "new").await;
    assert_ne!(case.host.agent().map(|agent| agent.pid), Some(before.pid));

    // Another program is: its digest is another one.
    let other = case.terraform.path("harness-delegate");
    let mut program = fs::read(crate::manager::program()).expect("a program");
    program.push(b'\n');
    fs::write(&other, program).expect("written");
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let place = format!(
        "host = {{ directory = \"{}\", service = \"process\", binary = \"{}\", ssh = {} }}",
        case.host.path(),
        other.display(),
        remote.machine.arguments("root")
    );
    case.write(&crate::fixture::resource(
        &case.name,
        &format!("{place}\n  {TOKEN}"),
    ));
    remote.machine.received();
    case.assert_heals().await;
    assert!(remote.machine.received() > NO_PROGRAM);
    let sizes = [&other, &case.host.file("bin/harness-delegate")]
        .map(|path| fs::metadata(path).expect("there").len());
    assert_eq!(sizes[0], sizes[1]);
    case.assert_removed().await;
}

async fn gone(remote: &Remote, process: &Process) {
    until("the process to end", async || {
        let left = remote.case.host.processes();
        left.iter().all(|other| other.pid != process.pid).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_happens_there_is_seen_named_and_set_right() {
    let Some(remote) = Remote::installed("remote-drift").await else {
        return;
    };
    let case = &remote.case;
    let supervisor = case.host.supervisor().expect("it runs");
    end(supervisor.pid);
    gone(&remote, &supervisor).await;
    let text = fs::read_to_string(case.host.env_file()).expect("there");
    fs::write(
        case.host.env_file(),
        text.replace("DELEGATE_TAGS=''", "DELEGATE_TAGS='intruder'"),
    )
    .expect("written");
    assert_eq!(
        case.drift().await,
        [
            "the delegate does not run",
            "DELEGATE_TAGS is \"intruder\", installed with \"\""
        ]
    );
    case.assert_heals().await;

    // A program that is gone, or too old to be asked, is passed over: ours is sent to look and to set it right.
    fs::remove_file(case.host.file("bin/harness-delegate")).expect("there");
    assert_eq!(case.drift().await, ["the program is not the one to install"]);
    assert!(!case.host.file("incoming").exists(), "a look leaves nothing");
    case.assert_heals().await;
    let old = case.host.file("bin/old");
    fs::write(
        &old,
        "#!/bin/sh\necho \"error: unrecognized subcommand '$1'\" >&2\nexit 2\n",
    )
    .expect("written");
    fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    fs::rename(&old, case.host.file("bin/harness-delegate")).expect("replaced");
    case.assert_removed().await;

    // Gone before a plan, and before a destroy.
    case.terraform.apply().await.succeeds();
    let uninstall = async || {
        let gone = case
            .manager
            .verb(&["uninstall", "--directory", case.host.path()])
            .status()
            .await;
        assert!(gone.expect("it runs").success());
    };
    uninstall().await;
    assert_eq!(case.terraform.plan(&[]).await.actions(DELEGATE), ["create"]);
    case.assert_heals().await;
    uninstall().await;
    case.terraform
        .run(&["destroy", "-no-color", "-auto-approve", "-refresh=false"])
        .await
        .succeeds();
    case.host.assert_gone();
}

#[tokio::test]
async fn the_token_is_in_no_command_line_log_plan_or_state() {
    let Some(mut remote) = Remote::new("remote-secret").await else {
        return;
    };
    remote.case.terraform.set_env("TF_LOG", "TRACE");
    remote.configure(TOKEN);
    let case = &remote.case;
    let lines = CommandLines::watch();
    let mut texts = Vec::new();
    let apply = case.terraform.apply().await.succeeds();
    texts.push(("the log of the apply", apply.stderr));
    texts.push(("the state", case.terraform.state_file()));
    let plan = case.terraform.run(&["plan", "-no-color"]).await.succeeds();
    texts.push(("the log of a plan", plan.stderr));
    let installed = fs::read_to_string(case.host.env_file()).expect("there");
    texts.push((
        "the record",
        fs::read_to_string(case.host.file("installation.json")).expect("there"),
    ));
    let destroy = case.terraform.destroy().await.succeeds();
    texts.push(("the log of the destroy", destroy.stderr));
    texts.push((
        "the log of sshd",
        fs::read_to_string(remote.machine.path("log")).expect("there"),
    ));
    let lines = lines.seen();
    for part in ["carry-out", "ControlMaster=yes", "supervise"] {
        assert!(lines.contains(part), "{part} was seen");
    }
    texts.push(("a command line", lines));
    let mut secrets = Secrets::new();
    secrets.add("the token", &case.manager.token);
    assert!(secrets.present_in(&installed), "it is where it has to be");
    assert!(texts[0].1.contains("ApplyResourceChange"), "the log is a trace");
    for (what, text) in &texts {
        secrets.absent_from(what, text);
    }
    case.host.assert_gone();
}
