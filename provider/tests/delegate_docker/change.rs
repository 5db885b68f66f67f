//! Changes of a delegate that is there: in place, drained, no task lost.

use serde_json::json;

use crate::fixture::{Case, DELEGATE, docker, inspect, logs};
use crate::manager::until;

/// A script that goes on until a file is there.
fn held(marker: &str) -> String {
    format!("touch /tmp/{marker}; while [ ! -e /tmp/{marker}-release ]; do sleep 0.1; done; echo {marker}")
}

/// Whether a file is there in the container.
fn has(container: &str, file: &str) -> bool {
    std::process::Command::new("docker")
        .args(["exec", container, "test", "-e", file])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn an_update_drains_the_delegate_and_loses_no_task() {
    let Some(case) = Case::installed("drain").await else {
        return;
    };
    let before = case.container_id();
    let task = case.manager.start_task(&held("long"), &case.name);
    until("the task to run", async || {
        has(&before, "/tmp/long").then_some(())
    })
    .await;
    case.write(
        &case
            .config()
            .set("tags", r#"["linux", "prod"]"#)
            .set("description", r#""of tests""#),
    );
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["update"], "{}", plan.text);
    let apply = case.terraform.start(&["apply", "-no-color", "-auto-approve"]);
    // It has been asked to end and goes on with its task.
    until("the drain", async || {
        logs(&before).contains("SIGTERM: finishing").then_some(())
    })
    .await;
    docker(&["exec", &before, "touch", "/tmp/long-release"]);
    let output = task.wait_with_output().await.expect("it ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    apply.end().await.succeeds();
    case.assert_well().await;
    assert_ne!(case.container_id(), before);
    assert_eq!(inspect(&before), None);
    let result = case.manager.run_task("true", "prod").await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
}

#[tokio::test]
async fn another_token_is_taken_with_its_version() {
    let Some(mut case) = Case::installed("rotate").await else {
        return;
    };
    let before = case.container_id();
    let second = case.manager.another_token().await;
    case.terraform.set_env("TF_VAR_delegate_token", &second);
    // The same version: nobody asked for it yet.
    case.terraform.assert_settled().await;
    case.apply(&case.config().set("token_wo_version", "2"))
        .await
        .succeeds();
    assert_ne!(case.container_id(), before);
    case.assert_well().await;
    let file = docker(&["exec", &case.name, "cat", "/run/harness-delegate/secrets.env"]);
    assert!(file.contains(&second), "it is the new one");
}

#[tokio::test]
async fn another_image_is_an_update_and_a_moved_tag_is_seen() {
    let Some(case) = Case::new("image").await else {
        return;
    };
    let tag = |name: &str| format!("{}:{name}", case.name);
    let _images = Images(vec![tag("1"), tag("2")]);
    derive(&case.engine.image, &tag("1"), "one");
    let config = |name: &str| case.config().set("image", format!("{:?}", tag(name)));
    case.apply(&config("1")).await.succeeds();
    assert_eq!(case.attribute("version").await, "1");
    derive(&case.engine.image, &tag("2"), "two");
    case.write(&config("2"));
    assert_eq!(case.terraform.plan(&[]).await.actions(DELEGATE), ["update"]);
    case.assert_heals().await;
    assert_eq!(case.attribute("version").await, "2");
    // The same tag, and another image.
    derive(&case.engine.image, &tag("2"), "three");
    let drift = case.drift().await;
    assert!(
        drift.len() == 1 && drift[0].contains("is now sha256:"),
        "{drift:?}"
    );
    case.assert_heals().await;
    let now = docker(&["image", "inspect", &tag("2"), "--format", "{{.Id}}"]);
    assert_eq!(case.attribute("image_digest").await, now);
}

/// Removes images at the end.
struct Images(Vec<String>);

impl Drop for Images {
    fn drop(&mut self) {
        for image in &self.0 {
            let _ = std::process::Command::new("docker")
                .args(["image", "rm", "--force", image])
                .output();
        }
    }
}

/// An image that differs in a label.
fn derive(from: &str, to: &str, label: &str) {
    use std::io::Write as _;
    let mut child = std::process::Command::new("docker")
        .args(["build", "--quiet", "--force-rm", "--tag", to, "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("docker runs");
    let mut stdin = child.stdin.take().expect("piped");
    write!(stdin, "FROM {from}\nLABEL test={label}\n").expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[tokio::test]
async fn another_container_or_mode_is_a_replacement() {
    let Some(case) = Case::installed("replace").await else {
        return;
    };
    let other = format!("{:?}", format!("{}-b", case.name));
    for config in [
        case.config().docker("container", &other),
        case.config().set("name", &other),
    ] {
        case.write(&config);
        assert_eq!(
            case.terraform.plan(&[]).await.actions(DELEGATE),
            ["delete", "create"]
        );
    }
    case.apply(&case.config().docker("container", &other))
        .await
        .succeeds();
    assert_eq!(case.containers(), [format!("{}-b", case.name)]);
    assert_eq!(case.attribute("connected").await, true);
    case.terraform.assert_settled().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn an_update_that_cannot_start_leaves_the_delegate_of_before() {
    let Some(case) = Case::installed("unstartable").await else {
        return;
    };
    let before = case.container_id();
    // The engine creates it, and finds out at the start that there is no such user.
    let error = case
        .apply(&case.config().docker("user", r#""nobody-at-all""#))
        .await
        .fails();
    assert!(error.contains("refused to start"), "{error}");
    assert_eq!(case.container_id(), before);
    assert_eq!(case.container()["State"]["Running"], json!(true));
    // Not made at all: the one of before is not even asked to end.
    let missing = case.config().set("image", r#""no-such-image.invalid/x:1""#);
    let error = case.apply(&missing).await.fails();
    assert!(
        error.contains("cannot be pulled") && error.contains("docker.registry"),
        "{error}"
    );
    assert_eq!(
        case.container()["State"]["StartedAt"],
        inspect(&before).expect("it is there")["State"]["StartedAt"]
    );
    case.write(&case.config());
    case.assert_heals().await;
}
