//! Terraform is interrupted or killed: nothing is lost, nothing is there twice, and the next apply heals.

use std::time::{Duration, Instant};

use crate::fixture::{Case, DELEGATE, docker, inspect, logs};
use crate::manager::until;
use crate::terraform::{INTERRUPTED_WITHIN, ends_within};

const APPLY: &[&str] = &["apply", "-no-color", "-auto-approve"];

/// A loaded machine is given more than is promised, far below any timeout of the resource.
const PROMPTLY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_interrupt_while_waiting_ends_the_apply_at_once_and_keeps_the_state() {
    let Some(mut case) = Case::new("interrupt").await else {
        return;
    };
    case.manager.stop().await;
    case.write(&case.config().set("wait", r#"{ timeout = "10m" }"#));
    ends_within(INTERRUPTED_WITHIN, async || {
        case.terraform.destroy().await.succeeds();
        let apply = case.terraform.start(APPLY);
        until("the agent", async || {
            let running = inspect(&case.name).is_some_and(|found| found["State"]["Running"] == true);
            (running && !logs(&case.name).is_empty()).then_some(())
        })
        .await;
        let (took, run) = apply.interrupted().await;
        let error = run.fails();
        assert!(error.contains("Interrupted during the wait"), "{error}");
        assert!(case.terraform.state().await.is_tainted(DELEGATE));
        took
    })
    .await;
    case.manager.resume().await;
    case.assert_heals().await;
    case.assert_removed().await;
}

/// A case whose delegate drains, in an update that has begun: a task holds it until [`Draining::release`].
struct Draining {
    case: Case,
    container: String,
    task: tokio::process::Child,
    apply: Option<crate::terraform::Running>,
}

impl Draining {
    async fn new(stem: &str) -> Option<Self> {
        let case = Case::installed(stem).await?;
        let container = case.container_id();
        let script = "echo held >&2; touch /tmp/held; while [ ! -e /tmp/release ]; do sleep 0.1; done";
        let task = case.manager.start_task(script, &case.name);
        until("the task to run", async || {
            let look = std::process::Command::new("docker")
                .args(["exec", &container, "test", "-e", "/tmp/held"])
                .output();
            look.is_ok_and(|output| output.status.success()).then_some(())
        })
        .await;
        case.write(&case.config().set("tags", r#"["new"]"#));
        let apply = Some(case.terraform.start(APPLY));
        until("the drain", async || {
            logs(&container).contains("SIGTERM: finishing").then_some(())
        })
        .await;
        Some(Self {
            case,
            container,
            task,
            apply,
        })
    }

    /// Lets the task end, which it does well; the delegate ends with it.
    async fn release(self) -> Case {
        docker(&["exec", &self.container, "touch", "/tmp/release"]);
        let output = self.task.wait_with_output().await.expect("it ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.case
    }
}

#[tokio::test]
async fn an_interrupt_while_a_delegate_drains_ends_the_apply_at_once_and_loses_no_task() {
    let Some(mut draining) = Draining::new("interrupt-drain").await else {
        return;
    };
    let apply = draining.apply.take().expect("it runs");
    let began = Instant::now();
    apply.interrupt();
    let error = apply.end().await.fails();
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
    assert!(error.contains("Interrupted during the drain"), "{error}");
    let case = draining.release().await;
    case.assert_heals().await;
    let result = case.manager.run_task("true", "new").await;
    assert_eq!(result["command_execution_status"], "SUCCESS", "{result}");
    case.assert_removed().await;
}

#[tokio::test]
async fn an_update_killed_while_the_delegate_drains_is_completed_by_the_next_one() {
    let Some(mut draining) = Draining::new("killed-drain").await else {
        return;
    };
    let apply = draining.apply.take().expect("it runs");
    apply.kill();
    apply.end().await;
    let case = draining.release().await;
    case.assert_heals().await;
    case.assert_removed().await;
}

/// Kills at moments that chance picks, of a create and of an update each.
const KILLS: usize = 3;

#[tokio::test]
async fn an_apply_killed_at_any_moment_is_completed_by_the_next_one() {
    let Some(case) = Case::new("killed").await else {
        return;
    };
    let create = case.config();
    let began = Instant::now();
    case.apply(&create).await.succeeds();
    let whole = began.elapsed();
    let killed_within = async |what: &str| {
        let apply = case.terraform.start(APPLY);
        let pause = whole.mul_f64(fastrand::f64());
        tokio::time::sleep(pause).await;
        apply.kill();
        apply.end().await;
        eprintln!("{what} killed after {pause:?}: {:?}", case.containers());
    };
    for round in 0..KILLS {
        case.write(&create.clone().set("description", format!("\"round {round}\"")));
        killed_within("update").await;
        case.assert_heals().await;
    }
    for _ in 0..KILLS {
        case.assert_removed().await;
        killed_within("create").await;
        case.assert_heals().await;
    }
    case.assert_removed().await;
}

/// What an update leaves behind when it is cut off between two of its steps, made by hand: the engine is too quick for a
/// kill to meet every one of them.
#[tokio::test]
async fn an_update_cut_off_between_any_two_steps_is_completed() {
    let Some(case) = Case::installed("steps").await else {
        return;
    };
    let (next, aside) = (format!("{}.next", case.name), format!("{}.aside", case.name));
    let label = format!("io.harness-delegate.name={}", case.name);
    let make = |name: &str| docker(&["create", "--name", name, "--label", &label, &case.engine.image]);
    let cut = |step: &str| match step {
        "the next one is made" => _ = make(&next),
        "the old one is stopped" => {
            make(&next);
            docker(&["stop", "--time", "30", &case.name]);
        }
        "the old one is set aside" => {
            make(&next);
            docker(&["stop", "--time", "30", &case.name]);
            docker(&["rename", &case.name, &aside]);
        }
        "the next one has taken its place" => {
            docker(&["stop", "--time", "30", &case.name]);
            docker(&["rename", &case.name, &aside]);
            make(&case.name);
        }
        other => panic!("{other}"),
    };
    for step in [
        "the next one is made",
        "the old one is stopped",
        "the old one is set aside",
        "the next one has taken its place",
    ] {
        cut(step);
        // It is there, so it is never planned to be made anew.
        case.write(&case.config().set("description", format!("{step:?}")));
        let plan = case.terraform.plan(&[]).await;
        assert_eq!(plan.actions(DELEGATE), ["update"], "{step}: {}", plan.text);
        case.assert_heals().await;
    }
    // And in the middle of any of it, a destroy takes everything.
    cut("the old one is set aside");
    case.assert_removed().await;
}

#[tokio::test]
async fn two_resources_of_one_container_are_refused() {
    let Some(case) = Case::new("twice").await else {
        return;
    };
    let more = format!(
        "resource \"harness_delegate\" \"that\" {{\n  name = \"{0}-b\"\n  image = {1:?}\n  token_wo = var.delegate_token\n  docker = {{ container = {0:?} }}\n}}\n",
        case.name, case.engine.image
    );
    let error = case.apply(&case.config().more(&more)).await.fails();
    assert!(error.contains("The same delegate twice"), "{error}");
    assert_eq!(case.containers(), Vec::<String>::new());
    case.write(&case.config());
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn two_runs_of_one_container_do_not_meet() {
    let Some(mut case) = Case::new("runs").await else {
        return;
    };
    // It waits for a manager, and so goes on for as long as the test wants it to.
    case.manager.stop().await;
    let config = case.config().set("wait", r#"{ timeout = "10m" }"#);
    case.write(&config);
    let other = crate::terraform::Terraform::here()
        .await
        .expect("it was there a moment ago");
    let other = other
        .installed(crate::fixture::SOURCE, crate::fixture::PROGRAM.as_ref())
        .env("TF_VAR_delegate_token", &case.manager.token)
        .env("TMPDIR", case.terraform.path(""));
    other.write("main.tf", &config.text());
    let first = case.terraform.start(APPLY);
    until("the container", async || {
        inspect(&case.name).filter(|found| found["State"]["Running"] == true)
    })
    .await;
    let container = case.container_id();
    let error = other.apply().await.fails();
    assert!(error.contains("Another apply is at work"), "{error}");
    case.manager.resume().await;
    first.end().await.succeeds();
    assert_eq!(case.container_id(), container);
    let error = other.apply().await.fails();
    assert!(error.contains("belongs to another resource or state"), "{error}");
    case.assert_well().await;
    case.assert_removed().await;
}
